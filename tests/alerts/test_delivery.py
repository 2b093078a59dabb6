"""Delivery: sinks fail one by one, refused documents become dead letters."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from mlids.alerts.delivery import Delivery
from mlids.alerts.sinks.base import Document, Refused
from mlids.alerts.sinks.jsonl import JsonLinesSink
from mlids.alerts.stores import open_stores
from mlids.errors import StoreError
from tests.support.alerts import alert


class UnreliableSink:
    """A sink that is down for the first `failures` writes, and refuses documents of one source for good."""

    def __init__(self, name: str, failures: int = 0, refuses: str = "") -> None:
        self.name, self.failures, self.refuses = name, failures, refuses
        self.writes, self.closed = 0, False

    def write(self, documents: Sequence[Document]) -> list[Refused]:
        self.writes += 1
        if self.failures:
            self.failures -= 1
            raise StoreError(f"{self.name} is down")
        return [Refused(d, "does not fit") for d in documents if d["src"] == self.refuses]

    def close(self) -> None:
        self.closed = True


def test_sink_that_has_taken_alerts_is_not_written_again(tmp_path: Path) -> None:
    good, bad = UnreliableSink("good", refuses="10.0.0.2"), UnreliableSink("bad", failures=3)
    stores = open_stores(f"sqlite:///{tmp_path}/mlids.db")
    delivery = Delivery(stores, [good, bad, JsonLinesSink(tmp_path)], tmp_path / "dead.jsonl")
    seen: list[str] = []

    def again(error: Exception, attempt: int) -> bool:
        seen.append(f"{attempt} {error}")
        return True

    delivery.send([alert(1), alert(2)], again)
    assert (good.writes, bad.writes) == (1, 4) and seen == ["0 bad is down", "1 bad is down", "2 bad is down"]
    (dead,) = [json.loads(line) for line in (tmp_path / "dead.jsonl").read_text().splitlines()]
    assert (dead["sink"], dead["reason"], dead["alert"]["src"]) == ("good", "does not fit", "10.0.0.2") and delivery.dead_letters == 1
    assert len((tmp_path / "alerts-2026-11-20.jsonl").read_text().splitlines()) == 2
    bad.failures = 1
    with pytest.raises(StoreError, match="bad is down"):
        delivery.send([alert(3)], lambda *_: False)
    delivery.send([], lambda *_: False)
    delivery.close()
    assert good.closed and bad.closed
