"""Cases in sinks: one document a case, sent again when it grows or an analyst closes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mlids.alerts.delivery import Delivery
from mlids.alerts.sinks.base import Document, Refused
from mlids.alerts.sinks.jsonl import JsonLinesSink
from mlids.alerts.stores import open_stores
from mlids.alerts.stores.cases import CaseState
from mlids.cases.gathering import gather
from mlids.errors import StoreError
from mlids.evidence.base import Evidence, SiteView
from tests.support.evidence import BEACON, piece


class Kept:
    """A sink that keeps documents by id, and can be down."""

    name = "kept"

    def __init__(self) -> None:
        self.documents: dict[str, Document] = {}
        self.writes = 0
        self.down = False

    def write(self, documents: Any) -> list[Refused]:
        if self.down:
            raise StoreError("down")
        self.writes += len(documents)
        self.documents |= {d["event"]["id"]: d for d in documents}
        return []

    def close(self) -> None:
        """Nothing is open."""


def deliver(delivery: Delivery, *evidence: Evidence) -> list[Document]:
    return delivery.put_cases("hq", "day 2026-11-04", gather(evidence, SiteView(), "hq").cases)


def test_a_case_is_one_document_that_grows(tmp_path: Path) -> None:
    sink = Kept()
    delivery = Delivery(open_stores(f"sqlite:///{tmp_path}/a.db"), [sink, JsonLinesSink(tmp_path)], tmp_path / "dead.jsonl")
    (case,) = deliver(delivery, BEACON)
    deliver(delivery, BEACON)
    assert sink.writes == 1, "what did not change is not sent again"
    document = sink.documents[case["id"]]
    assert document["message"] == "high case: 10.0.0.5 calls 203.0.113.9 on port 443/tcp every 27 s"
    assert document["event"]["severity"] == 73 and document["host"]["ip"] == ["10.0.0.5"]
    assert document["threat"]["technique"] == {"id": ["T1071"], "name": ["Application Layer Protocol"]}
    assert document["threat"]["tactic"]["name"] == ["Command and Control"]
    deliver(delivery, BEACON, piece("tls_self_signed", 0.9, log="ssl"))
    assert sink.documents[case["id"]]["mlids"]["severity"] == "critical" and len(sink.documents) == 1
    (line,) = (tmp_path / "alerts-2026-11-04.jsonl").read_text().splitlines()
    assert json.loads(line)["event"]["id"] == case["id"], "JSON lines have a case once, as it began"


def test_low_cases_are_not_sent_and_a_closed_one_is_marked(tmp_path: Path) -> None:
    sink = Kept()
    stores = open_stores(f"sqlite:///{tmp_path}/a.db")
    delivery = Delivery(stores, [sink], tmp_path / "dead.jsonl")
    low, high = piece(score=0.3, source="10.0.0.7"), BEACON
    found = deliver(delivery, low, high)
    assert len(found) == 2 and len(sink.documents) == 1
    stores.cases.set_state(found[0]["id"], CaseState.CLOSED, "ana", verdict="false positive")
    delivery.send_cases([stores.cases.get(found[0]["id"])])
    (document,) = sink.documents.values()
    assert document["mlids"]["state"] == "closed" and document["mlids"]["verdict"] == "false positive"


def test_a_sink_that_was_down_gets_the_case_with_the_next_gathering(tmp_path: Path) -> None:
    sink = Kept()
    delivery = Delivery(open_stores(f"sqlite:///{tmp_path}/a.db"), [sink], tmp_path / "dead.jsonl")
    sink.down = True
    try:
        deliver(delivery, BEACON)
    except StoreError:
        sink.down = False
    deliver(delivery, BEACON)
    assert len(sink.documents) == 1
