"""Parses the rows of a Zeek table (TSV, or a CSV re-export): a fast path for whole blocks, and an exact one that finds the rows to reject."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from typing import Any

import polars as pl

from mlids.zeek.cells import MIN_SECONDS, check_range, convert, to_strings
from mlids.zeek.header import Header, decode_escapes
from mlids.zeek.lines import content_lines, looks_compressed
from mlids.zeek.types import MAX_TS_S, STRINGS, TIME, Column, dtype_of, in_range

_MERGED = re.compile(r" {2,}")
_DECIMAL_TIME = pl.Decimal(20, 6)


@dataclass(frozen=True)
class Reject:
    """A row that did not parse, for quarantine."""

    line: int  # 1-based
    reason: str
    raw: str  # its first 2,048 characters


@dataclass(frozen=True)
class Parsed:
    """Rows of one block: `frame` has the header's columns and `line` (UInt64, 1-based, ascending); `rejects` are the others."""

    frame: pl.DataFrame
    rejects: list[Reject]


def reject(line: int, reason: str, raw: str) -> Reject:
    """Return a Reject with at most 2,048 characters of the raw text."""
    return Reject(line, reason, raw[:2048])


def parse_table(data: bytes, header: Header, first_line: int, rows: int) -> Parsed:
    """Return the rows of `data` (`rows` whole lines, no directives) and the rejected lines; blank lines and comments are neither.

    The fast path reads typed columns at once. Its result is used only when every check passes;
    otherwise the block is read again cell by cell.
    """
    frame = _fast(data, header, rows)
    if frame is not None:
        lines = pl.int_range(first_line, first_line + frame.height, dtype=pl.UInt64, eager=True)
        return Parsed(frame.with_columns(line=lines), [])
    return _slow(data, header, first_line)


def _fast(data: bytes, header: Header, rows: int) -> pl.DataFrame | None:
    if header.quoted or len(header.separator.encode()) != 1 or header.separator in "\r\n" or looks_compressed(data):
        return None
    if len(data) + 1 < rows * len(header.columns):
        return None  # shorter than separators and newlines of whole rows: mostly blank lines, which polars pads to rows
    if header.merged > 1:
        if header.separator != "\t":
            return None
        data = re.sub(rb" {2,}", b"\t", data)
    columns = header.columns
    last = columns[-1].name
    raw_types = {c.name: _raw_dtype(c) for c in columns} | {last: pl.String()}
    nulls = {c.name: header.unset_field for c in columns[:-1]}
    try:
        frame = pl.read_csv(
            io.BytesIO(data),
            has_header=False,
            separator=header.separator,
            quote_char=None,
            schema=raw_types,
            null_values=nulls or None,
            empty_string_is_null=False,
            infer_schema_length=0,
        )
        # polars silently pads a row with missing cells and a blank line; only the last column shows it, and it
        # also shows a carriage return. Searching the bytes themselves would hold the interpreter lock.
        first = frame[columns[0].name]
        if first.dtype == pl.String and first.str.starts_with("#").any():
            return None  # a comment, or a row that looks like one
        if frame.height != rows or (frame[last] == "").any() or frame[last].str.ends_with("\r").any():
            return None
        return _typed(frame, header, escapes=b"\\" in data)
    except pl.exceptions.PolarsError:
        return None  # a cell of another type, a row of another length, bytes that are not UTF-8


def _raw_dtype(column: Column) -> pl.DataType:
    dtype = dtype_of(column.zeek_type)
    if dtype == TIME:
        return _DECIMAL_TIME
    if dtype in (pl.Boolean(), STRINGS):
        return pl.String()
    return dtype


def _typed(frame: pl.DataFrame, header: Header, *, escapes: bool) -> pl.DataFrame | None:
    last = header.columns[-1]
    frame = frame.with_columns(pl.when(pl.col(last.name) != header.unset_field).then(pl.col(last.name)).cast(_raw_dtype(last)))
    out: list[pl.Series] = []
    for column in header.columns:
        series = _finish(frame[column.name], column, header, escapes=escapes)
        if series is None:
            return None
        out.append(series)
    return pl.DataFrame(out)


