"""Every field and every panel of the dashboards on a real node, with the alerts of a night of the synthetic site."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from mlids import pipeline
from mlids.alerts.sinks.elasticsearch import open_sink
from mlids.pipeline.health_documents import all_documents, drift_document
from mlids.scoring.status import ScorerState, Status, StatusFile
from mlids.settings import load_settings
from tests.alerts.conftest import wipe
from tests.conftest import ROOT, copy_home
from tests.support import lens
from tests.support.es_node import ElasticsearchNode
from tests.support.panel_pictures import NOTE, picture

OBJECTS = lens.read(ROOT / "deploy" / "kibana" / "mlids.ndjson")
PANELS = list(lens.panels(OBJECTS))
NIGHT = datetime(2026, 11, 6, 3, tzinfo=UTC)
ALERTS = {"bool": {"must_not": [{"term": {"event.dataset": "mlids.case"}}]}}


@pytest.fixture(scope="module")
def night(secured: ElasticsearchNode, trained_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ElasticsearchNode]:
    """The node after an installation, with what a night and a scorer of the synthetic site wrote with the writer's key."""
    wipe(secured)
    home = copy_home(trained_home, tmp_path_factory.mktemp("night") / "home")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "HOME": home, "ELASTIC_URL": f"https://127.0.0.1:{secured.port}", "ELASTIC_CA_FILE": secured.ca_file,
            "ELASTIC_ADMIN_USER": "admin", "ELASTIC_ADMIN_PASSWORD": "admin", "SINKS": "elasticsearch",
        }.items():  # fmt: skip
            patch.setenv(f"MLIDS_{name}", str(value))
        patch.setenv("MLIDS_ELASTIC_API_KEY", pipeline.elastic_install(make_key=True)["key"])
        pipeline.reconcile("hq", "2026-11-05")
        settings = load_settings()
        for name, fault in (("hq", None), ("branch", "the sensor is down")):
            status = Status(name, model_version="1", rows=5_000, lag_s=0.4, rows_per_s=80.0, errors=1, last_error=fault)
            (settings.state / name).mkdir(parents=True, exist_ok=True)
            StatusFile(settings.state / name / "status.json", status).publish(ScorerState.FAILED if fault else ScorerState.FOLLOWING)
        week = {"current": ["2026-11-04", "2026-11-05"], "share": 0.25, "drifted": ["conns", "hosts"]}
        documents = [*all_documents(settings, NIGHT), drift_document(week)]
        sink = open_sink(settings)
        assert sink.write_health(documents) == [] and sink.write_health(documents) == []
        sink.close()
        secured.ask("POST", "/mlids*/_refresh")
        yield secured


def asked(node: ElasticsearchNode, panel: lens.Panel) -> dict[str, Any]:
    """Return the answer to what a panel asks."""
    body = {"size": 0, "track_total_hits": True, "query": panel.query, "aggs": panel.aggregations()}
    return node.ask("POST", f"/{panel.pattern}/_search", body)


def one(title: str, dashboard: str = "mlids-overview") -> lens.Panel:
    """Return a panel by its title."""
    return next(p for p in PANELS if (p.dashboard, p.title) == (dashboard, title))


def buckets(answer: dict[str, Any]) -> Any:
    """Return the buckets of the outermost aggregation."""
    return next(iter(answer["aggregations"].values()))["buckets"]


def count(node: ElasticsearchNode, pattern: str, query: dict[str, Any]) -> int:
    """Return how many documents match."""
    return node.ask("POST", f"/{pattern}/_count", {"query": query})["count"]


