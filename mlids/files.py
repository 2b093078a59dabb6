"""Atomic file replacement: a file is written beside its target, synced, then renamed over it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

PRIVATE = 0o600  # databases, alerts and state are for the user that runs mlids


@contextmanager
def replacing(path: Path, *, sync: bool = True) -> Iterator[Path]:
    """Yield a path beside `path`; the file written there replaces `path` when the block ends.

    The folder must exist. With `sync` the file and its folder are on the disk when the block returns; without,
    readers still see the old file or the new one, but a power failure may lose the new one. When the block raises, `path`
    keeps its content and the partial file is removed.
    """
    # Process numbers are no names: two containers on one volume have the same ones.
    partial = path.with_name(f".{path.name}.{os.urandom(6).hex()}.part")
    try:
        yield partial
        if sync:
            sync_path(partial)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)  # a full disk needs the room
        raise
    if sync:
        sync_path(path.parent)


def opener(mode: int) -> Callable[[str, int], int]:
    """Return an `opener` of `open` that gives a file this mode, also when it was there with another one."""

    def open_with_mode(path: str, flags: int) -> int:
        descriptor = os.open(path, flags | os.O_CLOEXEC, mode)
        try:
            if os.fstat(descriptor).st_mode & 0o777 != mode:
                os.fchmod(descriptor, mode)
        except PermissionError:
            pass  # the file of another user that this one may write to
        return descriptor

    return open_with_mode


# Opens a file for its owner alone, also when it was there with other rights. Raises OSError.
open_private = opener(PRIVATE)


def write_atomic(path: Path, data: str | bytes | Callable[[BinaryIO], None], *, sync: bool = True) -> Path:
    """Replace the content of `path` by `data` and return `path`; missing folders above it are created.

    `data` is bytes, text (stored as UTF-8), or a function that writes to the open file. `sync` is that of `replacing`.
    The file is for its owner alone (0600). Raises OSError; `path` keeps its content then.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, sync=sync) as partial, open(partial, "wb", opener=open_private) as out:
        if callable(data):
            data(out)
        else:
            out.write(data.encode() if isinstance(data, str) else data)
    return path


def overwrite(descriptor: int, data: bytes) -> None:
    """Replace the content of an open file, without a sync: it survives the process, not the machine. Raises OSError."""
    os.pwrite(descriptor, data, 0)
    os.ftruncate(descriptor, len(data))


def sync_path(path: Path) -> None:
    """Flush a file, or the entries of a folder, to the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
