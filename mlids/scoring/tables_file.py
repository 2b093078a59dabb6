"""Tables in one file: a zip of Arrow streams by name. Nothing in it is executed when it is read."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import polars as pl

from mlids.errors import StoreError
from mlids.files import write_atomic


def dump_tables(tables: Mapping[str, pl.DataFrame], file: BinaryIO) -> None:
    """Write tables by name to an open file."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as out:
        for name, table in tables.items():
            held = io.BytesIO()
            # A frame is locked while it is written, and writing asks for the interpreter's lock: a thread that has that one and
            # reads the same frame would wait for ever. The copy has a lock of its own and no rows of its own.
            table.clone().write_ipc_stream(held, compression="zstd")
            out.writestr(name, held.getvalue())


def write_tables(path: Path, tables: Mapping[str, pl.DataFrame]) -> None:
    """Replace the file at `path`. Raises StoreError when the disk does not take it: the old file stays."""
    try:
        write_atomic(path, lambda file: dump_tables(tables, file))
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or error}; free some space or check its permissions") from error


def read_tables(path: Path, wanted: Sequence[str] | None = None) -> dict[str, pl.DataFrame]:
    """Return the tables of a file, or the `wanted` ones. Raises KeyError when one of these is missing, ValueError when it is damaged, OSError when it cannot be read."""
    try:
        with zipfile.ZipFile(path) as held:
            return {name: pl.read_ipc_stream(io.BytesIO(held.read(name))) for name in (held.namelist() if wanted is None else wanted)}
    except (zipfile.BadZipFile, pl.exceptions.PolarsError, EOFError) as error:
        raise ValueError(f"{path}: it is damaged: {error}") from error
