"""States of Elasticsearch that pass by themselves are waited for; a key that may not write stops its sink and nothing else."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mlids import pipeline
from mlids.alerts.dead_letters import UNREADABLE, DeadLetters
from mlids.alerts.delivery import Delivery
from mlids.alerts.sinks.base import Document, Refused
from mlids.alerts.sinks.elasticsearch import ElasticSink
from mlids.alerts.sinks.jsonl import JsonLinesSink
from mlids.alerts.stores import open_stores
from mlids.cli.__main__ import app
from mlids.errors import MlidsError, SettingsError, SourceError, StoreError
from mlids.files import write_atomic
from mlids.pipeline.health import MetricsServer
from mlids.scoring.status import ScorerState, Status
from mlids.settings import load_settings
from tests.conftest import free_port
from tests.support.alerts import NOON, alert
from tests.support.es_node import ElasticsearchNode

Happened = Callable[[str], None]
INDEX = "mlids-2026.11.20"
# For each user of the node: privileges of the cluster, and on `mlids-*`.
USERS: dict[str, tuple[list[str], list[str]]] = {
    "all": (["manage_index_templates"], ["index", "auto_configure"]),
    "indexer": ([], ["index", "auto_configure"]),
    "creator": ([], ["create_doc", "auto_configure"]),
    "writer": ([], ["write"]),
    "reader": ([], ["read"]),
}
# What passes by itself: the request that begins it, and the one that ends it.
SETTINGS = "/_cluster/settings"
STATES: dict[str, list[tuple[str, str, object]]] = {
    "index blocked for writing": [("PUT", f"/{INDEX}/_settings", {"index.blocks.write": v}) for v in (True, None)],
    "index read-only": [("PUT", f"/{INDEX}/_settings", {"index.blocks.read_only": v}) for v in (True, None)],
    "flood-stage watermark": [("PUT", f"/{INDEX}/_settings", {"index.blocks.read_only_allow_delete": v}) for v in (True, None)],
    "index closed": [("POST", f"/{INDEX}/_close", None), ("POST", f"/{INDEX}/_open", None)],
    "cluster read-only": [("PUT", SETTINGS, {"persistent": {"cluster.blocks.read_only": v}}) for v in (True, None)],
    "shard limit reached": [("PUT", SETTINGS, {"persistent": {"cluster.max_shards_per_node": v}}) for v in (1, None)],
    "action.auto_create_index off": [("PUT", SETTINGS, {"persistent": {"action.auto_create_index": v}}) for v in ("false", None)],
}
PASSING = pytest.mark.attack(
    row=9,
    attack="Elasticsearch is in a state that passes: index blocked, read-only, closed, shard limit, auto-create off, a watermark",
    held="no alert becomes a dead letter; live scoring waits, with the sensor's log as the queue",
)
KEYS = pytest.mark.attack(
    row=9,
    attack="a key that may not install templates, not write, or not sign in at all",
    held="templates are not needed; a key that may not write stops its sink alone: the privilege is named, the alerts wait as dead letters",
)


@pytest.fixture(scope="module")
def node() -> Iterator[ElasticsearchNode]:
    running = ElasticsearchNode(USERS).start()
    yield running
    running.stop()


@pytest.fixture(autouse=True)
def _clean(node: ElasticsearchNode) -> Iterator[None]:
    yield
    for index in node.ask("GET", "/mlids-*?expand_wildcards=all"):
        node.ask("DELETE", f"/{index}")


def stored(node: ElasticsearchNode) -> dict[str, int]:
    """Return the counts of the stored alerts, by id."""
    node.ask("POST", "/mlids-*/_refresh")
    hits = node.ask("GET", "/mlids-*/_search?size=10000")["hits"]["hits"]
    assert len({h["_id"] for h in hits}) == len(hits)
    return {h["_id"]: h["_source"]["mlids"]["count"] for h in hits}


@PASSING
@pytest.mark.parametrize("state", STATES)
def test_state_that_passes_is_waited_for(node: ElasticsearchNode, state: str, happened: Happened) -> None:
    sink = ElasticSink(node.url)
    assert sink.write([alert(0).document()]) == []
    tomorrow = timedelta(days=1) if state in {"shard limit reached", "action.auto_create_index off"} else timedelta()
    documents = [alert(n, NOON + tomorrow).document() for n in range(1, 6)]
    begin, end = STATES[state]
    node.ask(*begin)
    try:
        with pytest.raises(StoreError, match=r"5 of 5 alerts|does not take alerts"):
            sink.write(documents)
        fresh = ElasticSink(node.url)
        with pytest.raises(StoreError):
            fresh.write(documents)
        fresh.close()
    finally:
        node.ask(*end)
    assert sink.write(documents) == [] and len(stored(node)) == 6
    sink.close()
    happened("7 states on a real node: 0 dead letters, every alert stored once after each")


@KEYS
@pytest.mark.parametrize("user", ["all", "indexer", "creator"])
def test_key_without_template_rights_writes(node: ElasticsearchNode, user: str) -> None:
    sink = ElasticSink(node.url_of(user))
    for count in (1, 7):  # the same alerts again, grown
        assert sink.write([alert(n, count=count).document() for n in range(3)]) == []
    assert stored(node) == {alert(n).id: 1 if user == "creator" else 7 for n in range(3)}
    sink.close()


def never(error: Exception, attempt: int) -> bool:
    """Fail: nothing may be tried again."""
    raise AssertionError(f"delivery waits: {error}")


@KEYS
@pytest.mark.parametrize(
    ("user", "words"),
    [
        ("reader", "lacks one of the privileges create_doc,"),
        ("writer", r"privileges auto_configure,create_index,manage,all on mlids-\*"),
        ("nobody", "does not accept the key"),
    ],
)
def test_key_that_may_not_write_stops_its_sink_alone(
    node: ElasticsearchNode, tmp_path: Path, user: str, words: str, happened: Happened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlids.alerts.delivery.ASK_AGAIN_S", 0.0)
    stores = open_stores(f"sqlite:///{tmp_path}/mlids.db")
    dead = DeadLetters(tmp_path / "dead.jsonl")
    delivery = Delivery(stores, [ElasticSink(node.url_of(user)), JsonLinesSink(tmp_path)], tmp_path / "dead.jsonl")
    for count in (1, 2, 3):  # an alert that grows is one dead letter
        delivery.send([alert(n, count=count) for n in range(4)], never)
    assert re.search(words, delivery.stopped["elasticsearch"]) and list(delivery.stopped) == ["elasticsearch"]
    assert f"{user}:{user}" not in delivery.stopped["elasticsearch"]
    assert len((tmp_path / "alerts-2026-11-20.jsonl").read_text().splitlines()) == 4
    assert dead.count() == {"elasticsearch": 4} and delivery.dead_letters == 4
    sink = ElasticSink(node.url)
    (resent,) = dead.resend([sink], stores.alerts.documents)
    assert (resent.letters, resent.sent, resent.left) == (4, 4, 0) and dead.count() == {}
    assert stored(node) == {alert(n).id: 3 for n in range(4)}, "with the counts of now"
    sink.close()
    delivery.close()
    happened("the others had every alert at once; 4 alerts were 4 dead letters, and were resent with a better key")


@KEYS
def test_sink_is_used_again_when_its_key_may_write(node: ElasticsearchNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlids.alerts.delivery.ASK_AGAIN_S", 0.0)
    stores = open_stores(f"sqlite:///{tmp_path}/mlids.db")
    delivery = Delivery(stores, [ElasticSink(node.url_of("writer"))], tmp_path / "dead.jsonl")
    delivery.send([alert(1)], never)
    delivery.check_stopped()
    assert "auto_configure" in delivery.stopped["elasticsearch"]
    node.ask("PUT", f"/{INDEX}", {})  # now it need not be created
    delivery.send([alert(2)], never)
    assert delivery.stopped == {} and list(stored(node)) == [alert(2).id]
    delivery.close()


@KEYS
def test_stopped_sink_is_loud(node: ElasticsearchNode, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLIDS_SINKS", "elasticsearch")
    monkeypatch.setenv("MLIDS_ELASTIC_URL", node.url_of("reader"))
    found = {f.part: f for f in pipeline.doctor()}
    assert not found["sinks"].well and "the key lacks index and auto_configure on mlids-*" in found["sinks"].text
    now = datetime.now(UTC).isoformat()
    status = Status("hq", ScorerState.FOLLOWING, now, updated_at=now, stopped_sinks={"elasticsearch": "the key lacks index"})
    write_atomic(home / "state" / "hq" / "status.json", json.dumps(status.as_dict()))
    (home / "sensors.toml").write_text('[[sensor]]\nname = "hq"\nkind = "folder"\n')
    with pytest.raises(SourceError, match="hq: sink elasticsearch is stopped: the key lacks index"):
        pipeline.watch_live()
    with MetricsServer(lambda: [status], "127.0.0.1", 0) as server:
        with pytest.raises(urllib.error.HTTPError, match="503") as refused:
            urllib.request.urlopen(f"http://127.0.0.1:{server.port}/healthz", timeout=10)
        assert b"the key lacks index" in refused.value.read()
        refused.value.close()
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=10) as answer:
            assert b'mlids_sink_stopped{sensor="hq",sink="elasticsearch"} 1.0' in answer.read()
    for user, text in (("all", "may write to mlids-*"), ("creator", "counts of stored alerts do not grow")):
        monkeypatch.setenv("MLIDS_ELASTIC_URL", node.url_of(user))
        found = {f.part: f for f in pipeline.doctor()}
        assert found["sinks"].well and text in found["sinks"].text


RESENT = pytest.mark.attack(
    row=9,
    attack="an index whose mapping refuses alerts makes dead letters",
    held="`mlids alerts resend` delivers them, once, and says how many",
)


def resend(*options: str) -> tuple[int, list[str]]:
    """Return the exit code and the lines of `mlids alerts resend`."""
    done = CliRunner().invoke(app, ["alerts", "resend", *options])
    if isinstance(done.exception, MlidsError):
        return done.exception.exit_code, [str(done.exception)]
    return done.exit_code, done.output.splitlines()


@RESENT
def test_dead_letters_are_sent_again_by_sink_and_those_that_arrived_are_removed(
    node: ElasticsearchNode, home: Path, monkeypatch: pytest.MonkeyPatch, happened: Happened
) -> None:
    monkeypatch.setenv("MLIDS_SINKS", "jsonl,elasticsearch")
    monkeypatch.setenv("MLIDS_ELASTIC_URL", node.url)
    node.ask("PUT", f"/{INDEX}", {"mappings": {"properties": {"score": {"type": "boolean"}}}})
    settings = load_settings()
    delivery = pipeline.stores.open_delivery(settings, "live")
    delivery.send([alert(n) for n in range(5)], never)
    delivery.send([alert(2, count=8)], never)
    assert "5 dead letters wait for `mlids alerts resend`" in {f.part: f.text for f in pipeline.doctor()}["sinks"]
    assert resend("--dry-run") == (0, ["elasticsearch: 5 dead letters, 0 sent, 0 refused again, 5 left"]) and stored(node) == {}
    assert resend() == (1, ["elasticsearch: 5 dead letters, 0 sent, 5 refused again, 0 left"]), "the mapping refuses them still"
    node.ask("DELETE", f"/{INDEX}")
    assert resend() == (0, ["elasticsearch: 5 dead letters, 5 sent, 0 refused again, 0 left"])
    assert resend() == (0, ["no dead letters"])
    assert stored(node) == {alert(n).id: 8 if n == 2 else 1 for n in range(5)}
    DeadLetters(pipeline.stores.dead_letters_file(settings)).add("kafka", [Refused(alert(9).document(), "of a sink that is gone")])
    assert resend("--sink", "elasticsearch") == (0, ["no dead letters"])
    assert resend() == (1, ["kafka: 1 dead letters, 0 sent, 0 refused again, 1 left"])
    assert resend("--sink", "kafka")[0] == 2
    delivery.close()
    happened("5 dead letters: 5 sent, each once; a second run: none")


@RESENT
def test_letters_that_come_while_others_are_resent_stay(tmp_path: Path) -> None:
    dead = DeadLetters(tmp_path / "dead.jsonl")
    dead.add("slow", [Refused(alert(n).document(), "no") for n in range(3)])

    class SlowSink:
        """A sink during whose write a scorer adds a dead letter; the third alert does not arrive."""

        name = "slow"

        def write(self, documents: Sequence[Document]) -> list[Refused]:
            DeadLetters(tmp_path / "dead.jsonl").add("slow", [Refused(alert(7).document(), "no")])
            return [Refused(documents[2], "still not")]

        def close(self) -> None:
            pass

    (resent,) = dead.resend([SlowSink()], lambda ids: {})
    assert (resent.sent, resent.refused) == (2, 1)
    left = [json.loads(line)["alert"]["event"]["id"] for line in (tmp_path / "dead.jsonl").read_text().splitlines()]
    assert left == [alert(2).id, alert(7).id] and (tmp_path / "dead.jsonl").stat().st_mode & 0o777 == 0o600


@RESENT
def test_letters_stay_while_the_sink_is_down(tmp_path: Path) -> None:
    dead = DeadLetters(tmp_path / "dead.jsonl")
    dead.add("elasticsearch", [Refused(alert(n).document(), "no") for n in range(3)])
    with (tmp_path / "dead.jsonl").open("a") as file:
        file.write('{"half')
    sink = ElasticSink(f"http://127.0.0.1:{free_port()}")
    resent, broken = dead.resend([sink], lambda ids: {})
    assert (resent.letters, resent.left) == (3, 3) and "does not take alerts" in str(resent.error) and broken.letters == 1
    dead.add("elasticsearch", [Refused(alert(5).document(), "no")])
    assert dead.count() == {"elasticsearch": 4, UNREADABLE: 1}
    sink.close()


@pytest.mark.attack(
    row=9, attack="an index prefix that Elasticsearch does not allow", held="refused when the settings are read, with the rule"
)
@pytest.mark.parametrize("prefix", ["MLIDS", "_mlids", "-x", "a b", "a*", ".mlids", "ml,ids", "x" * 64, ""])
def test_illegal_prefix_is_refused_with_the_rule(prefix: str, happened: Happened) -> None:
    with pytest.raises(SettingsError, match=r"elastic_prefix: .*lower-case letters, digits"):
        load_settings(elastic_prefix=prefix)
    assert load_settings(elastic_prefix="mlids-2.site_a").elastic_prefix == "mlids-2.site_a"
    happened("refused with the rule")
