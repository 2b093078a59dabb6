"""Faults of the sinks: nothing is read while one is down, and no alert is lost or there twice afterwards."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlids.scoring.status import ScorerState
from tests.conftest import free_port
from tests.faults.conftest import LONG
from tests.faults.field import Field, Outcome
from tests.faults.proxy import BrokenProxy
from tests.support.es_node import ElasticsearchNode

Tell = Callable[[Outcome], None]


def test_sink_down(place: Field, tell: Tell) -> None:
    """The database cannot be written: nothing is read, and all of it is read afterwards."""
    scorer = place.begin(0.2)
    home = place.home / "mlids.db"
    hidden = home.with_suffix(".away")
    for suffix in ("", "-wal", "-shm"):
        if Path(f"{home}{suffix}").exists():
            shutil.move(f"{home}{suffix}", f"{hidden}{suffix}")
    home.mkdir()  # a folder where the file was
    place.write(0.3)
    assert place.until(lambda: scorer.status.state is ScorerState.WAITING_FOR_SINK)
    seconds = 600.0 if LONG else 4.0
    parts = 10
    for part in range(parts):
        place.write(0.3 / parts)
        if part in (3, 7):
            place.log.rotate()
        time.sleep(seconds / parts)
    home.rmdir()
    for suffix in ("", "-wal", "-shm"):
        if Path(f"{hidden}{suffix}").exists():
            shutil.move(f"{hidden}{suffix}", f"{home}{suffix}")
    place.write_rest()
    assert place.caught_up(90.0)
    outcome = place.settle(f"sink down for {seconds:.0f} s, two rotations meanwhile")
    assert place.found() == place.expected()
    tell(outcome)


@pytest.fixture(scope="module")
def node() -> Iterator[ElasticsearchNode]:
    running = ElasticsearchNode().start()
    yield running
    running.stop()


def is_alert(document: dict[str, Any]) -> bool:
    """Return whether a document is an alert, not one of the cases that the night gathers."""
    return bool(document["event"]["dataset"] != "mlids.case")


def test_elasticsearch_429_503_and_timeouts_after_commit(
    place: Field, tell: Tell, node: ElasticsearchNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    from elasticsearch import Elasticsearch

    monkeypatch.setattr("mlids.alerts.sinks.elasticsearch.TIMEOUT_S", 1.0)
    proxy = BrokenProxy(node.url).start()
    monkeypatch.setenv("MLIDS_SINKS", "sqlite,jsonl,elasticsearch")
    monkeypatch.setenv("MLIDS_ELASTIC_URL", proxy.url)
    monkeypatch.setenv("MLIDS_ELASTIC_PREFIX", f"faults-{free_port()}")
    index = f"{place.settings.elastic_prefix}-*"
    try:
        scorer = place.start()
        for fault in ("", "429", "503", "timeout after commit", "cut after commit", ""):
            proxy.fault = fault
            place.write(0.15)
            if fault:
                assert place.until(lambda: proxy.hits[fault] >= 1, 20.0), f"{fault} was never seen"  # noqa: B023
            proxy.fault = ""
        place.write_rest()
        assert place.caught_up(60.0) and scorer.status.errors >= 4
        outcome = place.settle("sink answers 429, 503, then times out and is cut after it committed")
        client = Elasticsearch(node.url)
        client.indices.refresh(index=index)
        hits = client.search(index=index, size=10_000)["hits"]["hits"]
        client.close()
        assert {h["_id"]: h["_source"]["mlids"]["count"] for h in hits if is_alert(h["_source"])} == place.found() == place.expected()
        assert outcome.late == 0
        tell(outcome)
    finally:
        proxy.stop()


def test_poisoned_alert_goes_to_the_dead_letters(
    place: Field, tell: Tell, node: ElasticsearchNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mapping that refuses one kind of alert: the others arrive, and the refused ones lie beside with the reason."""
    import json

    from elasticsearch import Elasticsearch

    prefix = f"poison-{free_port()}"
    client = Elasticsearch(node.url)
    client.indices.put_index_template(
        name=f"{prefix}-of-the-house", index_patterns=[f"{prefix}-*"], priority=500,  # goes before mlids' own
        template={"mappings": {"properties": {"source": {"properties": {"address": {"type": "ip"}}}, "rule": {"properties": {"name": {"type": "keyword", "ignore_above": 8191}}}, "mlids": {"properties": {"count": {"type": "byte"}}}}}},
    )  # fmt: skip
    monkeypatch.setenv("MLIDS_SINKS", "jsonl,elasticsearch")
    monkeypatch.setenv("MLIDS_ELASTIC_URL", node.url)
    monkeypatch.setenv("MLIDS_ELASTIC_PREFIX", prefix)
    scorer = place.start()
    place.write_rest()
    assert place.caught_up()
    outcome = place.settle("a sink rejects some alerts permanently (mapping)")
    dead = [json.loads(line) for line in (place.home / "alerts" / "dead-letters.jsonl").read_text().splitlines()]
    assert all("byte" in d["reason"] and d["sink"] == "elasticsearch" for d in dead)
    dead = [d for d in dead if is_alert(d["alert"])]
    assert scorer.status.dead_letters >= len(dead) > 0, "refused cases count too"
    client.indices.refresh(index=f"{prefix}-*")
    hits = client.search(index=f"{prefix}-*", size=1_000)["hits"]["hits"]
    client.close()
    assert {h["_id"] for h in hits if is_alert(h["_source"])} | {d["alert"]["event"]["id"] for d in dead} == set(place.found())
    tell(outcome)
