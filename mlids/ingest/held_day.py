"""A day of the lake that is being read: the files of one ingest, also when the day is replaced meanwhile."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from mlids.errors import StoreError, os_fault
from mlids.ingest.day_manifest import MANIFEST, DayManifest, SourceEntry
from mlids.ingest.day_swap import finish_swap
from mlids.ingest.parquet import read_parquet
from mlids.locks import pin


class HeldDay:
    """One generation of a day. Its files stay until `close`; `path` is where the day was found, for messages."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    def parts(self) -> list[str]:
        """Return the names of the day's parts, in their order."""
        return sorted(path.name for path in self.file("").glob("part-*.parquet"))

    def file(self, name: str) -> Path:
        """Return a path that leads to a file of this generation while the day is held."""
        return Path(f"/proc/self/fd/{self._descriptor}/{name}")

    def read(self, name: str, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """Return the rows of a part, all columns or these. Raises StoreError naming a part that is damaged."""
        return read_parquet(self.file(name), columns, shown=self.path / name)

    def manifest(self) -> DayManifest | None:
        """Return the day's manifest; None without one. Raises StoreError when it is damaged."""
        try:
            stored: dict[str, Any] = json.loads(self.file(MANIFEST).read_text(encoding="utf-8"))
            return DayManifest(**(stored | {"sources": [SourceEntry(**s) for s in stored["sources"]]}))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(os_fault(error, self.path / MANIFEST)) from error
        except (ValueError, TypeError, KeyError) as error:
            raise StoreError(f"{self.path / MANIFEST}: damaged, or not written by mlids: {error}; ingest the day again") from error

    def close(self) -> None:
        """Let the files go. A day may be closed twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def hold_day(path: Path) -> HeldDay | None:
    """Return the day in a folder, held; None when the lake has no such day. Raises StoreError."""
    try:
        try:
            return HeldDay(path, pin(path))
        except FileNotFoundError:
            finish_swap(path)  # the day may be between the two renames of a swap
            return HeldDay(path, pin(path))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StoreError(os_fault(error, path)) from error
