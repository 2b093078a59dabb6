"""Reads small logs given as text."""

from __future__ import annotations

import io
from typing import Any

import polars as pl

from mlids.zeek.reader import LogReader, ReadReport


def read_log(data: bytes | str, name: str = "conn.log", **options: Any) -> tuple[pl.DataFrame, ReadReport]:
    """Return all rows of a log given as bytes or text, and the reader's report."""
    reader = LogReader(io.BytesIO(data.encode() if isinstance(data, str) else data), name, **options)
    frames = [b.frame for b in reader]
    return (pl.concat(frames, how="diagonal_relaxed") if frames else pl.DataFrame()), reader.report
