"""One alert from several scorings, sinks that fail one by one, and floods of alerts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from mlids.alerts.aggregation import AlertAggregator
from mlids.alerts.delivery import Delivery
from mlids.alerts.grouping import STORM_FROM
from mlids.alerts.sinks.base import Refused
from mlids.alerts.sinks.jsonl import JsonLinesSink
from mlids.alerts.stores import open_stores
from mlids.detectors.bundle import Scores, Spec
from mlids.detectors.verdict import Verdicts
from mlids.errors import StoreError
from mlids.features.spec import NAMES
from mlids.zeek.types import conn_columns
from tests.alerts.test_sinks import NOON, alert


class Counting:
    """A sink that fails so many times, and refuses documents of one source for good."""

    def __init__(self, name: str, failures: int = 0, refuses: str = "") -> None:
        self.name, self.failures, self.refuses = name, failures, refuses
        self.writes = 0

    def write(self, documents: Sequence[dict[str, Any]]) -> list[Refused]:
        self.writes += 1
        if self.failures:
            self.failures -= 1
            raise StoreError(f"{self.name} is down")
        return [Refused(d, "does not fit") for d in documents if d["src"] == self.refuses]

    def close(self) -> None:
        """Nothing is open."""


def test_a_sink_that_has_taken_alerts_is_not_asked_again(tmp_path: Path) -> None:
    good, bad = Counting("good", refuses="10.0.0.2"), Counting("bad", failures=3)
    delivery = Delivery(open_stores(f"sqlite:///{tmp_path}/mlids.db"), [good, bad, JsonLinesSink(tmp_path)], tmp_path / "dead.jsonl")
    seen: list[str] = []

    def again(error: Exception, attempt: int) -> bool:
        seen.append(f"{attempt} {error}")
        return True

    delivery.send([alert(1), alert(2)], again)
    assert (good.writes, bad.writes) == (1, 4) and seen == ["0 bad is down", "1 bad is down", "2 bad is down"]
    assert delivery.dead_letters == 1 and "does not fit" in (tmp_path / "dead.jsonl").read_text()
    assert len((tmp_path / "alerts-2026-11-20.jsonl").read_text().splitlines()) == 2
    bad.failures = 1
    with pytest.raises(StoreError, match="bad is down"):
        delivery.send([alert(3)], lambda *_: False)
    delivery.send([], lambda *_: False)


def test_parts_of_an_alert_add_up_and_replace_themselves(tmp_path: Path) -> None:
    stores = open_stores(f"sqlite:///{tmp_path}/mlids.db")
    stores.alerts.put([alert(1, count=5, uids=["C1", "C2"])], "live")
    (merged,) = stores.alerts.put([alert(1, count=3, score=95.0, uids=["C9"], reasons="stronger")], "late 2026-11-20")
    assert merged["mlids"]["count"] == 8 and merged["score"] == 95.0 and merged["mlids"]["uids"] == ["C1", "C2", "C9"]
    assert "stronger" in merged["message"]
    stores.alerts.put([alert(1, count=2)], "late 2026-11-20")  # the night once more
    stores.alerts.put([alert(1, count=4)], "live")  # a scorer that lost its state: a live count never falls
    (found,) = stores.alerts.latest()
    assert found["mlids"]["count"] == 7 and found["score"] == 80.0 and found["origin"] == "live"
    stores.alerts.put([alert(2)], "late 2026-11-20")
    stores.alerts.drop_part("hq", "late 2026-11-20", keep=set())
    (found,) = stores.alerts.latest()
    assert found["mlids"]["count"] == 5 and found["src"] == "10.0.0.1"


def _flood(n: int, first: int = 0) -> tuple[pl.DataFrame, np.ndarray, Verdicts]:
    conns = conn_columns(
        pl.DataFrame(
            {"uid": [f"C{first + i}" for i in range(n)], "id.orig_h": [f"10.{(first + i) // 250}.0.{(first + i) % 250}" for i in range(n)]}
        ).with_columns(ts=pl.lit(NOON).dt.cast_time_unit("us"), sensor=pl.lit("hq"))
    )
    scores = Scores(np.full(n, 0.9, np.float32), None, None)
    verdicts = Verdicts(scores, np.full(n, 90.0, np.float32), np.ones(n, bool), np.full(n, -1), np.zeros(n, np.float32))
    return conns, np.zeros((n, len(NAMES)), np.float32), verdicts


class Silent:
    """A model that gives every row the score 0."""

    def __init__(self) -> None:
        self.spec, self.attack_classes = Spec(medians=[0.0] * len(NAMES)), list[str]()
        self.version: str | None = "1"

    def score(self, x: np.ndarray) -> Scores:
        return Scores(np.zeros(len(x), np.float32), None, None)


def test_a_flood_of_alerts_becomes_one() -> None:
    aggregator = AlertAggregator()
    aggregator.add(Silent(), *_flood(60))
    aggregator.add(Silent(), *_flood(1_000, first=60))
    assert len(aggregator.open) == STORM_FROM + 1
    storm = max(aggregator.open.values(), key=lambda a: a.count)
    assert storm.count == 1_060 - STORM_FROM and "many more of them" in storm.document()["message"]
    again = AlertAggregator()  # taken up from a checkpoint in the middle
    again.add(Silent(), *_flood(500))
    taken = AlertAggregator()
    taken.open = dict(again.open)
    taken.add(Silent(), *_flood(560, first=500))
    assert set(taken.open) == set(aggregator.open) and sum(a.count for a in taken.open.values()) == 1_060
