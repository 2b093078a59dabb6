"""Files with one scored row each line: Parquet, CSV that a spreadsheet may open, JSON lines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import polars.selectors as cs

from mlids.errors import InputError
from mlids.files import replacing
from mlids.text import no_formula

_ODD_CELL = r"^[=+\-@＝＋－＠]|[\p{C}\p{Z}--\x20]"


def _cells(texts: pl.Series) -> pl.Series:
    """Return the cells of a spreadsheet for texts that an attacker may have chosen; most are as they were."""
    odd = texts.str.contains(_ODD_CELL).fill_null(value=False)
    found = odd.arg_true()
    return texts.scatter(found, [no_formula(t) for t in texts.filter(odd)]) if len(found) else texts


FORMATS: dict[str, Callable[[pl.LazyFrame, Path], object]] = {
    ".parquet": lambda frame, path: frame.sink_parquet(path, compression="zstd", compression_level=1),
    ".csv": lambda frame, path: frame.with_columns(cs.string().map_batches(_cells, return_dtype=pl.String)).sink_csv(path),
    ".jsonl": lambda frame, path: frame.sink_ndjson(path),
}


def write_rows(parts: list[Path], out: Path) -> None:
    """Write the rows of IPC files to `out`, in the format that its suffix names. Raises InputError when it cannot be written."""
    try:
        with replacing(out, sync=False) as partial:
            FORMATS[out.suffix](pl.scan_ipc(parts), partial)
    except OSError as error:
        raise InputError(f"{out}: cannot be written: {error.strerror or error}") from error
