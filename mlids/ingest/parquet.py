"""Reads and writes Parquet files: a damaged one is named, and a write that fails says why."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from mlids.errors import StoreError

_PROBE_BYTES = 1 << 20


def write_parquet(frame: pl.DataFrame, path: Path) -> None:
    """Write a frame. Raises OSError with the reason: polars reports a full disk as an error of the file's format."""
    try:
        frame.write_parquet(path, compression="zstd", compression_level=1)
    except pl.exceptions.PolarsError as error:
        with path.open("ab") as out:
            out.write(bytes(_PROBE_BYTES))
        raise OSError(errno.EIO, f"could not be written: {error}", str(path)) from error


def read_parquet(path: Path, columns: Sequence[str] | None = None, *, shown: Path | None = None) -> pl.DataFrame:
    """Return a frame, of all columns or of these. Raises StoreError when it cannot be read or is damaged; it names the file, or `shown`."""
    try:
        return pl.read_parquet(path, columns=list(columns) if columns else None, hive_partitioning=False)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        reason = str(error).strip().split("\n", 1)[0][:200]
        raise StoreError(
            f"{shown or path}: damaged or not a part of the lake: {reason}; ingest this day again, or move the file away"
        ) from error
