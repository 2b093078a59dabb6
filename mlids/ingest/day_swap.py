"""Replaces the folder of a lake day in one step, so that a reader sees the old day or the new one.

Readers hold the folder they opened (`mlids.locks.pin`), whatever its name is by then: the old one goes when nobody
holds it any more. Names beside `date=…`: `.new-…` is being written, `.old-…` is between two renames, `.gone-…` is to go.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mlids.locks import locked, remove_unused, set_aside

_AT_FDCWD, _EXCHANGE = -100, 2  # of renameat2(2)


def swap_in(new: Path, target: Path) -> None:
    """Rename the folder `new` to `target`; the folder that was there is removed as soon as nobody reads it. Raises OSError."""
    with locked(target.parent):
        _restore(target)
        if not target.exists():
            new.rename(target)
            return
        if _exchange(new, target):
            gone = set_aside(new)
        else:  # a file system without exchange: two renames, which `finish_swap` completes after a kill
            old = _old(target)
            target.rename(old)
            new.rename(target)
            gone = set_aside(old)
    _remove(gone)


def finish_swap(target: Path) -> None:
    """Complete a swap that was killed between its two renames; wait for one that is being made. Raises OSError."""
    if not target.parent.exists():
        return
    with locked(target.parent):
        _restore(target)


@contextmanager
def day_folders(parent: Path) -> Iterator[list[Path]]:
    """Give the days in a sensor's folder, in no order; none when there is no such folder. Raises OSError.

    No swap is made while the block runs: between its two renames a day has no folder.
    """
    if not parent.exists():
        yield []
        return
    with locked(parent):
        _restore_all(parent)
        yield list(parent.glob("date=*"))


def remove_left_over(parent: Path) -> int:
    """Remove the folders that killed writers left in a sensor's folder, and old days that nobody reads any more; return how many."""
    with locked(parent):
        _restore_all(parent)
    return sum(_remove(folder) for pattern in (".new-*", ".gone-*") for folder in parent.glob(pattern))


def _exchange(new: Path, target: Path) -> bool:
    libc = ctypes.CDLL(None, use_errno=True)
    exchange = getattr(libc, "renameat2", None)
    return exchange is not None and exchange(_AT_FDCWD, os.fsencode(new), _AT_FDCWD, os.fsencode(target), _EXCHANGE) == 0


def _restore_all(parent: Path) -> None:
    for old in parent.glob(".old-*"):
        _restore(old.with_name(old.name.removeprefix(".old-")))


def _restore(target: Path) -> None:
    """Give the day back its name, or set its old folder aside when the new one is there; the lock is held."""
    old = _old(target)
    if old.exists():
        if target.exists():
            set_aside(old)
        else:
            old.rename(target)


def _remove(folder: Path) -> bool:
    """Remove a folder if nobody holds it; what cannot be removed now is tried again by the next writer, and by housekeeping."""
    with suppress(OSError):
        return remove_unused(folder)
    return False


def _old(target: Path) -> Path:
    return target.with_name(f".old-{target.name}")
