"""DAGs load nothing heavy when parsed, declare intervals, documentation and forms, and run with `dag.test()`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import CONN_HEADER, conn_line, need_program
from tests.support.airflow_runs import AirflowProcess, Run
from tests.support.receivers import mail_server, webhook
from tests.support.sshd import start_sshd

NAMES = {"zeek_ingest", "train_weekly", "drift_weekly", "report_weekly", "score_live", "live_watch", "model_rollback", "housekeeping"}
HEAVY = {"polars", "sklearn", "mlflow", "evidently", "numba", "onnxruntime", "weasyprint", "paramiko", "mlids.pipeline", "mlids.ingest"}
# As a sensor or a neighbour may choose it: a call to everybody in Slack, a template of Airflow, HTML.
EVIL = "/nowhere/<!channel>{{ 7 * 7 }}<b>"
SECRETS = ("the-elastic-key", "the-mlflow-password", "the-sensor-password", "BEGIN OPENSSH PRIVATE KEY")
WEEK = "2026-11-02"  # a Monday
NOON = 1_793_620_800.0  # of that day
TIMETABLES = {"CronDataIntervalTimetable", "ContinuousTimetable", "NullTimetable", "PartitionedAssetTimetable"}


@pytest.fixture(scope="module")
def described(airflow: AirflowProcess) -> dict[str, Any]:
    """What parsing loaded and found; asked before anything runs in that process."""
    return airflow.ask("describe")[0]


def test_parsing_loads_nothing_heavy(described: dict[str, Any]) -> None:
    assert not HEAVY & set(described["loaded"])


def test_every_dag_has_docs_tags_an_owner_and_an_explicit_interval(described: dict[str, Any]) -> None:
    assert set(described["dags"]) == NAMES
    for name, dag in described["dags"].items():
        assert dag["doc"].startswith("###") and "mlids" in dag["tags"], name
        assert dag["catchup"] is False and dag["max_active_runs"] in (1, 3), name
        assert all(t["owner"] == "mlids" for t in dag["tasks"].values()), name
        assert dag["timetable"] in TIMETABLES, f"{name} reads nothing"
        assert dag["params"], f"{name} has no form"


def test_a_form_with_nonsense_is_refused(airflow: AirflowProcess) -> None:
    for form in ({"to": "not a version", "why": "it is worse"}, {"to": "3", "why": ""}):
        assert airflow.ask("form", dag="model_rollback", values=form)[0]["error"]
    assert airflow.ask("form", dag="model_rollback", values={"to": "3", "why": "it is worse"})[0]["error"] is None


def test_every_task_is_explained_bounded_and_tried_again(described: dict[str, Any]) -> None:
    for name, dag in described["dags"].items():
        for task, facts in dag["tasks"].items():
            assert facts["doc"] and facts["timeout"], f"{name}.{task}"
            assert facts["growing"] or not facts["retries"], f"{name}.{task} waits as long each time"
            if name != "score_live" and task != "every_sensor_succeeded":
                assert facts["notifies"] == ["FailureNotifier"], f"{name}.{task} fails unseen"
    pull = described["dags"]["zeek_ingest"]["tasks"]["sensor_day.pull"]
    assert (pull["pool"], pull["retries"]) == ("mlids_pull", 4)
    assert pull["tried_again"] == {
        "SourceError": True,
        "StoreError": True,
        "AuthError": False,
        "HostKeyError": False,
        "SettingsError": False,
    }
    assert described["pool"] == ["mlids_pull", 2], "the pool of a fresh Airflow is made when the scheduler starts"


def test_forms_offer_the_configured_sensors_and_say_no_to_nonsense(airflow: AirflowProcess, home: Path) -> None:
    home.mkdir()
    (home / "sensors.toml").write_text("".join(f'[[sensor]]\nname = "{n}"\nkind = "folder"\nlogs = "/x"\n' for n in ("hq", "lab")))
    dags = airflow.ask("describe")[0]["dags"]
    for name in ("zeek_ingest", "train_weekly"):
        form = dags[name]["params"]
        assert form["sensors"]["examples"] == ["hq", "lab"] and form["dry_run"]["value"] is False
        assert all(field.get("description") and field.get("title") for field in form.values()), name
    assert {"start", "end", "sensors", "seed", "promote", "force_reason", "dry_run"} == set(dags["train_weekly"]["params"])
    for values in ({"start": "yesterday"}, {"seed": -1}, {"force_reason": "x"}, {"promote": "no"}):
        assert airflow.ask("form", dag="train_weekly", values=values)[0]["error"], values
    (home / "sensors.toml").write_text("[[sensor]")
    assert airflow.ask("describe")[0]["dags"]["zeek_ingest"]["params"]["sensors"]["examples"] == []


def test_ingest_train_and_report_run(described: dict[str, Any], airflow: AirflowProcess, home: Path, synthetic_site: Path) -> None:
    home.mkdir()
    hq = f'[[sensor]]\nname = "hq"\nkind = "folder"\nlogs = "{synthetic_site}"\ntypes = ["conn"]\n'
    (home / "sensors.toml").write_text(hq)
    week = {"start": WEEK, "end": "2026-11-09"}
    dry = airflow.run("zeek_ingest", day="2026-11-02", dry_run=True)
    assert dry.state == "success" and "to pull: hq 2026-11-02" in dry.log and not (home / "landing").exists()
    empty = airflow.run("train_weekly", **week)
    assert empty.state == "success" and empty.xcoms["look_at_days[-1] return_value"]["rows"] == 0
    assert not (home / "mlruns" / "mlflow.db").exists(), "an empty lake trains nothing, and is no failure"
    assert airflow.run("zeek_ingest", day="2026-11-02").state == airflow.run("zeek_ingest", day="2026-11-03").state == "success"
    first = {p: p.read_bytes() for p in (home / "lake").rglob("*.parquet")}
    assert airflow.run("zeek_ingest", day="2026-11-03").state == "success"
    plan = airflow.run("train_weekly", **week | {"end": "2026-11-05"}, sensors=["hq"], dry_run=True)
    assert plan.xcoms["look_at_days[-1] return_value"]["missing"] == [{"sensor": "hq", "day": "2026-11-04"}]
    assert plan.tasks["train"] == "skipped" and not (home / "snapshots").exists()
    assert airflow.run("train_weekly", **week, sensors=["other"]).state == "failed"
    assert airflow.run("train_weekly", **week).state == airflow.run("report_weekly", **week).state == "success"
    assert airflow.run("model_rollback", why="there is none").state == "failed"
    assert airflow.run("zeek_ingest", day="2030-01-01").state == "failed"
    assert {p: p.read_bytes() for p in (home / "lake").rglob("*.parquet")} == first, "a task run twice leaves the same files"
    assert list((home / "reports").glob("weekly-*.pdf"))
    built = {p: p.read_bytes() for p in (home / "snapshots").rglob("*.parquet")}
    again = airflow.run("train_weekly", partition=WEEK)
    assert again.state == "success" and again.xcoms["train[-1] return_value"]["version"] == "1", (
        "a week that is built again keeps its version"
    )
    assert built and {p: p.read_bytes() for p in (home / "snapshots").rglob("*.parquet")} == built
    down = f'[[sensor]]\nname = "down"\nkind = "folder"\nlogs = "{home}/nothing"\n' + hq.replace('"hq"', '"up"')
    (home / "sensors.toml").write_text(down)
    assert airflow.run("zeek_ingest", day="2026-11-03").state == "failed", "a sensor that is down is a failure"
    assert list((home / "lake").glob("conn/sensor=up/**/*.parquet")), "and holds up no other"
    (home / "sensors.toml").write_text(hq)
    assert airflow.run("housekeeping", dry_run=False).state == "success"
    kept = {p: p.read_bytes() for p in (home / "lake").rglob("*.parquet")}
    assert {p: b for p, b in kept.items() if p in first} == first, "nothing is old"


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def _few_conns(logs: Path, days: int) -> Path:
    """Write one conn at noon of each of some days, beginning with WEEK."""
    for n in range(days):
        day = _made(logs / f"2026-11-0{2 + n}")
        (day / "conn.12:00:00-13:00:00.log").write_text(CONN_HEADER + conn_line(ts=f"{NOON + n * 86_400:.6f}"))
    return logs


def _one_sensor(home: Path, name: str = "hq", **fields: object) -> None:
    lines = "".join(f'{key} = "{value}"\n' for key, value in ({"name": name} | fields).items())
    (_made(home) / "sensors.toml").write_text(f'[[sensor]]\n{lines}types = ["conn"]\n')


def announced(run: Run) -> list[str]:
    return sorted(e["partition"] for e in run.events)


def test_a_week_starts_when_its_days_are_there_or_given_up(airflow: AirflowProcess, home: Path, tmp_path: Path) -> None:
    _one_sensor(home, kind="folder", logs=_few_conns(tmp_path / "logs", 4))
    airflow.ask("sync")
    monday = airflow.run("zeek_ingest", at="2026-11-03T03:00:00+00:00")
    assert monday.state == "success" and announced(monday) == [WEEK]
    thursday = airflow.run("zeek_ingest", at="2026-11-06T03:00:00+00:00")
    assert announced(thursday) == ["2026-11-03", "2026-11-04", "2026-11-05"], "and the nights in which nothing ran"
    sunday = airflow.run("zeek_ingest", at="2026-11-09T03:00:00+00:00")
    assert sunday.state == "failed", "the sensor has no more days"
    assert announced(sunday) == ["2026-11-06", "2026-11-07"] and sunday.events[0]["extra"] == {
        "missing": {"2026-11-06": ["hq"], "2026-11-07": ["hq"]}
    }
    assert airflow.ask("follow")[0]["runs"] == [], "Sunday may still come"
    assert announced(airflow.run("zeek_ingest", at="2026-11-10T03:00:00+00:00")) == ["2026-11-08"]
    assert sorted(airflow.ask("follow")[0]["runs"]) == [["drift_weekly", WEEK], ["train_weekly", WEEK]]
    (home / "snapshots").touch()  # the training fails
    failed = airflow.run("train_weekly", partition=WEEK)
    plan = failed.xcoms["look_at_days[-1] return_value"]
    assert (plan["start"], plan["end"]) == (WEEK, "2026-11-09")
    assert plan["missing"] == [{"sensor": "hq", "day": f"2026-11-0{n}"} for n in (6, 7, 8)]
    assert failed.state == "failed" and failed.tasks["take_snapshot"] == "failed" and announced(failed) == [WEEK]
    assert airflow.ask("follow")[0]["runs"] == [], "drift is not there yet"
    assert announced(airflow.run("drift_weekly", partition=WEEK)) == [WEEK]
    assert airflow.ask("follow")[0]["runs"] == [["report_weekly", WEEK]]


def test_a_night_with_connections_alone(airflow: AirflowProcess, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = start_sshd(_made(tmp_path / "sshd"), need_program("sshd", "openssh-server"))
    _one_sensor(home, host="wrong.invalid", key_file="/no/key", logs=_few_conns(tmp_path / "logs", 1))
    (home / "known_hosts").write_text(server.known_hosts.read_text())
    account = server.sensor(tmp_path).user
    key = {"private_key": server.key.read_text()}
    connections = {
        "sensor_hq": {"conn_type": "ssh", "host": "127.0.0.1", "port": server.port, "login": account, "password": SECRETS[2], "extra": key},
        "elastic": {"conn_type": "elasticsearch", "schema": "http", "host": "127.0.0.1", "port": 1, "password": SECRETS[0]},
        "mlflow": {"conn_type": "http", "schema": "http", "host": "127.0.0.1", "port": 2, "login": "mlids", "password": SECRETS[1]},
    }
    for name, held in connections.items():
        monkeypatch.setenv(f"AIRFLOW_CONN_MLIDS_{name.upper()}", json.dumps(held))
    monkeypatch.setenv("MLIDS_SINKS", "sqlite,jsonl,elasticsearch")
    monkeypatch.setenv("MLIDS_ELASTIC_URL", "https://wrong.invalid")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    try:
        run = airflow.run("zeek_ingest", day="2026-11-02")
    finally:
        server.stop()
    assert run.tasks["sensor_day.pull[0]"] == run.tasks["sensor_day.build_lake[0]"] == "success", run.log[-3_000:]
    assert run.tasks["sensor_day.reconcile[0]"] == "failed" and "127.0.0.1:2" in run.log, "MLflow is asked where the connection says"
    left = [p for folder in (airflow.home, home) for p in folder.rglob("*") if p.is_file()]
    everything = {"log": run.log, "XCom": json.dumps(run.xcoms), "rendered templates": json.dumps(run.rendered)}
    everything |= {str(p): p.read_bytes().decode("latin-1") for p in left}
    assert run.rendered and any(p.name == "airflow.db" for p in left)
    assert [(where, s) for where, text in everything.items() for s in SECRETS if s in text] == []
    monkeypatch.delenv("AIRFLOW_CONN_MLIDS_MLFLOW")
    monkeypatch.setenv("MLIDS_MLFLOW_TRACKING_URI", "http://mlids:of%2Fthe-environment@127.0.0.1:2")
    log = airflow.run("model_rollback", why="it is worse").log
    assert "http://mlids:***@127.0.0.1:2/api" in log and "the-environment" not in log, "a traceback of MLflow shows the URL"


def test_a_failed_day_is_reported_with_sensor_day_cause_and_command(
    airflow: AirflowProcess, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _one_sensor(home, "down", kind="folder", logs=EVIL)
    with webhook() as (port, posted), mail_server() as (smtp, mailed):
        hook = {"conn_type": "http", "host": "127.0.0.1", "schema": "http", "port": port, "password": "services/T0/the-secret-token"}
        mail = {"conn_type": "smtp", "host": "127.0.0.1", "port": smtp}
        mail["extra"] = json.dumps({"to": "soc@example.org", "from_email": "mlids@example.org", "disable_ssl": True, "disable_tls": True})
        monkeypatch.setenv("AIRFLOW_CONN_MLIDS_WEBHOOK", json.dumps(hook))
        monkeypatch.setenv("AIRFLOW_CONN_MLIDS_MAIL", json.dumps(mail))
        run = airflow.run("zeek_ingest", day="2026-11-03")
    assert run.state == "failed" and run.tasks["sensor_day.pull[0]"] == "failed" and len(posted) == len(mailed) == 1
    path, body = posted[0]
    assert path == "/services/T0/the-secret-token" and "the-secret-token" not in run.log
    (text,) = body.values()
    again = '`airflow dags trigger zeek_ingest --conf \'{"day": "2026-11-03", "sensors": ["down"]}\'`'
    for wanted in ("mlids: pull failed for down 2026-11-03", "Sensor:  down", "Day:     2026-11-03", "Cause:   ", "mlids doctor", again):
        assert wanted in text, text
    assert "<!channel>" not in text and "&lt;!channel&gt;{{ 7 * 7 }}" in text
    message = mailed[0]
    assert message["To"] == "soc@example.org" and message["Subject"] == "mlids: pull failed for down 2026-11-03"
    page = next(p for p in message.walk() if p.get_content_type() == "text/html").get_content()
    assert "{{ 7 * 7 }}" in page and "<b>" not in page and "&lt;b&gt;" in page


def test_without_connections_the_text_is_in_the_log(airflow: AirflowProcess, home: Path) -> None:
    home.mkdir()
    run = airflow.run("model_rollback", why="it is worse")
    assert run.state == "failed" and "mlids: rollback failed in model_rollback" in run.log and "there is no such connection" in run.log
    assert "mlids rollback --why TEXT --to VERSION" in run.log
