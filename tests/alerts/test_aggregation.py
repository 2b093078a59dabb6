"""The aggregator: further alerts of a kind are counted in one storm alert."""

from __future__ import annotations

from mlids.alerts.aggregation import AlertAggregator
from mlids.alerts.storms import STORM_FROM
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
