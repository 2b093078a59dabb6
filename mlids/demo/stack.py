"""The local stack: MLflow and Airflow's four components as child processes on free loopback ports.

`airflow standalone` is not used: it orphans its children on SIGTERM and its log servers listen on every
address. Each component is started here and ended by its process id; its output goes to `home/logs`.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlids.assets import asset_folder
from mlids.errors import StackError
from mlids.files import write_atomic

USER = "admin"
MLFLOW_USER = "mlids"
_SECRETS = ("password", "jwt", "api", "mlflow", "mlflow_session")
RESTARTS = 3
"""Restarts of each component before its end is an error. Airflow's scheduler ends when SQLite stays locked."""


def free_port() -> int:
    """Return a free port of loopback."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def check_installed() -> None:
    """Raise StackError when Airflow or the MLflow server is not installed."""
    for module in ("airflow", "mlflow.server", "flask_wtf", "evidently", "psutil"):
        if not _has(module):
            raise StackError(f"{module} is not installed: the local stack comes with pip install 'mlids[pipeline,report]'")


def _has(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


@dataclass
class Child:
    """A component that the stack started, as leader of its own session."""

    name: str
    command: tuple[str, ...]
    process: subprocess.Popen[bytes]
    log: Path
    env: Mapping[str, str]
    restarts: int = 0


_LIBC = ctypes.CDLL(None)


def _ended_with_parent() -> None:
    """Ask the kernel to end this process when its parent dies, so that `kill -9` of the stack leaves no process."""
    _LIBC.prctl(1, signal.SIGTERM)


class Stack:
    """MLflow and Airflow for one home. Stacks of two homes run at the same time without conflict."""

    def __init__(self, home: Path, extra_env: Mapping[str, str] | None = None) -> None:
        check_installed()
        self.home = home.resolve()
        self.home.mkdir(parents=True, exist_ok=True)
        self.logs = self.home / "logs"
        self.logs.mkdir(exist_ok=True)
        self.children: list[Child] = []
        self._left: set[int] = set()  # sessions of components that died: their children may still run, to finish a task
        self.mlflow_port, self.api_port = free_port(), free_port()
        self.secrets = self._load_secrets()
        self.env = self._environment() | dict(extra_env or {})
        self._token: str | None = None
        self._say: Callable[[str], None] = lambda _: None

    @property
    def mlflow_url(self) -> str:
        """Address of MLflow, for people: it asks for the login."""
        return f"http://127.0.0.1:{self.mlflow_port}"

    @property
    def tracking_uri(self) -> str:
        """Address of MLflow with the login; it is handed over by environment only."""
        return f"http://{MLFLOW_USER}:{self.secrets['mlflow']}@127.0.0.1:{self.mlflow_port}"

    @property
    def airflow_url(self) -> str:
        """Address of the Airflow UI and API."""
        return f"http://127.0.0.1:{self.api_port}"

    @property
    def password(self) -> str:
        """Password of the user `admin`."""
        return self.secrets["password"]

    def _load_secrets(self) -> dict[str, str]:
        path = self.home / "secrets.json"
        held: dict[str, str] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        missing = {name: secrets.token_urlsafe(24) for name in _SECRETS if name not in held}
        if missing:  # all of them, or those that a home of an older mlids lacks
            write_atomic(path, json.dumps(held | missing))
        return held | missing

    def _environment(self) -> dict[str, str]:
        airflow = self.home / "airflow"
        airflow.mkdir(exist_ok=True)
        passwords = airflow / "passwords.json"
        handle = os.open(passwords, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w") as out:
            json.dump({USER: self.password}, out)
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "MLFLOW", "MLIDS_"))}
        return kept | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}",
            "MLIDS_HOME": str(self.home),
            "MLIDS_MLFLOW_TRACKING_URI": self.tracking_uri,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "DO_NOT_TRACK": "1",
            "AIRFLOW_HOME": str(airflow),
            "AIRFLOW__CORE__DAGS_FOLDER": str(asset_folder("dags")),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(asset_folder("plugins")),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "4",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.airflow_url}/execution/",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{airflow}/airflow.db",
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(self.api_port),
            "AIRFLOW__API__BASE_URL": self.airflow_url,
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API__SECRET_KEY": self.secrets["api"],
            "AIRFLOW__API_AUTH__JWT_SECRET": self.secrets["jwt"],
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "60",
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "60",
            "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "120",
            "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "30",
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(airflow / "logs"),
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        }

    def start(self, say: Callable[[str], None]) -> None:
        """Start all components and wait until they are healthy. Raises StackError with the end of the log of one that is not."""
        self._say = say
        self.start_mlflow()
        say("preparing Airflow's database")
        self.run("airflow", "db", "migrate", log="airflow-db")
        say("starting Airflow and MLflow")
        self._spawn("api-server", "airflow", "api-server", "--host", "127.0.0.1", "--port", str(self.api_port), "--workers", "1")
        self._wait("api-server", lambda: _answers(f"{self.airflow_url}/api/v2/monitor/health"))
        # The execution API is built at its first request and does not answer meanwhile (10 s on a slow machine). During
        # that time the database is locked, and the scheduler ends after waiting 5 s for SQLite's lock: request it first.
        self._wait("api-server", lambda: _answers(f"{self.airflow_url}/execution/health", timeout_s=60.0))
        self._spawn("scheduler", "airflow", "scheduler", "--skip-serve-logs")
        self._spawn("dag-processor", "airflow", "dag-processor")
        self._spawn("triggerer", "airflow", "triggerer", "--skip-serve-logs")
        self._wait("mlflow", self.mlflow_answers)
        self._wait("scheduler", self._healthy)

    def start_mlflow(self) -> None:
        """Start MLflow alone; it is not waited for."""
        artifacts = (self.home / "mlruns" / "artifacts").as_uri()
        self.home.joinpath("mlruns").mkdir(exist_ok=True)
        self._spawn(
            "mlflow", "mlflow", "server", "--app-name", "basic-auth", "--host", "127.0.0.1", "--port", str(self.mlflow_port), "--workers", "1",
            "--backend-store-uri", f"sqlite:///{self.home}/mlruns/mlflow.db",
            # Runs name their files by path, not by way of the server: with MLIDS_HOME alone they are found after it has stopped, too.
            "--default-artifact-root", artifacts, "--artifacts-destination", artifacts, env=self._mlflow_login(),
        )  # fmt: skip

    def mlflow_answers(self) -> bool:
        """Return whether MLflow is up; this needs no login."""
        return _answers(f"{self.mlflow_url}/health")

    def _mlflow_login(self) -> dict[str, str]:
        """Return the environment that makes the MLflow server ask for the login of MLFLOW_USER, and write its settings."""
        path = self.home / "mlflow-auth.ini"
        lines = ("[mlflow]", "default_permission = NO_PERMISSIONS", f"database_uri = sqlite:///{self.home}/mlruns/auth.db")
        # A password is hashed slowly: without the cache, each of the hundred requests of a training takes a quarter of a second.
        write_atomic(path, "\n".join((*lines, f"admin_username = {MLFLOW_USER}", "auth_cache_ttl_seconds = 60", "")))
        return {
            "MLFLOW_AUTH_CONFIG_PATH": str(path), "MLFLOW_AUTH_ADMIN_PASSWORD": self.secrets["mlflow"],
            "MLFLOW_FLASK_SERVER_SECRET_KEY": self.secrets["mlflow_session"],
        }  # fmt: skip

    def _healthy(self) -> bool:
        with contextlib.suppress(OSError, ValueError):
            health = self.api("GET", "/api/v2/monitor/health")
            return all(health[part]["status"] == "healthy" for part in ("scheduler", "dag_processor", "triggerer", "metadatabase"))
        return False

    def run(self, *command: str, log: str) -> None:
        """Run one command to its end. Raises StackError with the end of its log when it fails."""
        path = self.logs / f"{log}.log"
        with path.open("ab") as out:
            done = subprocess.run(command, env=self.env, stdout=out, stderr=subprocess.STDOUT, cwd=self.home, check=False)
        if done.returncode:
            raise StackError(f"{' '.join(command)} failed with code {done.returncode}; the end of {path}:\n{tail(path)}")

    def _spawn(self, name: str, *command: str, env: Mapping[str, str] | None = None) -> None:
        path, env = self.logs / f"{name}.log", self.env | dict(env or {})
        self.children.append(Child(name, command, self._process(command, path, env), path, env))

    def _process(self, command: tuple[str, ...], log: Path, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
        with log.open("ab") as out:
            return subprocess.Popen(
                command, env=env, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=self.home,
                start_new_session=True, preexec_fn=_ended_with_parent,  # noqa: PLW1509 - one call into a library that is loaded already
            )  # fmt: skip

    def _wait(self, name: str, ready: Callable[[], bool], seconds: float = 180.0) -> None:
        end = time.monotonic() + seconds
        while not ready():
            self.check()
            if time.monotonic() > end:
                child = next(c for c in self.children if c.name == name)
                raise StackError(f"{name} was not ready in {seconds:.0f} s; the end of {child.log}:\n{tail(child.log)}")
            time.sleep(0.3)

    def check(self) -> None:
        """Restart components that have died. Raises StackError when one died more than RESTARTS times."""
        for child in self.children:
            code = child.process.poll()
            if code is None:
                continue
            if child.restarts == RESTARTS:
                raise StackError(
                    f"{child.name} ended with code {code}, {RESTARTS + 1} times in all; the end of {child.log}:\n{tail(child.log)}"
                )
            child.restarts += 1
            self._left.add(child.process.pid)
            self._say(f"{child.name} ended with code {code} and is started again; see {child.log}")
            child.process = self._process(child.command, child.log, child.env)

    def stop(self, grace_s: float = 12.0) -> None:
        """End all components and their children: SIGTERM, and SIGKILL after `grace_s` seconds."""
        import psutil

        family: dict[int, psutil.Process] = {}
        for child in self.children:
            with contextlib.suppress(psutil.NoSuchProcess):
                head = psutil.Process(child.process.pid)
                for one in [head, *head.children(recursive=True)]:
                    family[one.pid] = one
        for one in psutil.process_iter():
            with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
                if os.getsid(one.pid) in self._left:
                    family[one.pid] = one
                    one.terminate()
        # The API server last: tasks report to it while they end.
        for child in sorted(self.children, key=lambda c: c.name not in {"scheduler", "triggerer", "dag-processor"}):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.process.pid, signal.SIGTERM)
        _, alive = psutil.wait_procs(list(family.values()), timeout=grace_s)
        for one in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        psutil.wait_procs(alive, timeout=5)
        for child in self.children:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.process.wait(timeout=5)
        self.children.clear()

    def api(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Call Airflow's REST API as `admin` and return its JSON. Raises StackError with the answer when it is an error."""
        for attempt in range(8):
            if self._token is None and not path.endswith("/health"):
                self._token = self._login()
            request = urllib.request.Request(  # noqa: S310 - our own loopback address
                self.airflow_url + path, method=method, data=None if body is None else json.dumps(body).encode(),
                headers={"Content-Type": "application/json"} | ({"Authorization": f"Bearer {self._token}"} if self._token else {}),
            )  # fmt: skip
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - our own loopback address
                    data = answer.read()
                    return json.loads(data) if data else None
            except urllib.error.HTTPError as error:
                if error.code == 401 and attempt == 0:
                    self._token = None
                    continue
                if error.code in (500, 503) and attempt < 7:  # "database is locked": SQLite under the load of the scheduler
                    time.sleep(0.5 + attempt)
                    continue
                if error.code == 409 and attempt:  # the previous attempt succeeded
                    return None
                raise StackError(
                    f"Airflow answered {method} {path} with an error: {error.code} {error.read().decode(errors='replace')[:500]}"
                ) from error
            except OSError as error:  # no answer in time; only a POST must not be repeated
                if method == "POST" or attempt >= 2:
                    raise StackError(f"Airflow did not answer {method} {path}: {error}; see {self.logs}") from error
        return None

    def _login(self) -> str:
        body = json.dumps({"username": USER, "password": self.password}).encode()
        request = urllib.request.Request(  # noqa: S310 - our own loopback address
            f"{self.airflow_url}/auth/token", data=body, headers={"Content-Type": "application/json"}, method="POST"
        )
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - our own loopback address
            return str(json.loads(answer.read())["access_token"])

    def memory_bytes(self) -> int:
        """Return the proportional set size of all components and their children, in bytes."""
        import psutil

        total = 0
        for child in self.children:
            with contextlib.suppress(psutil.Error):
                head = psutil.Process(child.process.pid)
                for one in [head, *head.children(recursive=True)]:
                    with contextlib.suppress(psutil.Error):
                        total += one.memory_full_info().pss
        return total


def _answers(url: str, timeout_s: float = 5.0) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=timeout_s) as answer:  # noqa: S310 - our own loopback address
            return bool(answer.status == 200)
    except OSError:
        return False


def tail(path: Path, lines: int = 25) -> str:
    """Return the last lines of a log; "(no log)" when it cannot be read."""
    try:
        return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
    except OSError:
        return "(no log)"


def task_log_tail(home: Path, dag_id: str, run_id: str, lines: int = 30) -> str:
    """Return the end of the newest task log of a run."""
    root = home / "airflow" / "logs" / f"dag_id={dag_id}" / f"run_id={run_id}"
    found = sorted(root.rglob("*.log"), key=lambda p: p.stat().st_mtime)
    return tail(found[-1], lines) if found else "(no task log)"
