"""Parses the rows of a Zeek JSON log: whole blocks with polars, checked by an exact count of cells.

Zeek leaves unset fields out, so the number of `":` that end a key in a block equals the number of cells read.
Where the two differ (a new key, an explicit null, a value that contains `":`, a wrong type), the block is read
again with all its rows inspected for the schema, and then line by line if they still differ.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import polars as pl

from mlids.zeek.bytestream import count_lines
from mlids.zeek.cells import check_range, convert
from mlids.zeek.json_limits import MAX_CELLS, MAX_KEYS, MAX_LINES, Measured, limit_exceeded, measure
from mlids.zeek.lines import content_lines, looks_compressed
from mlids.zeek.tsv import Parsed, Reject, reject
from mlids.zeek.types import SHARED, STRINGS, canonical_name, dtype_of, in_range

# The keys of a file are learned from its first bytes, and from a whole block that has others. polars takes the square
# of the number of keys: 0.3 s for a step in which every key is new.
_LEARN_BYTES = 1 << 18
_LEARN_STEP = 1 << 16
# polars accepts an unpaired surrogate, or not, by what else is in the block; the slow path rejects it.
_UNPAIRED = re.compile(rb"\\u[dD](?:[89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD])[c-fC-F])")
_SLOW_ROWS = 1 << 18  # rows of one frame of the slow path


class JsonParser:
    """Parses the blocks of one file; the schema of earlier blocks is reused."""

    def __init__(self) -> None:
        self._schema: dict[str, pl.DataType] = {}
        self._names: set[str] = set()  # names seen in the file that are not Zeek's own: at most MAX_KEYS

    def parse(self, data: bytes, first_line: int, lines: int) -> Iterator[Parsed]:
        """Yield the rows of `data` (whole lines) under Zeek's column names, and the rejected lines, in one or more parts."""
        if lines > MAX_LINES:
            yield from self._halves(data, first_line, lines)
            return
        measured = measure(data)
        frame = self._fast(data, measured)
        if frame is not None:
            numbers = pl.int_range(first_line, first_line + frame.height, dtype=pl.UInt64, eager=True)
            yield Parsed(frame.with_columns(line=numbers), [])
        elif self._too_large(measured.rows) and data.find(b"\n", len(data) // 2) + 1 not in (0, len(data)):
            yield from self._halves(data, first_line, lines)
        else:
            yield from self._slow(data, first_line)

    def _halves(self, data: bytes, first_line: int, lines: int) -> Iterator[Parsed]:
        middle = data.find(b"\n", len(data) // 2) + 1
        before = count_lines(data, 0, middle)
        yield from self.parse(data[:middle], first_line, before)
        yield from self.parse(data[middle:], first_line + before, lines - before)

    def _fast(self, data: bytes, measured: Measured) -> pl.DataFrame | None:
        # Empty lines count as rows here and polars skips them, so that a block with empty lines takes the slow path.
        if b"\r" in data or looks_compressed(data) or not measured.within_limits or (b"\\" in data and _UNPAIRED.search(data)):
            return None
        for whole in (False, True):
            frame = self._read(data, measured.rows, whole=whole)
            if frame is None or not frame.width or frame.height != measured.rows:
                return None
            if sum(len(s) - s.null_count() for s in frame) == measured.cells:
                return None if measured.nested and _holds_lists(frame) else _typed(frame)
        return None

    def _read(self, data: bytes, rows: int, *, whole: bool) -> pl.DataFrame | None:
        try:
            if (whole or not self._schema) and not self._learn(
                data if whole else data[: data.rfind(b"\n", 0, _LEARN_BYTES) + 1 or len(data)]
            ):
                return None
            if self._too_large(rows) or any(isinstance(dtype, pl.Struct) for dtype in self._schema.values()):
                return None
            return pl.read_ndjson(io.BytesIO(data), schema=self._schema)
        except pl.exceptions.PolarsError:
            self._schema = {}
            return None

    def _too_large(self, rows: int) -> bool:
        return rows * len(self._schema) > MAX_CELLS

    def _learn(self, data: bytes) -> bool:
        """Add the keys in `data` to the schema; return whether polars can read all of them under it."""
        start, names = 0, self._names
        while start < len(data):
            end = data.rfind(b"\n", start, start + _LEARN_STEP) + 1 or data.find(b"\n", start) + 1 or len(data)
            if looks_compressed(data[start : start + 4]):
                return False
            for name, dtype in pl.scan_ndjson(io.BytesIO(data[start:end]), infer_schema_length=None).collect_schema().items():
                merged = _merged(self._schema.get(name), _wanted(name, dtype))
                if merged is None:
                    return False
                self._schema[name] = merged
            names = self._names | {n for n in map(canonical_name, self._schema) if n not in SHARED}
            if len(names) > MAX_KEYS:
                self._schema = {}
                return False
            start = end
        self._names = names
        return True

    def _slow(self, data: bytes, first_line: int) -> Iterator[Parsed]:
        rows: list[dict[str, Any]] = []
        lines: list[int] = []
        names: set[str] = set()
        rejects: list[Reject] = []
        for offset, begin, end in content_lines(data):
            raw = data[begin:end]
            text = raw.strip().decode("utf-8", errors="replace")
            try:
                row = self._row(raw, text)
            except (ValueError, RecursionError) as error:
                rejects.append(reject(first_line + offset, str(error) or "nested too deeply", text))
                continue
            names.update(row)
            rows.append(row)
            lines.append(first_line + offset)
            if len(rows) >= _SLOW_ROWS or len(rows) * len(names) > MAX_CELLS:
                yield _parsed(rows, lines, rejects)
                rows, lines, names, rejects = [], [], set(), []
        yield _parsed(rows, lines, rejects)

    def _row(self, raw: bytes, text: str) -> dict[str, Any]:
        """Return the values of one line. Raises ValueError with the reason when it cannot be read, or has too many keys."""
        reason = limit_exceeded(raw)
        if reason is not None:
            raise ValueError(reason)
        row = _row(text)
        new = row.keys() - SHARED.keys() - self._names
        if new and len(self._names) + len(new) > MAX_KEYS:
            raise ValueError(f"{min(new)[:40]!r} is a new key, and the log has {len(self._names):,} others; at most {MAX_KEYS:,} are read")
        self._names |= new
        return row


def _parsed(rows: list[dict[str, Any]], lines: list[int], rejects: list[Reject]) -> Parsed:
    numbers = pl.Series("line", lines, dtype=pl.UInt64)
    frame = _frame(rows)
    # Rows that are all `{}` have no column, and a frame without columns has no height.
    return Parsed(frame.with_columns(numbers) if frame.width else pl.DataFrame([numbers]), rejects)


def _merged(one: pl.DataType | None, other: pl.DataType) -> pl.DataType | None:
    """Return the type that holds both; None when only the slow path reads both."""
    if one is None or one == other:
        return other
    if one.is_numeric() and other.is_numeric():
        return pl.Float64()
    if one.is_nested() or other.is_nested():
        return None
    return pl.String()


def _wanted(name: str, seen: pl.DataType) -> pl.DataType:
    known = SHARED.get(canonical_name(name))
    if known == "time":
        return pl.String() if seen == pl.String else pl.Float64()
    if known is not None:
        return dtype_of(known)
    if isinstance(seen, pl.List):
        return STRINGS
    if seen == pl.Null:
        return pl.String()
    return seen


def _holds_lists(frame: pl.DataFrame) -> bool:
    """Return whether a column of Zeek's text may hold a list: polars reads it as text that begins with a bracket."""
    texts = [s for s in frame if s.dtype == pl.String and canonical_name(s.name) in SHARED]
    return any(s.str.starts_with("[").any() for s in texts)


def _typed(frame: pl.DataFrame) -> pl.DataFrame | None:
    out: dict[str, pl.Series] = {}
    for series in frame:
        name = canonical_name(series.name)
        typed = _finish(series.alias(name))
        if typed is None or name in out:
            return None
        out[name] = typed
    return pl.DataFrame(list(out.values()))


def _finish(series: pl.Series) -> pl.Series | None:
    zeek_type = SHARED.get(series.name)
    if zeek_type == "time":
        if series.dtype == pl.String:
            # Only Zeek's own ISO form is parsed here; others take the slow path.
            stamps = series.str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us", time_zone="UTC", strict=False)
            return stamps if stamps.null_count() == series.null_count() and in_range(stamps) else None
        low, high = series.min(), series.max()
        # Float64 holds microseconds exactly in this range (to January 2038).
        least = 0 if series.name == "ts" else 1 - 2**31
        if low is not None and not (low >= least and high < 2**31):  # type: ignore[operator]
            return None
        micros = (series * 1e6).round().cast(pl.Int64)
        return micros.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    if zeek_type == "port" and (series > 65535).any():
        return None
    if series.dtype == pl.Float64 and not (series.is_finite().all() and in_range(series)):
        return None
    if isinstance(series.dtype, pl.Struct):
        return None
    return series


def _row(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text, parse_float=Decimal, parse_constant=_reject_constant)
    except ArithmeticError:
        raise ValueError("a number out of range") from None
    except json.JSONDecodeError as error:
        hint = "; is the file still being written?" if error.pos >= len(text) - 1 else ""
        raise ValueError(f"not JSON: {error.msg} at column {error.pos + 1}{hint}") from None
    if "\\ud" in text.lower() and not _is_text(found):
        raise ValueError("an unpaired surrogate (\\ud800 to \\udfff) is not valid text")
    if not isinstance(found, dict):
        raise ValueError("expected one JSON object per line")
    row: dict[str, Any] = {}
    for key, value in _flat(found):
        name = canonical_name(key)
        if value is None:
            row.setdefault(name, None)
            continue
        zeek_type = SHARED.get(name)
        try:
            row[name] = check_range(name, _convert(zeek_type, value))
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return row


def _is_text(found: Any) -> bool:
    try:
        json.dumps(found, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError:
        return False
    return True


def _reject_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number")


def _flat(found: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return the keys and values, with a nested `id` object (as some log shippers write it) flattened."""
    out = []
    for key, value in found.items():
        if key == "id" and isinstance(value, dict):
            out += [(f"id.{k}", v) for k, v in value.items()]
        else:
            out.append((key, value))
    return out


def _convert(zeek_type: str | None, value: Any) -> Any:
    if zeek_type is not None and not zeek_type.startswith(("set", "vector", "table")):
        return convert(zeek_type, value)
    if isinstance(value, list):
        return [v if isinstance(v, str) else _plain(v) for v in value]
    if zeek_type is not None:
        raise ValueError("expected a list, found one value")
    if isinstance(value, dict):
        return _plain(value)
    return float(value) if isinstance(value, Decimal) else value


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    names = list(dict.fromkeys(name for row in rows for name in row))
    return pl.DataFrame([_series(name, [row.get(name) for row in rows]) for name in names])


def _series(name: str, values: list[Any]) -> pl.Series:
    zeek_type = SHARED.get(name)
    if zeek_type is not None:
        return pl.Series(name, values, dtype=dtype_of(zeek_type))
    kinds = {type(v) for v in values if v is not None}
    choices: list[tuple[set[type], pl.DataType, Callable[[Any], Any]]] = [
        ({bool}, pl.Boolean(), bool),
        ({int}, pl.Int64(), int),
        ({int, float}, pl.Float64(), float),
        ({list}, STRINGS, list),
    ]
    for allowed, dtype, cast in choices:
        if kinds and kinds <= allowed:
            try:
                return pl.Series(name, [None if v is None else cast(v) for v in values], dtype=dtype)
            except (OverflowError, TypeError, pl.exceptions.PolarsError):
                break
    return pl.Series(name, [None if v is None else _plain(v) for v in values], dtype=pl.String)
