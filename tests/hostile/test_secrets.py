"""Passwords in URLs are not shown, and what mlids writes is for its user alone."""

from __future__ import annotations

import json
import logging
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mlids import pipeline
from mlids.alerts.dead_letters import DeadLetters
from mlids.alerts.delivery import Delivery
from mlids.alerts.sinks.base import Refused
from mlids.alerts.sinks.elasticsearch import ElasticSink
from mlids.alerts.sinks.jsonl import JsonLinesSink
from mlids.alerts.stores import open_stores
from mlids.cli.output import fail
from mlids.errors import MlidsError, ModelError, SourceError, StoreError
from mlids.files import write_atomic
from mlids.pipeline.registry_watch import watch_command
from mlids.scoring.live_model import ProductionModel
from mlids.scoring.status import ScorerState, Status, StatusFile
from mlids.settings import load_settings
from mlids.text import LineFormatter, redact, short
from tests.conftest import free_port
from tests.support.alerts import alert

PASSWORDS = pytest.mark.attack(
    row=10,
    attack="another user of the machine reads passwords in URLs (MLflow, Elasticsearch, database) from `ps`, `status.json`, `/healthz`, errors or the log",
    held="the passwords: one function, `mlids.text.redact`, is applied to every error of mlids, every text of a scorer's status and every line of the log of `mlids serve`",
)
STATE = pytest.mark.attack(
    row=10,
    attack="another user of the machine reads alerts and state",
    held="alerts, verdicts, model pointers: databases, JSON lines, dead letters, status files, checkpoints and reports have mode 0600",
)
SECRET = "s3cr/et:p@ss"
URLS = [
    f"http://mlids:{SECRET}@mlflow.example:5000/path",
    f"https://elastic:{SECRET}@es.example:9200",
    f"postgresql+psycopg2://ids:{SECRET}@db.example/mlids",
    f"postgresql://db.example/mlids?user=ids&password={SECRET}",
    f"https://:{SECRET}@es.example",
]


@PASSWORDS
@pytest.mark.parametrize("url", URLS)
def test_no_url_shows_its_password(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], happened: Callable[[str], None]) -> None:
    text = f"could not reach '{url}': refused (see {url}), again"
    record = logging.LogRecord("mlids", logging.ERROR, "", 0, "failed: %s", (text,), None)
    status = Status("hq", last_error=text, model_error=text)
    StatusFile(tmp_path / "status.json", status).publish(ScorerState.WAITING)
    fail(text, 1)
    shown = {
        "redact": redact(text), "short": short(text, len("could not reach '") + url.index(SECRET[:3]) + 4),
        "errors": str(SourceError(text)) + repr(StoreError(text)), "log": LineFormatter().format(record),
        "status.json": (tmp_path / "status.json").read_text(), "/healthz": json.dumps(status.as_dict()), "stderr": capsys.readouterr().err,
    }  # fmt: skip
    assert [where for where, said in shown.items() if "s3c" in said or "p@ss" in said] == []
    assert "example" in shown["redact"] and "again" in shown["redact"]
    happened(f"{len(URLS)} kinds of URL in {len(shown)} places: no password is shown")


@PASSWORDS
def test_urls_without_a_password_stay() -> None:
    for text in ("http://127.0.0.1:5000/#/a b@c", "sftp://zeek@sensor:22/logs", "sqlite:////home/x/mlids.db", "mail me@example.org: now"):
        assert redact(text) == text


@PASSWORDS
def test_the_registry_watch_has_no_password_among_its_arguments(home: Path, happened: Callable[[str], None]) -> None:
    uri = f"http://mlids:s3cret@127.0.0.1:{free_port()}"
    with ProductionModel(watch_command(uri, "mlids-conn"), home / "model", poll_s=0.2) as model:
        assert model._watch is not None and model._watch._process is not None
        arguments = Path(f"/proc/{model._watch._process.pid}/cmdline").read_bytes()
        end = time.monotonic() + 20
        while model.error is None and time.monotonic() < end:
            time.sleep(0.2)
        error = str(model.error)
    assert b"registry_watch" in arguments and b"s3cret" not in arguments
    assert "127.0.0.1" in error and "s3cret" not in error, "the watch has the address, from its environment"
    assert "s3cret" not in (home / "model" / "production.json").read_text()
    happened("the registry watch has the tracking URI in its environment, not among its arguments")


