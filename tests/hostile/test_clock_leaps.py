"""A sensor's clock that leaps ahead for some rows expires no window of honest ones, restarts no open alert, and heals."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from mlids.alerts.aggregation import AlertAggregator
from mlids.detectors.verdict import judge
from mlids.features.context import Context
from mlids.features.extract import Extractor
from mlids.features.spec import POSITION
from tests.hostile.test_storms import scan
from tests.support.alerts import ConstantModel

NOON = datetime(2026, 11, 20, 12, 30, tzinfo=UTC)

pytestmark = pytest.mark.attack(
    row=11,
    attack="a sensor's clock is 26 h ahead for some rows",
    held="the windows of the rows before it are back three rows after it (`AHEAD_ROWS`, 1,000 when it lasted longer than that, `HEAL_ROWS`), open alerts go on, the ledger names the conns",
)


def rows_with_leap(honest: int, leapt: int, *, at: int, ahead: timedelta = timedelta(hours=26)) -> pl.DataFrame:
    """Return one source's SYNs a second apart, after the first `at` of which `leapt` rows of a clock that is ahead follow."""
    first = scan("10.0.0.66", "10.0.0.2", honest, NOON)
    odd = scan("10.0.0.77", "10.0.0.3", leapt, NOON + timedelta(seconds=at) + ahead)
    return pl.concat([first[:at], odd, first[at:]])


def source_conns(rows: pl.DataFrame, batch: int) -> np.ndarray:
    extractor = Extractor()
    x = np.vstack([extractor.features(rows.slice(start, batch)) for start in range(0, rows.height, batch)])
    return np.expm1(x[:, POSITION["src_conns_1h"]])


@pytest.mark.parametrize("leapt", [3, 40, 700])
def test_windows_go_on_after_the_leap(leapt: int, happened: Callable[[str], None]) -> None:
    rows = rows_with_leap(600, leapt, at=300)
    counts = source_conns(rows, 10_000)[300 + leapt :]
    assert counts[2:].round().tolist() == list(range(303, 601)), f"after the leap the source has {counts[2]:.0f} conns of 303"
    happened(f"{leapt} rows 26 h ahead: three rows later the source has all 303 conns of its hour")


@pytest.mark.parametrize("batch", [1, 7, 100])
def test_a_leap_counts_the_same_however_the_rows_are_cut_and_restored(batch: int) -> None:
    rows = rows_with_leap(600, 20, at=300)
    whole = Context().update(rows)
    context, parts = Context(), []
    for start in range(0, rows.height, batch):
        parts.append(context.update(rows.slice(start, batch)))
        if batch > 1 or 290 < start < 330:
            stored = io.BytesIO()
            context.dump(stored)
            stored.seek(0)
            context = Context.load(stored)
    assert np.array_equal(np.vstack(parts), whole)


def test_a_log_that_begins_ahead_heals() -> None:
    counts = source_conns(rows_with_leap(600, 5, at=0), 10_000)[5:]
    assert counts[2:].round().tolist() == list(range(3, 601)) and np.isfinite(counts).all()


def test_the_clock_of_a_gap_is_kept() -> None:
    first, after = scan("10.0.0.66", "10.0.0.2", 50, NOON), scan("10.0.0.66", "10.0.0.2", 50, NOON + timedelta(hours=26))
    assert source_conns(pl.concat([first, after]), 10_000)[-1].round() == 48, "the hour before a gap has expired from its third row on"


def test_open_alerts_are_not_restarted(happened: Callable[[str], None]) -> None:
    rows = rows_with_leap(2_000, 3, at=1_000)
    model, extractor, aggregator = ConstantModel(), Extractor(), AlertAggregator()
    begun = 0
    for start in range(0, rows.height, 50):
        batch = rows.slice(start, 50)
        x, before = extractor.features(batch), set(aggregator.open)
        verdicts = judge(model, x)
        verdicts.alert[:] = True
        aggregator.add(model, batch, x, verdicts, extractor.context.clock)
        begun += len(set(aggregator.open) - before)
    honest = sum(a.count for a in aggregator.open.values() if a.src == "10.0.0.66")
    assert honest == 2_000, f"the open alerts count {honest} of 2,000 conns: they were begun anew"
    happened(f"alerts begun: {begun}, all 2,000 conns are counted in those that were open")
