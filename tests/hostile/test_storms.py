"""Forged sources cannot hide a host of the site: storms count both sides apart, and every inside source has alerts of its own."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from mlids.alerts.aggregation import AlertAggregator
from mlids.alerts.document import Alert
from mlids.detectors.verdict import Verdicts, judge
from mlids.evidence.base import Evidence
from mlids.features.context import Context
from mlids.features.extract import Extractor
from mlids.features.spec import POSITION
from mlids.ingest.cursor import Position
from mlids.scoring.checkpoint import Checkpoint
from mlids.scoring.evidence_alerts import evidence_alerts
from tests.support.alerts import ConstantModel, flood, scan

NOON = datetime(2026, 11, 20, 12, 30, tzinfo=UTC)
ATTACKER, SERVER = "10.66.6.66", "10.0.0.9"
MOST_ALERTS = 2_500  # of one kind, however many sources are forged

pytestmark = pytest.mark.attack(
    row=5,
    attack="forged outside sources start a storm of alerts, so that an inside host's scan is counted in it",
    held="alerts of one kind, sensor and window: 100 of outside sources, 100 and two for each of 1,000 inside sources, and two storm alerts (`STORM_FROM`, `INSIDE_SOURCES`)",
)


def anomalies(n: int, *, inside: bool, first: int = 0) -> tuple[pl.DataFrame, np.ndarray, Verdicts]:
    """Return anomalies of `n` sources, as their features show them."""
    conns, x, verdicts = flood(n, first)
    x[:, POSITION["orig_local"]] = inside
    return conns, x, verdicts


def named(alerts: list[Alert], source: str) -> list[str]:
    return [a.title for a in alerts if a.src == source]


def test_forged_outside_scans_hide_no_scan_from_inside(happened: Callable[[str], None]) -> None:
    forged = [scan(f"198.51.100.{n}", SERVER, 40, NOON + timedelta(seconds=40 * n)) for n in range(1, 131)]
    rows = pl.concat([*forged, scan(ATTACKER, "10.0.0.2", 200, NOON + timedelta(seconds=6_000))])
    model, extractor, aggregator = ConstantModel(), Extractor(), AlertAggregator()
    for start in range(0, rows.height, 1_000):
        batch = rows.slice(start, 1_000)
        x = extractor.features(batch)
        aggregator.add(model, batch, x, judge(model, x))
    alerts = list(aggregator.open.values())
    assert any("many more of them" in a.title for a in alerts), "the forged scans are a storm"
    assert named(alerts, ATTACKER), f"no alert names {ATTACKER} among {len(alerts)}"
    happened(f"130 forged scans: a storm of outside sources; the inside host has {len(named(alerts, ATTACKER))} alert of its own")


def test_alert_of_an_inside_source_keeps_its_id_in_a_storm_of_outside_sources() -> None:
    alone, stormy = AlertAggregator(), AlertAggregator()
    stormy.add(ConstantModel(), *anomalies(3_000, inside=False, first=50_000))
    inside = anomalies(40, inside=True)
    expected = {a.id for a in alone.add(ConstantModel(), *inside)}
    assert {a.id for a in stormy.add(ConstantModel(), *inside)} == expected


def test_inside_sources_do_not_hide_each_other() -> None:
    aggregator = AlertAggregator()
    aggregator.add(ConstantModel(), *anomalies(300, inside=True))
    last = anomalies(1, inside=True, first=300)
    (alert,) = aggregator.add(ConstantModel(), *last)
    assert alert.key.source == alert.src == last[0]["id.orig_h"].item()


def test_number_of_open_alerts_is_bounded_whoever_is_forged() -> None:
    aggregator = AlertAggregator()
    for first in range(0, 12_000, 3_000):
        aggregator.add(ConstantModel(), *anomalies(3_000, inside=bool(first % 2_000), first=first))
    assert len(aggregator.open) <= MOST_ALERTS and sum(a.count for a in aggregator.open.values()) == 12_000


def test_evidence_of_other_logs_follows_the_same_rule() -> None:
    def tunnel(source: str, zone: int) -> Evidence:
        return Evidence("dns_tunnel", 1.0, "many names", ("C1",), source, f"zone{zone}.example", "192.0.2.53", 53, "udp", NOON, NOON)

    forged = [tunnel(f"198.51.{n // 200}.{n % 200}", n) for n in range(700)]
    alerts = evidence_alerts([*forged, tunnel(ATTACKER, 1)], "hq", "2026-11-20")
    assert named(alerts, ATTACKER) and len(alerts) <= 110
    noisy = [tunnel("10.0.0.5", n) for n in range(150)]
    assert named(evidence_alerts([*noisy, tunnel(ATTACKER, 1), tunnel(ATTACKER, 2)], "hq", "2026-11-20"), ATTACKER)


@pytest.mark.parametrize("cut", [1, 2, 3, 4])
def test_restart_in_a_storm_continues_as_if_there_was_none(tmp_path: Path, cut: int) -> None:
    """The checkpoint is taken before, between and after the storms of both sides."""
    batches = [
        anomalies(60, inside=True), anomalies(90, inside=False, first=20_000), anomalies(60, inside=True, first=30_000),
        anomalies(500, inside=False, first=40_000), anomalies(1_200, inside=True, first=50_000),
    ]  # fmt: skip
    whole, before, after = AlertAggregator(), AlertAggregator(), AlertAggregator()
    for batch in batches:
        whole.add(ConstantModel(), *batch)
    for batch in batches[:cut]:
        before.add(ConstantModel(), *batch)
    checkpoint = Checkpoint(tmp_path)
    checkpoint.save(Position("conn.log", 1), Context(), before, 0, 0, {})
    stored = checkpoint.load()
    assert stored is not None
    after.open = stored.alerts
    for batch in batches[cut:]:
        after.add(ConstantModel(), *batch)
    assert {i: a.count for i, a in after.open.items()} == {i: a.count for i, a in whole.open.items()}
