"""Alerts in SQLite, JSON lines and a genuine Elasticsearch node: a replay leaves the same as once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from mlids.alerts.document import Alert
from mlids.alerts.grouping import GroupKey
from mlids.alerts.sinks.elasticsearch import ElasticSink
from mlids.alerts.sinks.jsonl import JsonLinesSink
from mlids.alerts.stores import open_stores
from mlids.errors import StoreError
from tests.conftest import free_port
from tests.support.es_node import ElasticsearchNode

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def alert(n: int, when: datetime = NOON, **changes: object) -> Alert:
    key = GroupKey(f"id{n:030d}", "hq", "brute_force", f"10.0.0.{n}", "192.0.2.1:22/tcp", 0)
    fields: dict[str, object] = {
        "key": key, "ts": when, "last_ts": when, "score": 80.0, "src": f"10.0.0.{n}", "src_port": 50_000, "dst": "192.0.2.1",
        "dst_port": 22, "proto": "tcp", "reasons": "many logins", "uids": ["C1"], "model_version": "3",
    }  # fmt: skip
    return Alert(**(fields | changes))  # type: ignore[arg-type]


def test_document_is_ecs_with_the_three_fields_on_top() -> None:
    doc = alert(1).document()
    assert (doc["ts"], doc["score"], doc["src"]) == ("2026-11-20T12:00:00.000000Z", 80.0, "10.0.0.1")
    assert doc["event"]["kind"] == "alert" and doc["event"]["risk_score"] == doc["score"]
    assert doc["source"] == {"address": "10.0.0.1", "ip": "10.0.0.1", "port": 50_000}
    assert doc["threat"]["technique"]["id"] == "T1110"
    bare = alert(1, key=GroupKey("x", "hq", "anomaly", "10.0.0.1", "", 0)).document()
    assert "threat" not in bare, "no technique is claimed for a bare anomaly"


def test_database_keeps_an_alert_once_and_brings_it_up_to_date(tmp_path: Path) -> None:
    stores = open_stores(f"sqlite:///{tmp_path}/a/mlids.db")
    stores.alerts.put([alert(1), alert(2)], "live")
    stores.alerts.put([alert(1, count=9, score=95.0)], "live")
    assert stores.alerts.put([], "live") == []
    found = {a["src"]: a for a in stores.alerts.latest()}
    assert len(found) == 2 and found["10.0.0.1"]["mlids"]["count"] == 9 and found["10.0.0.1"]["score"] == 95.0
    assert stores.alerts.latest(since=NOON + timedelta(seconds=1)) == []
    stores.rules.put_verdict(alert(1).id, "false positive", "ana", "backup job")
    assert {a["src"]: a["verdict"] for a in stores.alerts.latest()} == {"10.0.0.1": "false positive", "10.0.0.2": None}
    with pytest.raises(StoreError, match="no alert"):
        stores.rules.put_verdict("nothing", "true positive", "ana")
    stores.close()


def test_database_that_cannot_be_reached_does_not_show_its_password() -> None:
    with pytest.raises(StoreError) as refused:
        open_stores(f"postgresql+psycopg2://u:hunter2@127.0.0.1:{free_port()}/x")
    assert "hunter2" not in str(refused.value)


def test_concurrent_writers_do_not_lock_each_other_out(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    url = f"sqlite:///{tmp_path}/mlids.db"
    open_stores(url).close()

    def write(worker: int) -> None:
        stores = open_stores(url)
        for n in range(20):
            stores.alerts.put([alert(worker * 100 + n)], "live")
        stores.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    stores = open_stores(url)
    with stores.engine.reading("alerts") as db:
        assert db.execute(sa.text("select count(*) from alerts")).scalar() == 80
    stores.close()


def test_json_lines_hold_each_alert_once_also_after_a_restart(tmp_path: Path) -> None:
    JsonLinesSink(tmp_path).write([a.document() for a in (alert(1), alert(2), alert(3, NOON - timedelta(days=1)))])
    path = tmp_path / "alerts-2026-11-20.jsonl"
    path.write_text(path.read_text() + '{"half": ')  # killed while it wrote
    JsonLinesSink(tmp_path).write([alert(1, count=5).document(), alert(4).document()])
    good = [json.loads(ln) for ln in path.read_text().splitlines() if ln.startswith('{"ts"')]
    assert [d["src"] for d in good] == ["10.0.0.1", "10.0.0.2", "10.0.0.4"]
    assert (tmp_path / "alerts-2026-11-19.jsonl").exists()


@pytest.fixture(scope="module")
def node() -> Iterator[ElasticsearchNode]:
    running = ElasticsearchNode().start()
    yield running
    running.stop()


def test_elasticsearch_takes_a_replay_without_doubles(node: ElasticsearchNode) -> None:
    from elasticsearch import Elasticsearch

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
    # What Kibana would ask: a histogram of the score and the top sources.
    asked = client.search(
        index="mlids-*",
        size=0,
        aggs={"h": {"date_histogram": {"field": "ts", "fixed_interval": "1h"}}, "s": {"terms": {"field": "src", "size": 3}}},
    )["aggregations"]
    assert len(asked["h"]["buckets"]) == 20 and len(asked["s"]["buckets"]) == 3
    odd = alert(90, src="not an address", dst="")
    assert sink.write([odd.document()]) == []
    client.close()


def test_elasticsearch_that_is_away_is_an_error(node: ElasticsearchNode) -> None:
    sink = ElasticSink(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(StoreError, match=r"index template was refused|does not take alerts"):
        sink.write([alert(1).document()])
