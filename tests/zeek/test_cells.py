"""Conversion of single cells: times to the microsecond, numbers, and the reasons for rejects."""

from __future__ import annotations

from typing import Any

import pytest

from mlids.zeek.cells import convert, to_time
from tests.conftest import CONN_HEADER, conn_line
from tests.zeek.conftest import read_log


@pytest.mark.parametrize("stamp", ["0.000001", "1.000001", "1331901000.123457", "2147483648.999999", "4294967295.123457"])
@pytest.mark.parametrize("form", ["tsv", "json"])
def test_ts_is_exact_to_the_microsecond(stamp: str, form: str) -> None:
    text = CONN_HEADER + conn_line(ts=stamp) if form == "tsv" else '{"ts":%s,"uid":"C1","id.orig_h":"10.0.0.1","conn_state":"SF"}\n' % stamp
    frame, report = read_log(text)
    assert report.rejected == 0
    whole, part = stamp.split(".")
    assert frame["ts"].dt.epoch("us")[0] == int(whole) * 1_000_000 + int(part)


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        ("1713484800123", 1713484800123000),
        ('"2024-04-19T00:00:00.000001Z"', 1713484800000001),
        ('"2024-04-19T02:00:00+02:00"', 1713484800000000),
    ],
)
def test_json_times_of_zeeks_other_settings(written: str, wanted: int) -> None:
    frame, report = read_log('{"ts":%s,"uid":"C1","id.orig_h":"10.0.0.1","conn_state":"SF"}\n' % written)
    assert report.rejected == 0 and frame["ts"].dt.epoch("us")[0] == wanted


@pytest.mark.parametrize("written", ["-62135596801", "-70000000000", "253402300800000", "1e300", "1e999999999", "-1e20"])
def test_a_time_outside_the_years_1_to_9999_is_an_error(written: str) -> None:
    with pytest.raises(ValueError, match="outside the years 1 to 9999"):
        to_time(written)


@pytest.mark.parametrize("form", ["tsv", "json"])
@pytest.mark.parametrize("beside", ["", "x"])
def test_a_row_before_the_year_1_is_rejected_with_or_without_a_bad_row_beside_it(form: str, beside: str) -> None:
    early = "-70000000000.5"
    if form == "tsv":
        text = CONN_HEADER + conn_line(ts=early) + (conn_line(orig_pkts=beside) if beside else "") + conn_line("CGood")
    else:
        good = '{"ts":1.5,"uid":"CGood","id.orig_h":"10.0.0.1","conn_state":"SF"}\n'
        text = good.replace("1.5", early) + (good.replace("1.5", '"x"') if beside else "") + good
    frame, report = read_log(text)
    assert frame["uid"].to_list() == ["CGood"] and report.rejected == 1 + bool(beside)
    assert "years 1 to 9999" in report.rejects[0].reason


def test_the_masked_time_of_zeeks_test_suite_is_null() -> None:
    assert to_time("XXXXXXXXXX.XXXXXX") is None


@pytest.mark.parametrize(
    ("zeek_type", "value", "wanted"),
    [
        ("count", "18446744073709551615", 2**64 - 1), ("count", "5.0", 5), ("int", "-7", -7), ("port", "53/udp", 53), ("bool", "T", True),
        ("bool", False, False), ("interval", "1.5", 1.5), ("double", "inf", float("inf")), ("addr", "::1", "::1"),
    ],
)  # fmt: skip
def test_values_of_each_zeek_type(zeek_type: str, value: Any, wanted: Any) -> None:
    assert convert(zeek_type, value) == wanted


@pytest.mark.parametrize(
    ("zeek_type", "value", "reason"),
    [
        ("count", "-1", "not a count"), ("int", True, "not a whole number"), ("port", "65536", "not a port"), ("bool", "1", "not T or F"),
        ("interval", "inf", "not a number"), ("interval", "1e400", "not a finite number"), ("string", ["a"], "expected one value"),
    ],
)  # fmt: skip
def test_a_value_that_does_not_fit_is_an_error_with_the_reason(zeek_type: str, value: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        convert(zeek_type, value)
