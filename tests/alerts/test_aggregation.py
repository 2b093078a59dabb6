"""The aggregator: further alerts of a kind are counted in one storm alert."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import polars as pl

from mlids.alerts.aggregation import AlertAggregator
from mlids.alerts.grouping import group_keys
from mlids.alerts.storms import STORM_FROM
from mlids.detectors.bundle import Scores
from mlids.detectors.reference import load_reference
from mlids.detectors.verdict import Verdicts
from mlids.features.behaviours import BEHAVIOURS
from tests.support.alerts import ConstantModel, flood


def test_a_flood_of_alerts_becomes_one() -> None:
    aggregator = AlertAggregator()
    aggregator.add(ConstantModel(), *flood(60))
    aggregator.add(ConstantModel(), *flood(1_000, first=60))
    assert len(aggregator.open) == STORM_FROM + 1
    storm = max(aggregator.open.values(), key=lambda a: a.count)
    assert storm.count == 1_060 - STORM_FROM and "many more of them" in storm.document()["message"]
    before = AlertAggregator()  # the state of a checkpoint in the middle
    before.add(ConstantModel(), *flood(500))
    restored = AlertAggregator()
    restored.open = dict(before.open)
    restored.add(ConstantModel(), *flood(560, first=500))
    assert set(restored.open) == set(aggregator.open) and sum(a.count for a in restored.open.values()) == 1_060


def test_probes_from_outside_are_one_alert_a_day() -> None:
    names = [b.name for b in BEHAVIOURS]

    def ids(kind: str) -> list[str]:
        conns = pl.DataFrame(
            {
                "sensor": ["hq"] * 3,
                "ts": [datetime(2026, 11, 4, 3, tzinfo=UTC), datetime(2026, 11, 4, 22, tzinfo=UTC), datetime(2026, 11, 5, 3, tzinfo=UTC)],
            }
        ).with_columns(
            **{n: pl.lit(v) for n, v in (("id.orig_h", "203.0.113.1"), ("id.resp_h", "10.0.0.1"), ("id.resp_p", 22), ("proto", "tcp"))}
        )
        scores = Scores(np.zeros(3, np.float32), None, None)
        verdicts = Verdicts(scores, np.full(3, 90.0, np.float32), np.ones(3, bool), np.full(3, names.index(kind)), np.ones(3, np.float32))
        return [k.id for k in group_keys(load_reference(), conns, verdicts, np.arange(3))]

    morning, evening, tomorrow = ids("inbound_probes")
    assert morning == evening != tomorrow
    assert len(set(ids("brute_force"))) == 3