def _finish(series: pl.Series, column: Column, header: Header, *, escapes: bool) -> pl.Series | None:
    dtype = dtype_of(column.zeek_type)
    if dtype == TIME:
        micros = series.to_physical().cast(pl.Int64)
        low, high = micros.min(), micros.max()
        least, most = (0, MAX_TS_S * 1_000_000 - 1) if column.name == "ts" else (MIN_SECONDS * 1_000_000, 10**17)
        if low is not None and (low < least or high > most):  # type: ignore[operator]
            return None  # milliseconds, or a time out of range
        return micros.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    if dtype == pl.Boolean:
        flags = series == "T"
        if (~flags & (series != "F")).any():
            return None
        return flags.alias(column.name)
    if dtype == STRINGS:
        return _lists(series, header, escapes=escapes)
    if dtype == pl.Float64 and not (series.is_finite().all() and in_range(series)):
        return None
    if column.zeek_type == "port" and (series > 65535).any():
        return None
    if dtype == pl.String:
        if (series == header.empty_field).any():
            series = series.replace(header.empty_field, "")
        if escapes and series.str.contains("\\x", literal=True).any():
            series = _unescape(series)
    return series


def _unescape(series: pl.Series) -> pl.Series:
    values = series.unique().drop_nulls()
    return series.replace_strict(
        values, pl.Series([decode_escapes(v) for v in values], dtype=pl.String), default=None, return_dtype=pl.String
    )


def _lists(series: pl.Series, header: Header, *, escapes: bool) -> pl.Series:
    if series.null_count() == len(series):
        return pl.Series(series.name, [None], dtype=STRINGS).new_from_index(0, len(series))
    if escapes and series.str.contains("\\x", literal=True).any():
        cells = [None if c is None else to_strings(c, header.set_separator, header.empty_field) for c in series]
        return pl.Series(series.name, cells, dtype=STRINGS)
    parts = series.str.split(header.set_separator)
    empty = series.is_in([header.empty_field, ""])
    if not empty.any():
        return parts
    none = pl.Series([[]], dtype=STRINGS)
    return pl.select(pl.when(empty).then(none).otherwise(parts)).to_series().alias(series.name)


def _slow(data: bytes, header: Header, first_line: int) -> Parsed:
    values: list[list[Any]] = [[] for _ in header.columns]
    lines: list[int] = []
    rejects: list[Reject] = []
    for offset, begin, end in content_lines(data, comments=True):
        number = first_line + offset
        text = data[begin:end].decode("utf-8", errors="replace").rstrip("\r")
        try:
            row = _row(_cells(text, header), header)
        except ValueError as error:
            rejects.append(reject(number, str(error), text))
            continue
        for column, value in zip(values, row, strict=True):
            column.append(value)
        lines.append(number)
    frame = pl.DataFrame(
        [pl.Series(c.name, v, dtype=dtype_of(c.zeek_type), strict=True) for c, v in zip(header.columns, values, strict=True)]
    ).with_columns(line=pl.Series(lines, dtype=pl.UInt64))
    return Parsed(frame, rejects)


def _cells(text: str, header: Header) -> list[str]:
    if header.quoted:
        try:
            return next(csv.reader([text], delimiter=header.separator))
        except csv.Error as error:
            raise ValueError(f"not CSV: {error}") from None
    cells = text.split(header.separator)
    if header.merged > 1 and len(cells) == len(header.columns) - header.merged + 1:
        cells[-1:] = _MERGED.split(cells[-1].strip())
    return cells


def _row(cells: list[str], header: Header) -> list[Any]:
    if len(cells) != len(header.columns):
        hint = "; is the file still being written?" if len(cells) < len(header.columns) else ""
        raise ValueError(f"{len(cells)} fields, header names {len(header.columns)}{hint}")
    return [_value(cell, column, header) for cell, column in zip(cells, header.columns, strict=True)]


def _value(cell: str, column: Column, header: Header) -> Any:
    if cell == header.unset_field or (header.quoted and cell == ""):
        return None
    dtype = dtype_of(column.zeek_type)
    if dtype == STRINGS:
        return to_strings(cell, header.set_separator, header.empty_field)
    if dtype == pl.String:
        return "" if cell == header.empty_field else decode_escapes(cell)
    if dtype != pl.Boolean():
        cell = cell.lstrip(" ")  # as polars does: the same cell is read alike whatever else is in its block
    if cell == "":
        return None
    try:
        return check_range(column.name, convert(column.zeek_type, cell))
    except ValueError as error:
        raise ValueError(f"{column.name}: {error}") from None
