"""Locks by flock: on a folder itself, or on a file that is there for the lock.

Such a lock follows the folder when it is renamed, ends with its process, and holds between containers that share a
volume, whose process numbers mean nothing to each other. It does not hold between machines (NFS).
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mlids.files import open_private

_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let one process at a time work on what a folder holds, and wait for it. Raises OSError."""
    descriptor = _lock(folder, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(descriptor)


@contextmanager
def locked_file(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Let one process at a time run the block, by a lock on a file, which is made with its folder when it is missing.

    Raises OSError; without `wait`, BlockingIOError when another process has the lock.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "ab", opener=open_private) as file:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def pin(folder: Path) -> int:
    """Return a descriptor that keeps the folder of this name from being removed until it is closed.

    The folder may be renamed, or another put in its place: the descriptor still leads to it. Raises OSError.
    """
    return _lock(folder, fcntl.LOCK_SH)


@contextmanager
def pinned(folder: Path) -> Iterator[None]:
    """Keep a folder from being removed while the block runs. Raises OSError."""
    descriptor = pin(folder)
    try:
        yield
    finally:
        os.close(descriptor)


def make_pinned(parent: Path, prefix: str) -> tuple[Path, int]:
    """Make a folder of a new name in `parent`, and return it with a descriptor that keeps it from being removed. Raises OSError."""
    with locked(parent):  # nobody may find it between its making and its lock
        folder = parent / f"{prefix}{os.urandom(6).hex()}"
        folder.mkdir()
        return folder, pin(folder)


def remove_unused(folder: Path) -> bool:
    """Remove a folder unless somebody holds it; return whether it is gone. Raises OSError when it cannot be removed.

    It is renamed first, so that no name leads to the half of a folder.
    """
    try:
        with locked(folder.parent):
            descriptor = _lock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            folder = folder if folder.name.startswith(".") else set_aside(folder)
    except FileNotFoundError:
        return True
    except BlockingIOError:
        return False
    try:
        shutil.rmtree(folder)
    finally:
        os.close(descriptor)
    return True


def set_aside(folder: Path) -> Path:
    """Rename a folder to a hidden name beside it (`.gone-…`), which readers do not look for, and return that. Raises OSError."""
    aside = folder.with_name(f".gone-{folder.name.lstrip('.')}-{os.urandom(6).hex()}")
    folder.rename(aside)
    return aside


def _lock(folder: Path, how: int) -> int:
    """Return a descriptor of the folder that has this name while it is locked; it may be another than when the wait began."""
    while True:
        descriptor = os.open(folder, _FLAGS)
        try:
            fcntl.flock(descriptor, how)
            if _leads_to(folder, descriptor):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _leads_to(folder: Path, descriptor: int) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(folder.stat(), os.fstat(descriptor))
    return False
