"""`mlids elastic install` on a real node: what it puts there, what the writer's key may do, and what it refuses."""

from __future__ import annotations

import json
import logging
import urllib.error
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mlids import pipeline
from mlids.alerts.delivery import Delivery
from mlids.alerts.elastic.client import Tls
from mlids.alerts.elastic.templates import TEMPLATE_VERSION
from mlids.alerts.sinks.elasticsearch import ElasticSink, open_sink
from mlids.alerts.sinks.jsonl import JsonLinesSink
from mlids.alerts.stores import open_stores
from mlids.cli.__main__ import app
from mlids.errors import DeniedError, MlidsError, SettingsError, StoreError
from mlids.settings import load_settings
from tests.conftest import free_port
from tests.support.alerts import NOON, alert
from tests.support.es_node import ElasticsearchNode

PARTS = (
    "/_ilm/policy/mlids", "/_component_template/mlids@settings", "/_component_template/mlids@mappings",
    "/_component_template/mlids.health@mappings", "/_index_template/mlids", "/_index_template/mlids.health",
)  # fmt: skip
ROLES = ("/_security/role/mlids-writer", "/_security/role/mlids-reader", "/_security/api_key?name=mlids-writer")
# The index template of the version before, as the sink itself put it there.
BEFORE = {
    "index_patterns": ["mlids-*"], "priority": 200,
    "template": {"settings": {"number_of_shards": 1}, "mappings": {"dynamic": False, "properties": {"ts": {"type": "date"}, "src": {"type": "ip", "ignore_malformed": True}}}},
}  # fmt: skip


def install(*options: str) -> tuple[int, str]:
    """Return the exit code and the output, or the error, of `mlids elastic install`."""
    done = CliRunner().invoke(app, ["elastic", "install", *options])
    return (done.exception.exit_code, str(done.exception)) if isinstance(done.exception, MlidsError) else (done.exit_code, done.output)


def held(node: ElasticsearchNode) -> str:
    """Return all that an installation puts into a node, as JSON."""
    return json.dumps([node.ask("GET", path) for path in (*PARTS, *ROLES)], sort_keys=True)


def status(client: Any, method: str, path: str, body: object = None) -> int:
    """Return the HTTP status of a request."""
    from elasticsearch import ApiError

    headers = {"accept": "application/json"} | ({"content-type": "application/json"} if body is not None else {})
    try:
        return int(client.perform_request(method, path, headers=headers, body=body).meta.status)
    except ApiError as error:
        return error.meta.status