@PASSWORDS
def test_errors_of_stores_hide_the_password(home: Path) -> None:
    port = free_port()
    sink = ElasticSink(f"http://elastic:s3cret@127.0.0.1:{port}")
    with pytest.raises(MlidsError) as elastic:
        sink.write([alert(1).document()])
    sink.close()
    with pytest.raises(MlidsError) as database:
        open_stores(f"postgresql+psycopg2://ids:s3cret@127.0.0.1:{port}/mlids")
    assert "s3cret" not in f"{elastic.value} {database.value}"


@STATE
def test_databases_alerts_and_state_are_for_their_owner(home: Path, happened: Callable[[str], None]) -> None:
    old = os.umask(0o022)
    try:
        settings = load_settings()
        stores = pipeline.open_stores(settings)
        sink = JsonLinesSink(home / "alerts")
        dead = Delivery(stores, [sink], home / "alerts" / "dead-letters.jsonl", "live")
        dead.send([alert(1)], lambda error, attempt: False)
        DeadLetters(home / "alerts" / "dead-letters.jsonl").add("jsonl", [Refused(alert(1).document(), "no")])
        StatusFile(home / "state" / "hq" / "status.json", Status("hq")).publish(ScorerState.FOLLOWING)
        with pytest.raises(ModelError, match="no model is registered"):  # MLflow's database is made when it is asked
            pipeline.open_registry(settings).find("1")
    finally:
        os.umask(old)
    found = {p.name: stat.S_IMODE(p.stat().st_mode) for p in home.rglob("*") if p.is_file()}
    assert {"mlids.db", "alerts-2026-11-20.jsonl", "dead-letters.jsonl", "status.json", "mlflow.db"} <= set(found)
    assert {name: oct(mode) for name, mode in found.items() if mode & 0o077} == {}
    happened("no file of the home can be read by others")


@STATE
def test_what_an_older_mlids_left_open_is_closed(home: Path, tmp_path: Path, happened: Callable[[str], None]) -> None:
    home.mkdir()
    (home / "alerts").mkdir()
    paths = [home / "mlids.db", home / "alerts" / "alerts-2026-11-20.jsonl", tmp_path / "state.json"]
    for path in paths:
        path.touch(0o644)
        path.chmod(0o644)
    pipeline.open_stores(load_settings()).close()
    JsonLinesSink(home / "alerts").write([alert(1).document()])
    write_atomic(paths[2], "{}")
    assert [oct(stat.S_IMODE(p.stat().st_mode)) for p in paths] == ["0o600"] * 3
    happened("those of an older mlids are closed when they are opened")


@PASSWORDS
def test_secrets_are_read_from_files(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, happened: Callable[[str], None]) -> None:
    (tmp_path / "mlids_database_url").write_text("postgresql+psycopg2://ids:s3cret@db/mlids\n")
    (tmp_path / "mlids_elastic_api_key").write_text("of the file")
    (tmp_path / "redis_conf").write_text("of others")
    monkeypatch.setenv("MLIDS_SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("MLIDS_ELASTIC_API_KEY", "of the environment")
    settings = load_settings()
    assert settings.database == "postgresql+psycopg2://ids:s3cret@db/mlids" and settings.elastic_api_key is not None
    assert settings.elastic_api_key.get_secret_value() == "of the environment"
    monkeypatch.setenv("MLIDS_SECRETS_DIR", str(tmp_path / "none"))
    assert load_settings().database.startswith("sqlite:")
    happened("settings are also read from files (`MLIDS_SECRETS_DIR`), as those of containers")
