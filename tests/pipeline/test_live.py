"""Live scoring as a service: several sensors, metrics, health, the watch, the doctor."""

from __future__ import annotations

import json
import os
import socket
import threading
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mlids import pipeline
from mlids.detectors.bundle import Model
from mlids.errors import SourceError, StackError
from mlids.features.spec import FEATURES_VERSION
from mlids.pipeline import live
from mlids.pipeline.health import MetricsServer, is_well, notify
from mlids.pipeline.registry_watch import watch_command
from mlids.scoring.live_model import ProductionModel
from mlids.scoring.status import ScorerState, Status
from mlids.settings import load_settings
from mlids.synth.growing import GrowingLog
from tests.conftest import audit_production, free_port
from tests.faults.field import traffic
from tests.support.serving import serve_until, wait_until


@pytest.fixture
def two(trained_home: Path, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> list[GrowingLog]:
    """Two sensors in folders, and a third whose machine is not there."""
    monkeypatch.setenv("MLIDS_HOME", str(trained_home))
    monkeypatch.setenv("MLIDS_DATABASE_URL", f"sqlite:///{tmp_path}/mlids.db")
    audit_production()
    logs = [GrowingLog(tmp_path / name).open() for name in ("a", "b")]
    entries = [f'[[sensor]]\nname = "{n}-{tmp_path.name[-20:]}"\nkind = "folder"\nlogs = "{tmp_path / n}"\n' for n in ("a", "b")]
    entries.append(f'[[sensor]]\nname = "c-{tmp_path.name[-20:]}"\nhost = "127.0.0.1"\nport = {free_port()}\ntimeout_s = 2\n')
    sensors = tmp_path / "sensors.toml"
    sensors.write_text("".join(entries))
    monkeypatch.setenv("MLIDS_SENSORS_FILE", str(sensors))
    return logs


def _get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:  # not listening yet
        return 0, ""


def _metrics(text: str) -> dict[str, dict[str, float]]:
    """Return the metrics by name and first letter of the sensor; of a histogram its count."""
    shown = [(f, [s for s in f.samples if "sensor" in s.labels]) for f in text_string_to_metric_families(text)]
    return {
        f.name: {s.labels["sensor"][0]: s.value for s in samples if f.type != "histogram" or s.name.endswith("_count")}
        for f, samples in shown
    }


def test_a_sensor_that_is_down_holds_up_no_other(two: list[GrowingLog], monkeypatch: pytest.MonkeyPatch) -> None:
    rows = traffic(datetime.now(UTC))
    for log in two:
        log.append(rows)
    port = free_port()
    faults: list[str] = []

    def scored() -> bool:
        metrics = _metrics(_get(port, "/metrics")[1])
        return metrics.get("mlids_rows", {}) == {"a": rows.height, "b": rows.height, "c": 0} and metrics["mlids_errors"]["c"] > 0

    def only_c_is_a_fault() -> bool:
        try:
            pipeline.watch_live(5.0)  # a wait shorter than the bound is not a fault
        except SourceError as error:
            faults[:] = [str(error)]
        return bool(faults) and "c-" in faults[0] and "a-" not in faults[0] and "b-" not in faults[0]

    seen: list[tuple[int, str]] = []

    def looked() -> bool:
        if scored() and only_c_is_a_fault():
            seen.extend([_get(port, "/metrics"), _get(port, "/healthz"), _get(port, "/x")])
        return bool(seen)

    done = {s["sensor"][0]: s for s in serve_until(looked, lambda: pipeline.serve(metrics_port=port), monkeypatch)}
    assert done["a"]["rows"] == done["b"]["rows"] == rows.height
    assert done["c"]["rows"] == 0 and "is sshd running" in done["c"]["last_error"]
    alerts = pipeline.open_stores(load_settings()).alerts.latest(limit=1_000)
    assert {a["observer"]["name"][0] for a in alerts} == {"a", "b"}

    metrics = _metrics(seen[0][1])
    assert metrics["mlids_rows"] == {"a": rows.height, "b": rows.height, "c": 0}
    assert metrics["mlids_up"] == {"a": 1, "b": 1, "c": 0} and metrics["mlids_errors"]["c"] > 0
    assert metrics["mlids_scoring_latency_seconds"] == {"a": rows.height, "b": rows.height}, "c has scored none"
    assert f'mlids_build_info{{features_version="{FEATURES_VERSION}"' in seen[0][1]
    assert seen[1][0] == 200 and len(json.loads(seen[1][1])) == 3 and seen[2][0] == 404

    assert "is sshd running" in faults[0]
    findings = {f.part.split("-")[0]: f for f in pipeline.doctor()}
    assert findings["database"].well and findings["model"].well and findings["sensor a"].well
    assert not findings["sensor c"].well and "is sshd running" in findings["sensor c"].text


def test_the_watch_sees_silence_and_lag(two: list[GrowingLog]) -> None:
    settings = load_settings()
    with pytest.raises(SourceError, match="no scorer has ever followed it"):
        pipeline.watch_live()
    for sensor in settings.sensors():
        folder = settings.state / sensor.name
        folder.mkdir(parents=True, exist_ok=True)
        status = Status(sensor.name, state=ScorerState.FOLLOWING, updated_at=datetime.now(UTC).isoformat())
        (folder / "status.json").write_text(json.dumps(status.as_dict()))
    assert len(pipeline.watch_live()) >= 3
    late = Status(settings.sensors()[0].name, state=ScorerState.FOLLOWING, updated_at=datetime.now(UTC).isoformat(), lag_s=400.0).as_dict()
    (settings.state / settings.sensors()[0].name / "status.json").write_text(json.dumps(late))
    with pytest.raises(SourceError, match="400 s behind"):
        pipeline.watch_live()
    assert pipeline.watch_live(500.0)
    failed = late | {"state": "failed; starts again", "last_error": "ZeroDivisionError: once", "lag_s": 0.0}
    (settings.state / settings.sensors()[0].name / "status.json").write_text(json.dumps(failed))
    with pytest.raises(SourceError, match="failed; starts again: ZeroDivisionError"):
        pipeline.watch_live(500.0)
    old = late | {"updated_at": "2026-01-01T00:00:00+00:00"}
    (settings.state / settings.sensors()[0].name / "status.json").write_text(json.dumps(old))
    with pytest.raises(SourceError, match="has not reported for"):
        pipeline.watch_live(500.0)


def test_health_is_bad_when_a_scorer_hangs_or_was_refused() -> None:
    now = datetime.now(UTC).isoformat()
    assert is_well(Status("hq", state=ScorerState.FOLLOWING, updated_at=now)) and is_well(
        Status("hq", state=ScorerState.WAITING, updated_at=now)
    )
    assert not is_well(Status("hq", state=ScorerState.REFUSED, updated_at=now))
    assert not is_well(Status("hq", state=ScorerState.FAILED, updated_at=now))
    assert not is_well(Status("hq", state=ScorerState.FOLLOWING, updated_at="2026-01-01T00:00:00+00:00")) and not is_well(Status("hq"))
    status = Status("hq", state=ScorerState.REFUSED, updated_at=now)
    with MetricsServer(lambda: [status], "127.0.0.1", 0) as server:
        assert _get(server.port, "/healthz")[0] == 503
        with pytest.raises(StackError, match="MLIDS_METRICS_PORT"):
            MetricsServer(lambda: [status], "127.0.0.1", server.port)


def test_healthz_says_that_the_reference_model_scores() -> None:
    note = "there is no model in production yet: the reference model, reference-12345678, scores until a model of this site is promoted"
    status = Status(
        "hq", ScorerState.FOLLOWING, model_version="reference-12345678", model_note=note, updated_at=datetime.now(UTC).isoformat()
    )
    with MetricsServer(lambda: [status], "127.0.0.1", 0) as server:
        code, body = _get(server.port, "/healthz")
        assert code == 200 and (json.loads(body)[0]["model_version"], json.loads(body)[0]["model_note"]) == ("reference-12345678", note)
        assert 'model_version="reference-12345678"' in _get(server.port, "/metrics")[1]


def test_logs_beside_conn_are_in_the_metrics_and_doctor_names_their_error(home: Path) -> None:
    logs = {"dns": {"rows": 7, "rejected": 0, "error": None}, "ssl": {"rows": 0, "rejected": 0, "error": "no permission"}}
    now = datetime.now(UTC).isoformat()
    status = Status("hq", ScorerState.FOLLOWING, updated_at=now, other_logs={"logs": logs, "error": "ssl: no permission"})
    with MetricsServer(lambda: [status, Status("branch")], "127.0.0.1", 0) as server:
        body = _get(server.port, "/metrics")[1]
        assert 'mlids_log_rows_total{log="dns",sensor="hq"} 7.0' in body
        assert 'mlids_log_error{sensor="hq"} 1.0' in body and 'mlids_log_error{sensor="branch"} 0.0' in body
    (home / "state" / "hq").mkdir(parents=True)
    (home / "sensors.toml").write_text(f'[[sensor]]\nname = "hq"\nkind = "folder"\nlogs = "{home}"\n')
    (home / "state" / "hq" / "status.json").write_text(json.dumps(status.as_dict()))
    (found,) = [f for f in pipeline.doctor() if f.part == "other logs"]
    assert not found.well and "hq: ssl: no permission" in found.text


def test_systemd_is_notified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as held:
        held.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        notify("READY=1")
        assert held.recv(100) == b"READY=1"
    notify("WATCHDOG=1")  # nobody listens: nothing happens
    monkeypatch.delenv("NOTIFY_SOCKET")
    notify("WATCHDOG=1")
    assert "NOTIFY_SOCKET" not in os.environ


def test_a_fault_of_our_own_ends_no_sensor(two: list[GrowingLog], monkeypatch: pytest.MonkeyPatch) -> None:
    rows = traffic(datetime.now(UTC))
    two[0].append(rows)
    settings = load_settings()
    name = settings.sensors()[0].name
    monkeypatch.setattr(live, "RESTART_S", 0.2)
    with ProductionModel(watch_command(settings.tracking_uri, settings.model_name), settings.state / "model") as model:
        scorer = live.make_scorer(settings, name, FailsOnce(model))  # type: ignore[arg-type]

        def stop_when_scored() -> None:
            wait_until(
                lambda: bool(scorer.status.errors) and scorer.status.state is ScorerState.FOLLOWING and scorer.status.rows == rows.height
            )
            scorer.stop()

        threading.Thread(target=stop_when_scored, daemon=True).start()
        assert live.follow(scorer, 90.0) is None
    assert scorer.status.rows == rows.height and scorer.status.state is ScorerState.STOPPED
    assert scorer.status.errors >= 1 and scorer.status.last_error == "ZeroDivisionError: once"


class FailsOnce:
    """A source of models that breaks once in the middle, as nobody has foreseen."""

    def __init__(self, model: ProductionModel) -> None:
        self._model, self._asked = model, 0

    error = note = None

    def current(self) -> Model | None:
        self._asked += 1
        if self._asked == 6:
            raise ZeroDivisionError("once")
        return self._model.current()