def test_a_second_installation_changes_nothing_and_shows_no_key(
    clean: ElasticsearchNode, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    # pytest hangs its own handler onto loggers that do not propagate, if an earlier test has made them: nobody else does.
    monkeypatch.setattr(logging.getLogger("elastic_transport.node"), "handlers", [])
    code, first = install()
    *lines, key = first.splitlines()
    assert code == 0 and len([ln for ln in lines if ln.endswith(": installed")]) == 8 and "made, id" in first and len(key) > 50
    assert key not in "\n".join(lines) and key not in caplog.text
    before = held(clean)
    code, second = install()
    assert code == 0 and held(clean) == before and key not in second and "The key" not in second
    assert len([ln for ln in second.splitlines() if "unchanged" in ln]) == 9
    assert json.loads(install("--json")[1])["key"] is None
    assert "still valid as well" in install("--new-key")[1]
    assert "installed" not in install("--no-key")[1]


def test_the_key_writes_alerts_through_the_sink_and_may_do_nothing_else(clean: ElasticsearchNode, monkeypatch: pytest.MonkeyPatch) -> None:
    from elasticsearch import Elasticsearch

    key = pipeline.elastic_install()["key"]
    for name in ("USER", "PASSWORD"):
        monkeypatch.delenv(f"MLIDS_ELASTIC_ADMIN_{name}")
    monkeypatch.setenv("MLIDS_ELASTIC_API_KEY", key)
    sink = open_sink(load_settings())
    assert sink.write([alert(n).document() for n in range(3)]) == []
    assert sink.write([alert(1, count=9).document()]) == [], "an alert that grows is replaced"
    assert sink.check() == "may write to mlids-*"
    sink.close()
    clean.ask("POST", "/mlids-*/_refresh")
    counts = {h["_id"]: h["_source"]["mlids"]["count"] for h in clean.ask("GET", "/mlids-*/_search")["hits"]["hits"]}
    assert counts == {alert(0).id: 1, alert(1).id: 9, alert(2).id: 1}
    index = clean.ask("GET", "/mlids-2026.11.20")["mlids-2026.11.20"]
    assert index["settings"]["index"]["lifecycle"]["name"] == "mlids" and index["mappings"]["dynamic"] == "false"
    assert index["mappings"]["properties"]["mlids"]["properties"]["features"] == {"type": "flattened"}
    client = Elasticsearch(f"https://127.0.0.1:{clean.port}", api_key=key, ca_certs=str(clean.ca_file))
    denied = {
        "search": ("GET", "/mlids-*/_search", None),
        "get": ("GET", f"/mlids-2026.11.20/_doc/{alert(1).id}", None),
        "another index": ("PUT", "/site-2026.11.20/_doc/1", {"ts": "2026-11-20"}),
        "read templates": ("GET", "/_index_template/mlids", None),
        "change templates": ("PUT", "/_index_template/mlids", BEFORE),
        "policy of the index": ("PUT", "/mlids-2026.11.20/_settings", {"index.lifecycle.name": None}),
        "delete an alert": ("DELETE", f"/mlids-2026.11.20/_doc/{alert(1).id}", None),
        "delete an index": ("DELETE", "/mlids-2026.11.20", None),
        "another key": ("POST", "/_security/api_key", {"name": "more"}),
    }
    assert {what: status(client, *request) for what, request in denied.items()} == dict.fromkeys(denied, 403)
    client.close()


def test_a_key_that_only_appends_leaves_what_is_stored(clean: ElasticsearchNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLIDS_ELASTIC_API_KEY", pipeline.elastic_install(append_only=True)["key"])
    sink = open_sink(load_settings())
    for count in (1, 7):
        assert sink.write([alert(1, count=count).document()]) == []
    assert "counts of stored alerts do not grow" in sink.check()
    sink.close()
    assert clean.ask("GET", f"/mlids-2026.11.20/_doc/{alert(1).id}")["_source"]["mlids"]["count"] == 1
    assert "with other privileges than now; --new-key" in install()[1]


def test_the_reader_role_searches_and_does_not_write(clean: ElasticsearchNode) -> None:
    from elasticsearch import Elasticsearch

    install()
    clean.ask("PUT", "/_security/user/ann", {"password": "an-analyst", "roles": ["mlids-reader"]})
    client = Elasticsearch(f"https://127.0.0.1:{clean.port}", basic_auth=("ann", "an-analyst"), ca_certs=str(clean.ca_file))
    clean.ask("PUT", "/site-2026.11.20")
    assert status(client, "GET", "/mlids-*/_search") == 200 and status(client, "GET", "/site-2026.11.20/_search") == 403
    assert status(client, "PUT", "/mlids-2026.11.20/_doc/1", {"ts": "2026-11-20"}) == 403
    client.close()


def test_a_newer_version_is_left_alone(clean: ElasticsearchNode) -> None:
    install()
    newer = clean.ask("GET", "/_component_template/mlids@mappings")["component_templates"][0]["component_template"]
    clean.ask("PUT", "/_component_template/mlids@mappings", newer | {"version": TEMPLATE_VERSION + 1})
    clean.ask("DELETE", "/_security/role/mlids-reader")
    code, text = install()
    assert code == StoreError.exit_code and "a newer version is installed (4; this mlids has 3), nothing was changed" in text
    with pytest.raises(urllib.error.HTTPError, match="404"):
        clean.ask("GET", "/_security/role/mlids-reader")


def test_what_is_not_of_mlids_is_left_alone(clean: ElasticsearchNode) -> None:
    policy = {"policy": {"phases": {"delete": {"min_age": "900d", "actions": {"delete": {}}}}}}
    clean.ask("PUT", "/_ilm/policy/mlids", policy)
    code, text = install()
    assert code == StoreError.exit_code and "/_ilm/policy/mlids is there and is not of mlids, nothing was changed" in text
    assert clean.ask("GET", "/_ilm/policy/mlids")["mlids"]["policy"]["phases"]["delete"]["min_age"] == "900d"
    assert "mlids" not in [t["name"] for t in clean.ask("GET", "/_index_template")["index_templates"]]


def test_days_under_an_older_template_stay_searchable(clean: ElasticsearchNode) -> None:
    clean.ask("PUT", "/_index_template/mlids", BEFORE)
    sink = ElasticSink(clean.url, tls=Tls(clean.ca_file))
    sink.write([alert(1).document()])
    assert "index template mlids: updated" in install()[1]
    sink.write([alert(2, NOON + timedelta(days=1)).document()])
    sink.close()
    clean.ask("POST", "/mlids-*/_refresh")
    query = {"query": {"range": {"ts": {"gte": "2026-11-20", "lt": "2026-11-22"}}}, "aggs": {"s": {"terms": {"field": "src"}}}}
    found = clean.ask("POST", "/mlids-*/_search", query)
    assert {h["_index"]: h["_source"]["src"] for h in found["hits"]["hits"]} == {
        "mlids-2026.11.20": "10.0.0.1",
        "mlids-2026.11.21": "10.0.0.2",
    }
    assert [b["key"] for b in found["aggregations"]["s"]["buckets"]] == ["10.0.0.1", "10.0.0.2"]
    mappings = {i: m["mappings"].get("_meta", {}).get("mlids_version") for i, m in clean.ask("GET", "/mlids-*/_mapping").items()}
    assert mappings == {"mlids-2026.11.20": None, "mlids-2026.11.21": TEMPLATE_VERSION}


def test_retention_follows_its_settings(clean: ElasticsearchNode, monkeypatch: pytest.MonkeyPatch) -> None:
    install()
    assert clean.ask("GET", "/_ilm/policy/mlids")["mlids"]["policy"]["phases"]["delete"]["min_age"] == "30d"
    monkeypatch.setenv("MLIDS_ELASTIC_KEEP_DAYS", "90")
    monkeypatch.setenv("MLIDS_ELASTIC_COLD_DAYS", "14")
    assert [ln for ln in install()[1].splitlines() if "unchanged" not in ln] == ["lifecycle policy mlids: updated"]
    phases = clean.ask("GET", "/_ilm/policy/mlids")["mlids"]["policy"]["phases"]
    assert (phases["cold"]["min_age"], phases["delete"]["min_age"]) == ("14d", "90d")
    monkeypatch.setenv("MLIDS_ELASTIC_COLD_DAYS", "90")
    with pytest.raises(SettingsError, match="fewer than elastic_keep_days"):
        load_settings()


def test_dry_run_prints_the_requests_and_connects_to_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLIDS_ELASTIC_URL", f"http://127.0.0.1:{free_port()}")
    code, text = install("--dry-run")
    requests = [part.partition("\n") for part in text.strip().split("\n\n")]
    assert code == 0 and [first for first, _, _ in requests] == [*(f"PUT {p}" for p in (*PARTS, *ROLES[:2])), "POST /_security/api_key"]
    assert all(json.loads(body) for _, _, body in requests)
    assert json.loads(install("--dry-run", "--json", "--no-key")[1])[-1]["path"] == "/_security/role/mlids-reader"


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"ADMIN_PASSWORD": "wr0ng"}, DeniedError, "does not accept the admin credential; check MLIDS_ELASTIC_ADMIN_USER"),
        ({"ADMIN_USER": "weak", "ADMIN_PASSWORD": "weak"}, DeniedError, "the admin credential lacks one of the privileges read_security,"),
        (
            {"ADMIN_PASSWORD_FILE": "/nowhere", "ADMIN_PASSWORD": ""},
            SettingsError,
            "MLIDS_ELASTIC_ADMIN_PASSWORD_FILE /nowhere cannot be read",
        ),
        ({"ADMIN_PASSWORD": ""}, DeniedError, "does not accept the admin credential"),
        ({"FINGERPRINT": "00" * 32}, StoreError, "its certificate is not accepted: check MLIDS_ELASTIC_CA_FILE"),
        ({"FINGERPRINT": "abc"}, SettingsError, "64 hexadecimal digits"),
        ({"CA_FILE": ""}, StoreError, "its certificate is not accepted"),
        ({"URL": "http://127.0.0.1:9"}, SettingsError, r"cannot be used \(the last two are for https\)"),
        ({"URL": ""}, SettingsError, "MLIDS_ELASTIC_URL must be set"),
        ({"VERIFY": "false"}, SettingsError, "elastic_verify is false, but"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_installed(
    clean: ElasticsearchNode, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], error: type[MlidsError], words: str
) -> None:
    for name, value in settings.items():
        monkeypatch.delenv(f"MLIDS_ELASTIC_{name}", raising=False)
        if value:
            monkeypatch.setenv(f"MLIDS_ELASTIC_{name}", value)
    with pytest.raises(error, match=words) as raised:
        pipeline.elastic_install()
    assert "wr0ng" not in str(raised.value)
    assert "mlids" not in [t["name"] for t in clean.ask("GET", "/_index_template")["index_templates"]]


