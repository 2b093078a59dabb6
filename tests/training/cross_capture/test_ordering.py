"""The order of a capture's rows: Zeek's own is kept, joined pieces are sorted by the end of conns."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from mlids.training.cross_capture.ordering import in_written_order
from mlids.zeek.types import conn_columns

START = datetime(2026, 11, 4, tzinfo=UTC)


def _conns(ends: list[float], lasted: list[float] | None = None) -> pl.DataFrame:
    """Conns that end at seconds after START; each is named by its place."""
    spans = lasted or [0.0] * len(ends)
    return conn_columns(pl.DataFrame({
        "ts": [START + timedelta(seconds=e - s) for e, s in zip(ends, spans, strict=True)],
        "uid": [str(i) for i in range(len(ends))], "duration": spans,
    }))  # fmt: skip


def test_joined_pieces_are_sorted_and_counted() -> None:
    ordered = in_written_order(_conns([10_000.0, 10_010.0, 20.0, 30.0, 10_020.0]))
    assert ordered.conns["uid"].to_list() == ["2", "3", "0", "1", "4"]
    assert ordered.out_of_order == 2


def test_rows_that_end_together_keep_their_order() -> None:
    ordered = in_written_order(_conns([5_000.0, 7.0, 3.0, 7.0, 3.0]))
    assert ordered.conns["uid"].to_list() == ["2", "4", "1", "3", "0"]


def test_conns_that_zeek_wrote_late_stay_where_they_are() -> None:
    ends = [float(s) for s in range(0, 6_000, 60)]
    for i in range(10, 100, 7):
        ends[i] -= 300.0  # unclosed: written five minutes after the last packet
    conns = _conns(ends)
    ordered = in_written_order(conns)
    assert ordered.out_of_order == 0 and ordered.conns.equals(conns)


@pytest.mark.parametrize(("late", "out_of_order"), [(2, 0), (3, 3)])
def test_one_row_in_a_hundred_may_be_out_of_order(late: int, out_of_order: int) -> None:
    ends = [float(s) for s in range(10_000, 10_200)]
    ends[50 : 50 + late] = [1.0] * late
    assert in_written_order(_conns(ends)).out_of_order == out_of_order


def test_a_log_in_the_order_of_ts_is_put_into_the_order_of_ends() -> None:
    # Started at 0, 1, 2 s; the first lasted 200 s, so that the others are 198 and 197 s behind it.
    ordered = in_written_order(_conns([200.0, 2.0, 3.0], [200.0, 1.0, 1.0]))
    assert ordered.conns["uid"].to_list() == ["1", "2", "0"] and ordered.out_of_order == 2


def test_a_row_without_ts_stays_behind_the_row_that_it_follows() -> None:
    conns = _conns([9_000.0, 9_001.0, 5.0, 6.0])
    conns = conns.with_columns(ts=pl.when(pl.col("uid") == "1").then(None).otherwise(pl.col("ts")))
    assert in_written_order(conns).conns["uid"].to_list() == ["2", "3", "0", "1"]
