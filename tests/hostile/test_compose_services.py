"""The services of the compose file started as it says, without Docker: read-only, without capabilities, with logins (`Host`).

Elasticsearch and Kibana are not run: no package has their security features. `elastic-users` speaks to a written server.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT, need_program
from tests.support import postgres
from tests.support.containers import Host, need_namespaces

pytestmark = [
    pytest.mark.long,
    pytest.mark.attack(
        row=18,
        attack="who reaches a service of the compose file tries it without a login, or writes to its root",
        held="Airflow, MLflow, Redis and PostgreSQL refuse; users of Airflow are real ones with roles (FAB). Run with the programs of this machine, not in Docker; Elasticsearch and Kibana not run",
    ),
]
POSTGRES = """
initdb -D /var/lib/postgresql/data -U $POSTGRES_USER --auth=scram-sha-256 --pwfile=$POSTGRES_PASSWORD_FILE --no-sync
printf "CREATE DATABASE $POSTGRES_DB;\\n" | cat - /docker-entrypoint-initdb.d/init.sql | postgres --single -D /var/lib/postgresql/data postgres
exec postgres -D /var/lib/postgresql/data -c unix_socket_directories=/var/run/postgresql -c listen_addresses=127.0.0.1 -c fsync=off
"""
# Answers every PUT, and writes what it got to its output.
ELASTIC = """
import http.server
class Server(http.server.BaseHTTPRequestHandler):
    def do_PUT(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        print("GOT", self.path, self.headers["Authorization"], body.decode().replace(chr(10), " "), flush=True)
        self.send_response(200), self.send_header("Content-Length", "2"), self.end_headers(), self.wfile.write(b"{}")
http.server.HTTPServer(("127.0.0.1", 9200), Server).serve_forever()
"""
AIRFLOW = ("airflow-apiserver", "airflow-scheduler", "airflow-dag-processor", "airflow-triggerer", "airflow-worker")
API = "http://airflow-apiserver:8080"


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """All services, healthy."""
    need_namespaces()
    need_program("redis-server", "redis-server")
    work = tmp_path_factory.mktemp("host")
    (work / "deploy").mkdir()
    script = shutil.copy(ROOT / "deploy" / "make-secrets.sh", work / "deploy")
    subprocess.run([script], check=True, capture_output=True)
    (work / "secrets" / "sensor_key").write_text("none\n")
    (work / "sensors.toml").write_text('[[sensor]]\nname = "hq"\nkind = "folder"\nlogs = "/data/logs"\n')
    (work / "known_hosts").touch()
    work.chmod(0o755)
    started = Host(work, work / "secrets", str(postgres.programs()))
    try:
        for name, command in (("redis", ""), ("postgres", POSTGRES), ("mlflow", "")):
            started.start(name, command)
        wait_healthy(started, "redis", "postgres")
        migrated = started.run("airflow-init", "airflow db migrate", timeout=400)
        assert migrated.returncode == 0, migrated.stderr[-2_000:]
        for name in (*AIRFLOW, "scorer"):
            started.start(name)
        wait_healthy(started, "mlflow", *AIRFLOW)
        yield started
    finally:
        started.stop()


def wait_healthy(host: Host, *names: str, seconds: float = 400.0) -> None:
    """Wait for the services' own health checks."""
    end = time.monotonic() + seconds
    for name in names:
        while not host.healthy(name):
            assert host.running[name].poll() is None and time.monotonic() < end, f"{name}: {host.log(name).read_text()[-3_000:]}"
            time.sleep(1.0)


def status(host: Host, service: str, url: str, *options: str) -> str:
    """Return the status of an answer, asked for in a container of the service."""
    words = " ".join(options)
    return host.run(service, f"curl -sS -m 60 -o /tmp/answer -w '%{{http_code}}' {words} {url}").stdout


def test_nothing_answers_without_a_login(host: Host, happened: Callable[[str], None]) -> None:
    assert status(host, "scorer", "http://mlflow:5000/api/2.0/mlflow/registered-models/search") == "401"
    put = "http://mlflow:5000/api/2.0/mlflow-artifacts/artifacts/0/x/artifacts/model.onnx"
    assert status(host, "scorer", put, "-X PUT", "--data x") == "401"
    uri = (host.secrets / "mlids_mlflow_tracking_uri").read_text()
    assert status(host, "scorer", f"{uri}/api/2.0/mlflow/registered-models/search") == "200"
    assert {status(host, "scorer", API + path) for path in ("/api/v2/dags", "/mlids/", "/mlids/api/overview")} == {"401"}
    assert status(host, "scorer", "http://127.0.0.1:9109/healthz") in {"200", "503"}, "it runs"
    assert "NOAUTH" in host.run("scorer", "redis-cli -h redis keys '*'").stdout
    assert "no password" in host.run("scorer", "psql -w -h postgres -U mlids -d airflow -c 'select 1'").stderr
    happened("Airflow and its page, MLflow (also a PUT of `model.onnx`), Redis and PostgreSQL refuse")


def test_users_of_airflow_have_roles_and_the_worker_runs_tasks(host: Host, happened: Callable[[str], None]) -> None:
    tokens = {}
    for name, role in (("ana", "Admin"), ("eve", "Viewer")):
        command = f"airflow users create -u {name} -r {role} -f {name} -l {name} -e {name}@example.org"
        made = host.run("airflow-apiserver", command, stdin=f"pw-of-{name}\npw-of-{name}\n")
        assert made.returncode == 0, made.stderr[-2_000:]
        body = json.dumps({"username": name, "password": f"pw-of-{name}"})
        login = host.run("scorer", f"curl -sS -H 'Content-Type: application/json' -d '{body}' {API}/auth/token").stdout
        tokens[name] = json.loads(login)["access_token"]

    def call(name: str, method: str, path: str, body: str = "") -> tuple[str, str]:
        sent = f"-H 'Content-Type: application/json' -d '{body}'" if body else ""
        command = f"curl -sS -m 60 -w ' %{{http_code}}' -X {method} -H 'Authorization: Bearer {tokens[name]}' {sent} {API}{path}"
        answer, _, code = host.run("scorer", command).stdout.rpartition(" ")
        return code, answer

    pause = '{"is_paused": false}'
    assert call("eve", "GET", "/api/v2/dags/live_watch")[0] == "200" and call("eve", "PATCH", "/api/v2/dags/live_watch", pause)[0] == "403"
    assert call("eve", "GET", "/mlids/")[0] in {"200", "403"} and call("ana", "GET", "/mlids/")[0] == "200"
    assert call("ana", "PATCH", "/api/v2/dags/live_watch", pause)[0] == "200"
    code, run = call("ana", "POST", "/api/v2/dags/live_watch/dagRuns", '{"logical_date": null}')
    assert code == "200", run
    path = f"/api/v2/dags/live_watch/dagRuns/{json.loads(run)['dag_run_id']}"
    end = time.monotonic() + 300
    while (state := json.loads(call("ana", "GET", path)[1])["state"]) not in {"success", "failed"} and time.monotonic() < end:
        time.sleep(2)
    logs = "".join(p.read_text() for p in host.volume("airflow-logs", 0).rglob("dag_id=live_watch/**/*.log"))
    assert state == "success" or "live scoring is not well" in logs, (
        f"live_watch is {state}: {logs[-2_000:]} {host.log('airflow-worker').read_text()[-2_000:]}"
    )
    happened("a viewer can start nothing, an admin's run goes through Redis to the worker and its log to the page")


def test_roots_are_read_only_and_without_capabilities(host: Host, happened: Callable[[str], None]) -> None:
    probe = "touch /x /opt/x /run/secrets/x 2>&1; grep -E '^(CapEff|CapBnd|NoNewPrivs)' /proc/self/status"
    for name in ("redis", "postgres", "mlflow", "airflow-worker", "scorer"):
        out = host.run(name, probe).stdout
        assert out.count("cannot touch") == 3 and "CapEff:\t0000000000000000" in out, out
        assert "CapBnd:\t0000000000000000" in out and "NoNewPrivs:\t1" in out
    arguments = " ".join(p.read_text(errors="replace") for p in Path("/proc").glob("[0-9]*/cmdline") if _readable(p))
    shown = [p.name for p in host.secrets.iterdir() if p.name not in {"sensor_key", "mlflow_auth_ini"} and p.read_text() in arguments]
    assert shown == [], "no process has a secret among its arguments"
    happened("no file outside volumes and tmpfs can be written, no process has a capability or a secret among its arguments")


def _readable(path: Path) -> bool:
    try:
        return bool(path.read_bytes())
    except OSError:
        return False


def test_elastic_users_hands_over_no_password_by_argument(host: Host) -> None:
    host.start("airflow-init", f"exec python -c '{ELASTIC}'")  # any container has Python; all share one network
    script = "until curl -s -o /tmp/up http://elasticsearch:9200; do sleep 0.2; done; exec sh /elastic-users.sh"
    done = host.run("elastic-users", script)
    assert done.returncode == 0, done.stderr
    got = [line for line in host.log("airflow-init").read_text().splitlines() if line.startswith("GOT")]
    assert [line.split()[1] for line in got] == [
        "/_security/user/kibana_system/_password",
        "/_security/user/mlids",
    ]
    assert all("Basic " in line for line in got) and (host.secrets / "kibana_password").read_text() in got[0]
    assert json.loads(got[1][got[1].index("{") :])["roles"] == ["mlids-writer"]