def test_certificates_are_accepted_by_fingerprint_and_unverified_ones_with_a_warning(
    clean: ElasticsearchNode, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.delenv("MLIDS_ELASTIC_CA_FILE")
    monkeypatch.setenv("MLIDS_ELASTIC_FINGERPRINT", clean.fingerprint)
    monkeypatch.delenv("MLIDS_ELASTIC_ADMIN_PASSWORD")
    (tmp_path / "password").write_text("admin\n")
    monkeypatch.setenv("MLIDS_ELASTIC_ADMIN_PASSWORD_FILE", str(tmp_path / "password"))
    key = pipeline.elastic_install()["key"]
    monkeypatch.setenv("MLIDS_ELASTIC_API_KEY", key)
    assert pipeline.open_sinks(load_settings())[0].write([alert(1).document()]) == [] and "VERIFY" not in caplog.text
    monkeypatch.delenv("MLIDS_ELASTIC_FINGERPRINT")
    monkeypatch.setenv("MLIDS_ELASTIC_VERIFY", "false")
    assert pipeline.open_sinks(load_settings())[0].write([alert(2).document()]) == []
    assert "can read and change alerts and steal the key" in caplog.text and key not in caplog.text


def test_an_admin_api_key_installs_all_but_the_key(clean: ElasticsearchNode, monkeypatch: pytest.MonkeyPatch) -> None:
    made = clean.ask("POST", "/_security/api_key", {"name": "admin"})["encoded"]
    for name in ("USER", "PASSWORD"):
        monkeypatch.delenv(f"MLIDS_ELASTIC_ADMIN_{name}")
    monkeypatch.setenv("MLIDS_ELASTIC_ADMIN_API_KEY", made)
    with pytest.raises(SettingsError, match=r"cannot make a key with privileges.*--no-key"):
        pipeline.elastic_install()
    assert pipeline.elastic_install(make_key=False)["key"] is None
    assert clean.ask("GET", "/_index_template/mlids")["index_templates"][0]["index_template"]["version"] == TEMPLATE_VERSION


def test_a_refused_key_stops_its_sink_alone_and_names_the_command(clean: ElasticsearchNode, tmp_path: Path) -> None:
    reader = ElasticSink(clean.url_of("reader"), tls=Tls(clean.ca_file))
    delivery = Delivery(open_stores(f"sqlite:///{tmp_path}/mlids.db"), [reader, JsonLinesSink(tmp_path)], tmp_path / "dead.jsonl")
    delivery.send([alert(1)], lambda error, attempt: False)
    assert list(delivery.stopped) == ["elasticsearch"] and (tmp_path / "alerts-2026-11-20.jsonl").exists()
    assert "lacks one of the privileges create_doc," in delivery.stopped["elasticsearch"]
    assert "`mlids elastic install --new-key`" in delivery.stopped["elasticsearch"]
    delivery.close()
    unknown = ElasticSink(f"https://127.0.0.1:{clean.port}", api_key="bm90OmFrZXk=", tls=Tls(clean.ca_file))
    with pytest.raises(DeniedError, match="check MLIDS_ELASTIC_API_KEY, or `mlids elastic install") as denied:
        unknown.write([alert(1).document()])
    assert "bm90OmFrZXk" not in str(denied.value)
    unknown.close()


def doctor() -> tuple[bool, str]:
    """Return what `mlids doctor` says of the templates."""
    (found,) = [f for f in pipeline.doctor() if f.part == "index templates"]
    return found.well, found.text


def test_doctor_names_templates_that_lack_or_are_older(clean: ElasticsearchNode, monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"https://127.0.0.1:{clean.port}"
    monkeypatch.setenv("MLIDS_ELASTIC_URL", clean.url)
    pipeline.open_stores(load_settings()).close()  # doctor looks no further where no home is
    well, text = doctor()
    assert not well and "no index template mlids" in text and "run `mlids elastic install`" in text
    clean.ask("PUT", "/_index_template/mlids", BEFORE)
    well, text = doctor()
    assert not well and "older version (1; this mlids has 3)" in text
    sink = ElasticSink(clean.url, tls=Tls(clean.ca_file))
    sink.write([alert(1).document()])
    key = pipeline.elastic_install()["key"]
    well, text = doctor()
    assert well and text.endswith("has the index template mlids, version 3")
    monkeypatch.setenv("MLIDS_ELASTIC_URL", address)
    monkeypatch.setenv("MLIDS_ELASTIC_API_KEY", key)
    well, text = doctor()
    assert not well and "the newest index, mlids-2026.11.20, was made by the template of an older version" in text
    sink.write([alert(2, NOON + timedelta(days=1)).document()])
    sink.close()
    assert doctor() == (True, "the newest index, mlids-2026.11.21, was made by the template, version 3")
    clean.ask("DELETE", "/mlids-2026.11.20,mlids-2026.11.21")
    assert doctor() == (True, "no index mlids-* is there yet, so that this key cannot see them")
