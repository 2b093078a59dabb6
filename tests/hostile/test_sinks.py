"""States of Elasticsearch that pass by themselves are waited for; a key that may not write stops its sink and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from mlids.alerts.sinks.elasticsearch import ElasticSink
from mlids.errors import SettingsError, StoreError
from mlids.settings import load_settings
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


@pytest.mark.attack(
    row=9, attack="an index prefix that Elasticsearch does not allow", held="refused when the settings are read, with the rule"
)
@pytest.mark.parametrize("prefix", ["MLIDS", "_mlids", "-x", "a b", "a*", ".mlids", "ml,ids", "x" * 64, ""])
def test_illegal_prefix_is_refused_with_the_rule(prefix: str, happened: Happened) -> None:
    with pytest.raises(SettingsError, match=r"elastic_prefix: .*lower-case letters, digits"):
        load_settings(elastic_prefix=prefix)
    assert load_settings(elastic_prefix="mlids-2.site_a").elastic_prefix == "mlids-2.site_a"
    happened("refused with the rule")
