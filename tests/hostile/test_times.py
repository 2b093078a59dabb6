"""Times and durations that would overflow a datetime are rejected with a reason, by every way of reading a row."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import polars as pl
import pytest

from mlids.features.context import live_context
from mlids.features.extract import Extractor
from mlids.zeek.types import LONGEST_S, conn_columns, ended
from tests.conftest import CONN_HEADER, conn_line
from tests.zeek.conftest import read_log

pytestmark = pytest.mark.attack(
    row=2,
    attack="a row whose `ts` or `duration` overflows a date",
    held="`ts` from 1970 to February 2106, `duration` up to 136 years (`MAX_TS_S`, `MAX_DURATION_S` in `mlids/zeek/types.py`); other times, such as a certificate's end, in the years 1 to 9999",
)

# Seconds, and the same as JSON::TS_ISO8601 writes them.
OUTSIDE = ["99999999999.9", "4294967296.0", "-0.000001", "-62135596800", '"9999-12-31T23:59:59.900000Z"', '"1969-12-31T23:59:59.999999Z"']
INSIDE = ["0.0", "4294967295.5", '"2106-02-07T06:28:15.999999Z"', "4294967295999"]


def log_of(form: str, ts: str, duration: str = "100.0", beside: str = "") -> str:
    """Return a log of three rows, the second with `ts` and `duration`; `beside` is a line that only the exact path can reject."""
    if form == "tsv":
        return CONN_HEADER + conn_line("C1") + conn_line("C2", ts=ts.strip('"'), duration=duration) + beside + conn_line("C3")
    row = '{"ts":%s,"uid":"%s","id.orig_h":"10.0.0.5","duration":%s,"conn_state":"SF"}\n'
    return row % ('"2024-04-19T00:00:00.5Z"', "C1", "1.5") + row % (ts, "C2", duration) + beside + row % ("1713484800.5", "C3", "1.5")


@pytest.mark.parametrize("beside", ["", "nonsense\n"])
@pytest.mark.parametrize("form", ["tsv", "json"])
@pytest.mark.parametrize("ts", OUTSIDE)
def test_a_ts_outside_its_range_is_rejected(form: str, ts: str, beside: str, happened: Callable[[str], None]) -> None:
    frame, report = read_log(log_of(form, ts, beside=beside))
    assert frame["uid"].to_list() == ["C1", "C3"] and report.rejected == 1 + bool(beside)
    assert "is outside 1970 to February 2106" in report.rejects[0].reason or "years 1 to 9999" in report.rejects[0].reason
    happened(f"{len(OUTSIDE)} such times are rejected with line and reason in TSV and JSON, the rows beside them are read")


@pytest.mark.parametrize("beside", ["", "nonsense\n"])
@pytest.mark.parametrize("form", ["tsv", "json"])
@pytest.mark.parametrize("duration", ["1e300", "4294967297", "-4294967297.5"])
def test_a_duration_outside_its_range_is_rejected(form: str, duration: str, beside: str) -> None:
    frame, report = read_log(log_of(form, "1713484800.5", duration, beside))
    assert frame["uid"].to_list() == ["C1", "C3"] and report.rejected == 1 + bool(beside)
    assert "is longer than 4,294,967,296 s" in report.rejects[0].reason


@pytest.mark.parametrize("form", ["tsv", "json"])
@pytest.mark.parametrize("ts", INSIDE)
def test_a_row_at_the_ends_of_the_ranges_is_read_and_has_an_end(form: str, ts: str) -> None:
    frame, report = read_log(log_of(form, ts, "4294967296.0"))
    conns = conn_columns(frame).with_columns(sensor=pl.lit("hq"))
    assert report.rejected == 0 and conns["uid"].to_list() == ["C1", "C2", "C3"]
    ends = conns.select(ended()).to_series().to_list()
    assert (ends[1] - conns["ts"][1]).total_seconds() == LONGEST_S
    assert len(Extractor((), live_context()).features(conns)) == 3


@pytest.mark.parametrize("zeek_type", ["count", "int", "double", "string"])
def test_a_header_that_gives_ts_another_type_overflows_nothing(zeek_type: str, happened: Callable[[str], None]) -> None:
    header = CONN_HEADER.replace("#types\ttime", f"#types\t{zeek_type}")
    frame, _ = read_log(header + conn_line(ts="9" * 18) + conn_line(ts="1713484800000000"))
    ends = conn_columns(frame).select(ended()).to_series().to_list()
    assert all(end is None or end < datetime(2107, 1, 1, tzinfo=UTC) for end in ends)
    happened("under a header that gives `ts` another type, a time outside the range is unset")


def test_other_times_keep_the_years_1_to_9999() -> None:
    """A certificate without an end is valid until 9999-12-31; compile times and NTP's may lie before 1970."""
    text = '{"ts":1.5,"id.orig_h":"10.0.0.1","_write_ts":%s}\n'
    frame, report = read_log(text % '"9999-12-31T23:59:59.5Z"' + text % '"1900-01-01T00:00:00.5Z"', "x509.log")
    assert report.rejected == 0 and frame["_write_ts"].dt.year().to_list() == [9999, 1900]
