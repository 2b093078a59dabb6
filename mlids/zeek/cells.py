"""Converts one cell to one value: the exact, slow path, which also gives the reason when a cell does not fit its type."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from mlids.zeek.header import decode_escapes
from mlids.zeek.types import MAX_DURATION_S, MAX_TS_S

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAX_TS = EPOCH + timedelta(seconds=MAX_TS_S)
# Zeek's test suite replaces every time by this text.
MASKED_TIME = "XXXXXXXXXX.XXXXXX"
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\Z")
# What a datetime can hold: the years 1 to 9999.
MIN_SECONDS = -62_135_596_800
_MAX_SECONDS = Decimal("253402300799")
# JSON::TS_MILLIS writes milliseconds; read as seconds they would be past the year 5000.
_MILLIS_FROM = Decimal(100_000_000_000)


def to_time(value: Any) -> datetime | None:
    """Return an aware UTC time, exact to the microsecond, from epoch seconds, epoch milliseconds or ISO 8601.

    None for the masked time of Zeek's test suite. Raises ValueError for anything else.
    """
    text = str(value)
    if text == MASKED_TIME:
        return None
    if not _NUMBER.match(text):
        try:
            stamp = datetime.fromisoformat(text)
            return stamp.replace(tzinfo=UTC) if stamp.tzinfo is None else stamp.astimezone(UTC)
        except (ValueError, OverflowError):
            raise ValueError(f"{text[:40]!r} is not a time") from None
    try:
        seconds = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{text[:40]!r} is not a time") from None
    if abs(seconds.adjusted()) > 30:  # 1e999999999: arithmetic on it would take for ever
        raise ValueError(f"{text[:40]!r} is outside the years 1 to 9999")
    if abs(seconds) >= _MILLIS_FROM:
        seconds /= 1000
    if not MIN_SECONDS <= seconds < _MAX_SECONDS:
        raise ValueError(f"{text[:40]!r} is outside the years 1 to 9999")
    return EPOCH + timedelta(microseconds=int((seconds * 1_000_000).to_integral_value()))


def to_float(value: Any) -> float:
    """Return a finite float (seconds for intervals). Raises ValueError for text that is not a finite number."""
    if isinstance(value, bool) or not _NUMBER.match(str(value)):
        raise ValueError(f"{str(value)[:40]!r} is not a number")
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{str(value)[:40]!r} is not a finite number")
    return number


def _to_integer(value: Any, low: int, high: int, word: str) -> int:
    text = str(value)
    if isinstance(value, bool) or len(text) > 40 or not _NUMBER.match(text):
        raise ValueError(f"{text[:40]!r} is not a {word}")
    try:
        number = Decimal(text)
    except InvalidOperation:  # an exponent of 24 digits
        raise ValueError(f"{text[:40]!r} is not a {word}") from None
    if abs(number.adjusted()) > 30 or number != number.to_integral_value() or not low <= number <= high:
        raise ValueError(f"{text[:40]!r} is not a {word}")
    return int(number)


def to_bool(value: Any) -> bool:
    """Return the boolean for `T`, `F` or a JSON boolean. Raises ValueError for anything else."""
    if isinstance(value, bool):
        return value
    if str(value) in {"T", "true", "True"}:
        return True
    if str(value) in {"F", "false", "False"}:
        return False
    raise ValueError(f"{str(value)[:40]!r} is not T or F")


def convert(zeek_type: str, value: Any) -> Any:
    """Return `value` (text or a JSON value, never unset) converted to its Zeek type.

    Raises ValueError with a readable reason when the value does not fit the type.
    """
    match zeek_type:
        case "time":
            return to_time(value)
        case "interval":
            return to_float(value)
        case "double":
            return float(value) if str(value).lower() in {"inf", "-inf", "nan"} else to_float(value)
        case "count":
            return _to_integer(value, 0, 2**64 - 1, "count")
        case "int":
            return _to_integer(value, -(2**63), 2**63 - 1, "whole number")
        case "port":
            return _to_integer(str(value).split("/", 1)[0], 0, 65535, "port")
        case "bool":
            return to_bool(value)
    if isinstance(value, (dict, list)):
        raise ValueError("expected one value, found a list or an object")
    return str(value)


def check_range(name: str, value: Any) -> Any:
    """Return the converted `value` of the column `name`. Raises ValueError for a `ts` or `duration` outside its range."""
    if name == "ts" and isinstance(value, datetime) and not EPOCH <= value < MAX_TS:
        raise ValueError(f"{value:%Y-%m-%dT%H:%M:%S} is outside 1970 to {MAX_TS:%B %Y}")
    if name == "duration" and isinstance(value, (int, float)) and not abs(value) <= MAX_DURATION_S:
        raise ValueError(f"{value:.6g} s is longer than {MAX_DURATION_S:,} s")
    return value


def to_strings(text: str, set_separator: str, empty_field: str) -> list[str]:
    """Return the elements of a set or vector cell; `(empty)` is an empty list."""
    if text in (empty_field, ""):
        return []
    return [decode_escapes(part) for part in text.split(set_separator)]