def test_every_field_is_mapped_and_of_a_type_that_its_use_takes(night: ElasticsearchNode) -> None:
    caps = {o["attributes"]["title"]: night.ask("GET", f"/{o['attributes']['title']}/_field_caps?fields=*")["fields"] for (k, _), o in OBJECTS.items() if k == "index-pattern"}  # fmt: skip
    used = [(p.pattern, field, use) for p in PANELS for field, use in p.fields()]
    used += [(pattern, field, "terms") for pattern, field in lens.controls(OBJECTS)]
    assert len(used) > 60
    wrong = []
    for pattern, field, use in used:
        kinds = caps[pattern].get(field, {})
        if len(kinds) != 1:
            wrong.append(f"{pattern}: {field} has {len(kinds)} types")
            continue
        ((kind, facts),) = kinds.items()
        if not facts["aggregatable"] or (lens.TAKES[use] and kind not in lens.TAKES[use]):
            wrong.append(f"{pattern}: {use} does not take {field} ({kind})")
        for column in (
            c for p in PANELS for c in p.columns.values() if c.get("sourceField") == field and c["operationType"] in ("min", "max")
        ):
            if column["dataType"] != ("date" if kind == "date" else "number"):
                wrong.append(f"{column['label']} is shown as {column['dataType']} and is {kind}")
    for name, pattern, fields, _ in lens.searches(OBJECTS):
        wrong += [f"{name}: {field} is not mapped" for field in fields if field not in caps[pattern]]
    assert not wrong, "\n".join(wrong)
    for (kind, _), o in OBJECTS.items():
        if kind == "index-pattern":
            assert set(caps[o["attributes"]["title"]][o["attributes"]["timeFieldName"]]) == {"date"}


def test_every_panel_shows_something_of_the_night(night: ElasticsearchNode) -> None:
    empty = []
    for panel in PANELS:
        answer = asked(night, panel)
        found = answer["hits"]["total"]["value"]
        rows = buckets(answer) if any(c["isBucketed"] for c in panel.columns.values()) else None
        if not found or (rows is not None and not rows):
            empty.append(f"{panel.dashboard}: {panel.title}: {found} documents, {rows} buckets")
    assert not empty, "\n".join(empty)
    assert len(PANELS) >= 30
    for name, pattern, _, query in lens.searches(OBJECTS):
        assert count(night, pattern, query) > 0, name


def test_severities_ways_and_scores_cover_all_alerts(night: ElasticsearchNode) -> None:
    total = count(night, "mlids-*", ALERTS)
    over_time = buckets(asked(night, one("Alerts over time by severity")))
    by_severity = [b for hour in over_time for b in next(v for k, v in hour.items() if isinstance(v, dict))["buckets"].values()]
    assert sum(b["doc_count"] for b in by_severity) == total > 10
    assert sum(b["doc_count"] for b in buckets(asked(night, one("Histogram of score")))) == total
    ways = buckets(asked(night, one("Internal against external")))
    with_both = count(night, "mlids-*", {"bool": {"must": [{"exists": {"field": "src"}}, {"exists": {"field": "dst"}}], **ALERTS["bool"]}})
    assert sum(b["doc_count"] for b in ways.values()) == with_both > 0
    assert ways["inside to outside"]["doc_count"] > 0 and ways["inside only"]["doc_count"] > 0


def test_tables_agree_with_the_database(night: ElasticsearchNode) -> None:
    stored = pipeline.open_stores(load_settings()).alerts.latest(limit=10_000)
    by_source: dict[str, int] = {}
    for a in stored:
        by_source[a["src"]] = by_source.get(a["src"], 0) + 1
    shown = {b["key"]: b["doc_count"] for b in buckets(asked(night, one("Top sources")))}
    assert shown and all(by_source[address] == n for address, n in shown.items())
    kinds = {b["key"]: b["doc_count"] for b in buckets(asked(night, one("What, first and last", "mlids-host")))}
    assert sum(kinds.values()) == len(stored)
    techniques = {b["key"] for b in buckets(asked(night, one("ATT&CK techniques")))}
    assert techniques == {a["threat"]["technique"]["id"] for a in stored if "threat" in a}


