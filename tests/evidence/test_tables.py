"""Columns in one form, whatever a log has."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl

from mlids.evidence.tables import columns, once_per_batch
from mlids.zeek.types import STRINGS, TIME


def test_columns_that_cannot_be_read_are_null_for_each_row() -> None:
    odd = pl.DataFrame({"ts": ["soon", "now"], "flag": ["soon", "now"], "text": [b"\xff", b"a"], "list": [[1], [2]]})
    wanted = {"ts": TIME, "flag": pl.Boolean(), "text": pl.String(), "list": STRINGS, "absent": pl.Int64()}
    assert columns(odd, wanted).rows() == [(None,) * 5] * 2
    texts = pl.DataFrame({"flag": ["T", "false", "-"]})
    assert columns(texts, {"flag": pl.Boolean()})["flag"].to_list() == [True, False, None], "as Zeek writes it, and JSON"
    good = pl.DataFrame({"ts": [datetime(2026, 11, 4, tzinfo=UTC)], "flag": [1], "text": ["x" * 1_000], "list": ["a,b"], "absent": ["7"]})
    assert columns(good, wanted).rows() == [(good["ts"][0], True, "x" * 256, ["a", "b"], 7)]


def test_what_collectors_share_is_computed_once_per_batch_and_not_kept_for_another() -> None:
    asked: list[int] = []

    def measured(rows: pl.DataFrame) -> int:
        asked.append(rows.height)
        return rows.height

    height = once_per_batch(measured)
    first, second = pl.DataFrame({"a": [1]}), pl.DataFrame({"a": [1, 2]})
    assert [height(first), height(first), height(second), height(first)] == [1, 1, 2, 1]
    assert asked == [1, 2, 1]
