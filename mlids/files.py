"""Files that are there whole or not at all: written beside their name, synced, then renamed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO


def write_aside(path: Path, data: str | bytes | Callable[[BinaryIO], None], *, sync: bool = True) -> Path:
    """Replace `path` by `data` (text as UTF-8, or what a function writes) and return it; folders above it are made.

    Without `sync` the rename is still whole for readers, but may be lost with the machine's power.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with aside.open("wb") as out:
            if callable(data):
                data(out)
            else:
                out.write(data.encode() if isinstance(data, str) else data)
            if sync:
                out.flush()
                os.fsync(out.fileno())
        return aside.replace(path)
    except OSError:
        aside.unlink(missing_ok=True)  # a full disk needs the room
        raise