def test_the_ledger_of_the_health_dashboard_is_that_of_the_database(night: ElasticsearchNode) -> None:
    panel = one("Ledger: conns of each day, by how they were scored", "mlids-health")
    labels = {i: c["label"] for i, c in panel.columns.items() if not c["isBucketed"]}
    shown = {b["key_as_string"][:10]: {labels[i]: v["value"] for i, v in b.items() if i in labels} for b in buckets(asked(night, panel))}
    stored = {r["day"]: r for r in pipeline.open_stores(load_settings()).ledger.days()}
    assert set(shown) == {"2026-11-04", "2026-11-05"}
    assert shown["2026-11-05"] == {n: stored["2026-11-05"][n] for n in ("live", "late", "missing")} and shown["2026-11-05"]["late"] > 3_000
    assert shown["2026-11-04"] == {"live": 0, "late": 0, "missing": 0}, "it was not reconciled"
    faults = buckets(asked(night, one("Faults", "mlids-health")))
    assert [b["key"] for b in faults] == ["failed; starts again: the sensor is down"]


def test_the_rule_finds_each_alert_of_high_risk_once(night: ElasticsearchNode) -> None:
    rule = json.loads((ROOT / "deploy" / "kibana" / "rule.json").read_text())["params"]
    query = json.loads(rule["esQuery"])["query"]
    aggs = {"groups": {"terms": {"field": rule["termField"], "size": rule["termSize"]}}}
    found = night.ask("POST", f"/{','.join(rule['index'])}/_search", {"size": 0, "query": query, "aggs": aggs})
    groups = found["aggregations"]["groups"]["buckets"]
    stored = [a for a in pipeline.open_stores(load_settings()).alerts.latest(limit=10_000) if a["score"] >= 80]
    assert {b["key"] for b in groups} == {a["event"]["id"] for a in stored} and all(b["doc_count"] == 1 for b in groups) and groups


def test_pictures_are_drawn_from_the_answers_and_say_so(night: ElasticsearchNode, tmp_path: Path) -> None:
    """With KIBANA_PICTURES=docs/images it writes those of the documents."""
    folder = Path(os.environ.get("KIBANA_PICTURES", tmp_path))
    for name in ("overview", "host"):
        shown = [p for p in PANELS if p.dashboard == f"mlids-{name}"]
        title = OBJECTS["dashboard", f"mlids-{name}"]["attributes"]["title"]
        made = picture(title, shown, lambda p: asked(night, p))
        (folder / f"kibana-{name}.svg").write_text(made, encoding="utf-8")
        texts = [t.text or "" for t in ElementTree.fromstring(made).iter("{http://www.w3.org/2000/svg}text")]
        assert NOTE in texts and {p.title for p in shown} <= set(texts)
        assert name != "overview" or f"{count(night, 'mlids-*', ALERTS):,}" in texts
    for path in (ROOT / "docs" / "images").glob("kibana-*.svg"):
        assert NOTE in path.read_text()


def test_health_is_kept_apart_and_a_key_of_before_only_warns(
    night: ElasticsearchNode, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert count(night, "mlids-*", {"term": {"event.dataset": "mlids.health"}}) == 0
    assert count(night, "mlids.health-*", {"match_all": {}}) == 2 + 2 + 1 + 1, "scorers, ledger days, model, drift; each once"
    done = pipeline.send_health()
    assert done["reason"] is None and done["documents"] == 3, "the days of the ledger are older than it sends"
    old = {"indices": [{"names": ["mlids-*"], "privileges": ["index", "auto_configure"]}]}
    made = night.ask("POST", "/_security/api_key", {"name": "before", "role_descriptors": {"w": old}})
    monkeypatch.setenv("MLIDS_ELASTIC_API_KEY", made["encoded"])
    reason = pipeline.send_health()["reason"]
    assert reason and "on mlids.health-*" in reason and "elastic install --new-key" in reason and reason in caplog.text
