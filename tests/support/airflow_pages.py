"""A real Airflow API server with the pages, for tests of what it answers."""

from __future__ import annotations

import html
import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mlids.alerts.document import Alert
from mlids.alerts.stores import Stores, open_stores
from mlids.cases.gathering import gather
from mlids.evidence.base import SiteView
from tests.conftest import ROOT, free_port
from tests.support.evidence import piece
from tests.support.serving import wait_until

ROLES = {"ana": "user", "eve": "op", "vic": "viewer"}


def hidden_fields(page: str, action: str) -> dict[str, str]:
    """Return the hidden fields of the form on a page that is sent to `action`."""
    for form in re.findall(r"<form.*?</form>", page, re.DOTALL):
        if f'action="{action}"' in form:
            return {n: html.unescape(v) for n, v in re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form)}
    return {}


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


OPEN = urllib.request.build_opener(_NoRedirect).open


@dataclass
class Server:
    """An API server of Airflow with the plugin, and the stores of its home."""

    url: str
    home: Path
    cookies: dict[str, str] = field(default_factory=dict)

    def ask(self, path: str, user: str | None, form: dict[str, str] | None = None, **headers: str) -> tuple[int, str]:
        """Return status and body of an answer to a user's browser; with `form` it is a POST."""
        request = urllib.request.Request(self.url + path, urllib.parse.urlencode(form).encode() if form is not None else None)
        for name, value in headers.items():
            request.add_header(name.replace("_", "-"), value)
        if user is not None:
            request.add_header("Cookie", f"_token={self.cookies[user]}")
        try:
            with OPEN(request, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def form(self, user: str, path: str, action: str = "") -> dict[str, str]:
        """Return the hidden fields of the form on a page that a user is shown; of the one that is sent to `action`, without it of the first."""
        status, page = self.ask(path, user)
        assert status == 200, page
        return hidden_fields(page, action or path)

    def case(self, n: int, **changes: Any) -> str:
        """Store a case of its own; return its id."""
        found = gather([piece(source=f"10.0.9.{n}", **changes)], SiteView(), "hq").cases
        (case,) = self.stores().cases.put("hq", f"day {n}", found)
        return str(case["id"])

    def stored(self, case_id: str) -> dict[str, Any]:
        """Return a case as the database has it."""
        return self.stores().cases.get(case_id)

    def stores(self) -> Stores:
        """Return the stores of its home."""
        return open_stores(f"sqlite:///{self.home}/mlids.db")

    def alert(self, alert: Alert) -> str:
        """Store an alert; return its id."""
        self.stores().alerts.put([alert], "live")
        return alert.id


def with_two_models(home: Path) -> None:
    """Give a home a second version, the first one's graph again, in production, and the first as the previous one."""
    from mlids import pipeline
    from mlids.settings import load_settings

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLIDS_HOME", str(home))
        registry = pipeline.open_registry(load_settings())
        server = registry.runs._server
        server.select()  # MLflow looks up where a version comes from at the server that was set last
        client = server.client
        held = client.get_model_version(registry.name, "1")
        made = client.create_model_version(registry.name, held.source, held.run_id, tags=held.tags)
        registry.seal(made.version, registry.download("1"))
        pipeline.rollback(to=str(made.version), why="set up by a test", who="a test")


@contextmanager
def serve(home: Path) -> Iterator[Server]:
    """Give an API server over a home of mlids, with a login for each of ROLES, until the block ends."""
    port = free_port()
    (home / "passwords.json").write_text(json.dumps({name: f"pw-of-{name}" for name in ROLES}))
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "MLFLOW", "MLIDS_"))}
    env = kept | {
        "AIRFLOW_HOME": str(home), "MLIDS_HOME": str(home), "MLFLOW_DISABLE_TELEMETRY": "true",
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}",
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "none"), "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{name}:{role}" for name, role in ROLES.items()),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
        "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}", "AIRFLOW__API__SECRET_KEY": "only-for-tests",
        "AIRFLOW__API_AUTH__JWT_SECRET": "only-for-tests-0123456789abcdef0123456789abcdef0123456789abcdef01234567",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }  # fmt: skip
    program = Path(sys.executable).with_name("airflow")
    subprocess.run([program, "db", "migrate"], env=env, check=True, capture_output=True)
    log = home / "api-server.log"
    found = Server(f"http://127.0.0.1:{port}", home)
    with log.open("wb") as out:
        command: list[str | Path] = [program, "api-server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1", "--apps", "core"]
        process = subprocess.Popen(command, env=env, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
    try:
        assert wait_until(lambda: process.poll() is not None or _answers(found)) and process.poll() is None, log.read_text()[-4_000:]
        for name in ROLES:
            body = json.dumps({"username": name, "password": f"pw-of-{name}"}).encode()
            login = urllib.request.Request(f"{found.url}/auth/token", body, {"Content-Type": "application/json"})
            with urllib.request.urlopen(login, timeout=60) as answer:
                found.cookies[name] = json.loads(answer.read())["access_token"]
        yield found
    finally:
        process.terminate()
        process.wait(timeout=60)


def _answers(server: Server) -> bool:
    try:
        return server.ask("/mlids/", None)[0] == 401
    except OSError:
        return False
