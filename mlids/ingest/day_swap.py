"""Replaces the folder of a lake day in one step, so that a reader sees the old day or the new one."""

from __future__ import annotations

import ctypes
import os
import shutil
from pathlib import Path

_AT_FDCWD, _EXCHANGE = -100, 2  # of renameat2(2)


def swap_in(new: Path, target: Path) -> None:
    """Rename the folder `new` to `target`; the folder that was there is removed afterwards. Raises OSError."""
    if not target.exists():
        new.rename(target)
        return
    libc = ctypes.CDLL(None, use_errno=True)
    exchange = getattr(libc, "renameat2", None)
    if exchange is not None and exchange(_AT_FDCWD, os.fsencode(new), _AT_FDCWD, os.fsencode(target), _EXCHANGE) == 0:
        shutil.rmtree(new, ignore_errors=True)
        return
    old = _old(target)  # a file system without exchange: two renames, which `finish_swap` completes after a kill
    shutil.rmtree(old, ignore_errors=True)
    target.rename(old)
    new.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def finish_swap(target: Path) -> None:
    """Complete a swap that was killed between its two renames."""
    old = _old(target)
    if old.exists():
        if target.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.rename(target)


def _old(target: Path) -> Path:
    return target.with_name(f".old-{target.name}")
