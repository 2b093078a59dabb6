"""Alerts in JSON lines and in a real Elasticsearch node: a replay leaves the same documents."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from mlids import pipeline
from mlids.alerts.sinks.elasticsearch import ElasticSink
from mlids.alerts.sinks.jsonl import JsonLinesSink
from mlids.errors import StoreError
from tests.conftest import free_port
from tests.support.alerts import NOON, alert
from tests.support.es_node import ElasticsearchNode


def test_json_lines_contain_each_alert_once_after_a_restart(tmp_path: Path) -> None:
    JsonLinesSink(tmp_path).write([a.document() for a in (alert(1), alert(2), alert(3, NOON - timedelta(days=1)))])
    path = tmp_path / "alerts-2026-11-20.jsonl"
    path.write_text(path.read_text() + '{"half": ')  # a writer that was killed
    JsonLinesSink(tmp_path).write([alert(1, count=5).document(), alert(4).document()])
    good = [json.loads(ln) for ln in path.read_text().splitlines() if ln.startswith('{"ts"')]
    assert [d["src"] for d in good] == ["10.0.0.1", "10.0.0.2", "10.0.0.4"]
    assert (tmp_path / "alerts-2026-11-19.jsonl").exists()


@pytest.fixture(scope="module")
def node() -> Iterator[ElasticsearchNode]:
    running = ElasticsearchNode().start()
    yield running
    running.stop()


def test_elasticsearch_stores_a_replay_once(node: ElasticsearchNode, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from elasticsearch import Elasticsearch

    monkeypatch.setenv("MLIDS_ELASTIC_URL", node.url)
    found = pipeline.elastic_install()
    assert found["key"] is None and found["parts"][-1] == {"name": "roles and key", "done": "left out: the cluster has no security"}
    sink = ElasticSink(node.url)
    alerts = [alert(n, NOON + timedelta(hours=n)) for n in range(20)]
    assert sink.write([a.document() for a in alerts]) == []
    sink.write([a.document() for a in (*alerts[:5], alert(3, NOON + timedelta(hours=3), count=7))])
    client = Elasticsearch(node.url)
    client.indices.refresh(index="mlids-*")
    assert client.count(index="mlids-*")["count"] == 20
    assert sorted(client.indices.get(index="mlids-*").body) == ["mlids-2026.11.20", "mlids-2026.11.21"]
    hit = client.get(index="mlids-2026.11.20", id=alert(3).id)["_source"]
    assert hit["mlids"]["count"] == 7 and hit["src"] == "10.0.0.3"
    # Kibana's queries: a histogram over time and the top sources.
    asked = client.search(
        index="mlids-*",
        size=0,
        aggs={"h": {"date_histogram": {"field": "ts", "fixed_interval": "1h"}}, "s": {"terms": {"field": "src", "size": 3}}},
    )["aggregations"]
    assert len(asked["h"]["buckets"]) == 20 and len(asked["s"]["buckets"]) == 3
    odd = alert(90, src="not an address", dst="")
    assert sink.write([odd.document()]) == []
    client.close()
    sink.close()


def test_elasticsearch_that_does_not_answer_is_an_error(node: ElasticsearchNode) -> None:
    sink = ElasticSink(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(StoreError, match="does not take alerts"):
        sink.write([alert(1).document()])
