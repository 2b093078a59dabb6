"""Parses the rows of a Zeek JSON log: whole blocks with polars, checked by an exact count of cells.

Zeek leaves unset fields out, so the number of `":` that end a key in a block equals the number of cells read.
Where the two differ (a new key, an explicit null, a value that contains `":`, a wrong type), the block is read
again with all its rows inspected for the schema, and then line by line if they still differ.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl

from mlids.zeek.cells import convert
from mlids.zeek.tsv import Parsed, Reject, reject
from mlids.zeek.types import SHARED, STRINGS, canonical_name, dtype_of

_INFER_ROWS = 1_000
_INFER_BYTES = 1 << 18
_MAX_COLUMNS = 1_024
_QUOTE, _COLON, _NEWLINE = b'":\n'
# Bytes before a quote that begins a value (the address :: and the items after it in a list) or is inside one.
_ENDS_A_KEY = np.ones(256, bool)
_ENDS_A_KEY[list(b":,[{ \t\\")] = False


class JsonParser:
    """Parses the blocks of one file; the schema of earlier blocks is reused."""

    def __init__(self) -> None:
        self._schema: dict[str, pl.DataType] = {}

    def parse(self, data: bytes, first_line: int) -> Parsed:
        """Return the rows of `data` (whole lines) under Zeek's column names, and the rejected lines."""
        frame = self._fast(data)
        if frame is not None:
            lines = pl.int_range(first_line, first_line + frame.height, dtype=pl.UInt64, eager=True)
            return Parsed(frame.with_columns(line=lines), [])
        return _slow(data, first_line)

    def _fast(self, data: bytes) -> pl.DataFrame | None:
        if b"\r" in data:
            return None
        # numpy releases the interpreter lock while it counts; bytes.count does not. Empty lines count as rows
        # here and polars skips them, so that a block with empty lines takes the slow path.
        letters = np.frombuffer(data, np.uint8)
        quoted = np.flatnonzero((letters[1:-1] == _QUOTE) & (letters[2:] == _COLON))
        cells = int(np.count_nonzero(_ENDS_A_KEY[letters[quoted]]))
        rows = int(np.count_nonzero(letters == _NEWLINE)) + (not data.endswith(b"\n"))
        for infer in (_INFER_ROWS, None):
            frame = self._read(data, infer)
            if frame is None or frame.height != rows:
                return None
            if sum(len(s) - s.null_count() for s in frame) == cells:
                return _typed(frame)
        return None

    def _read(self, data: bytes, infer: int | None) -> pl.DataFrame | None:
        try:
            if not self._schema or infer is None:
                head = data if infer is None else data[: data.rfind(b"\n", 0, _INFER_BYTES) + 1 or len(data)]
                seen = pl.read_ndjson(io.BytesIO(head), infer_schema_length=infer).schema
                if len(seen) > _MAX_COLUMNS:
                    return None
                for name, dtype in seen.items():
                    if name not in self._schema or infer is None:
                        self._schema[name] = _wanted(name, dtype)
            return pl.read_ndjson(io.BytesIO(data), schema=self._schema)
        except pl.exceptions.PolarsError:
            self._schema = {}
            return None


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
            return stamps if stamps.null_count() == series.null_count() else None
        low, high = series.min(), series.max()
        # Float64 holds microseconds exactly in this range (to January 2038).
        if low is not None and not (low > -(2**31) and high < 2**31):  # type: ignore[operator]
            return None
        micros = (series * 1e6).round().cast(pl.Int64)
        return micros.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    if zeek_type == "port" and (series > 65535).any():
        return None
    if series.dtype == pl.Float64 and not series.is_finite().all():
        return None
    if isinstance(series.dtype, pl.Struct):
        return None
    return series


def _slow(data: bytes, first_line: int) -> Parsed:
    rows: list[dict[str, Any]] = []
    lines: list[int] = []
    rejects: list[Reject] = []
    for offset, raw in enumerate(data.split(b"\n")):
        text = raw.strip().decode("utf-8", errors="replace")
        if not text:
            continue
        try:
            rows.append(_row(text))
            lines.append(first_line + offset)
        except (ValueError, RecursionError) as error:
            rejects.append(reject(first_line + offset, str(error) or "nested too deeply", text))
    frame = _frame(rows)
    return Parsed(frame.with_columns(line=pl.Series(lines, dtype=pl.UInt64)), rejects)


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
            row[name] = _convert(zeek_type, value)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    if len(row) > _MAX_COLUMNS:
        raise ValueError(f"{len(row)} keys in one object; at most {_MAX_COLUMNS} are read")
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
