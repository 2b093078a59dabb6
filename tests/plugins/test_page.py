"""The pages on a real Airflow API server: who may read and change cases, forged forms, and a case closed in Chromium by keyboard."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mlids.alerts.stores import open_stores
from mlids.alerts.stores.cases import CaseState
from mlids.cases.gathering import gather
from mlids.evidence.base import SiteView
from tests.conftest import ROOT, free_port, missing
from tests.support.evidence import BEACON, piece
from tests.support.serving import wait_until

pytestmark = pytest.mark.airflow
ROLES = {"ana": "user", "eve": "op", "vic": "viewer"}


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

    def form(self, user: str, case_id: str) -> dict[str, str]:
        """Return the hidden fields of the form that a user is shown with a case."""
        status, page = self.ask(f"/mlids/cases/{case_id}", user)
        assert status == 200
        return dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page))

    def case(self, n: int, **changes: Any) -> str:
        """Store a case of its own; return its id."""
        stores = open_stores(f"sqlite:///{self.home}/mlids.db")
        found = gather([piece(source=f"10.0.9.{n}", **changes)], SiteView(), "hq").cases
        (case,) = stores.cases.put("hq", f"day {n}", found)
        return str(case["id"])

    def stored(self, case_id: str) -> dict[str, Any]:
        """Return a case as the database has it."""
        return open_stores(f"sqlite:///{self.home}/mlids.db").cases.get(case_id)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home, port = tmp_path_factory.mktemp("pages"), free_port()
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


def test_every_page_requires_a_login(server: Server) -> None:
    case_id = server.case(1)
    for path in ("/mlids/", "/mlids/cases", f"/mlids/cases/{case_id}", "/mlids/api/overview"):
        assert server.ask(path, None)[0] == 401 and server.ask(path, "vic")[0] == 200, path
    assert server.ask(f"/mlids/cases/{case_id}", None, {"action": "open"})[0] == 401
    for path in ("/mlids/cases/zz", "/mlids/cases/%00", "/mlids/cases/..%2f..%2fsecrets.json"):
        assert server.ask(path, "ana")[0] == 404, path
    for query in ("state=gone", "severity=9", "page=-1", "page=%C2%B2"):
        assert server.ask(f"/mlids/cases?{query}", "ana")[0] == 400, query
    assert server.ask("/mlids/cases?host=%00%ff&page=99999999", "ana")[0] == 200


def test_a_verdict_is_stored_with_the_name_of_the_user(server: Server) -> None:
    case_id = server.case(2)
    path, note = f"/mlids/cases/{case_id}", "  backup – 'agent' \0 <b>x</b> "
    assert server.ask(path, "ana", server.form("ana", case_id) | {"action": "false positive", "note": note})[0] == 303
    found = server.stored(case_id)
    assert (found["state"], found["verdict"], found["who"]) == ("closed", "false positive", "ana")
    assert found["note"] == "backup – 'agent' \\x00 <b>x</b>" and "&lt;b&gt;x" in server.ask(path, "vic")[1]
    assert server.ask(path, "eve", server.form("eve", case_id) | {"action": "open"})[0] == 303
    found = server.stored(case_id)
    assert (found["state"], found["verdict"], found["who"]) == ("open", None, "eve")


def test_forged_forms_change_nothing(server: Server) -> None:
    case_id, other = server.case(3), server.case(4)
    path, mine = f"/mlids/cases/{case_id}", server.form("ana", case_id) | {"action": "true positive"}
    forged: list[dict[str, str]] = [
        {"action": "true positive", "seen": ""},
        mine | {"token": ""},
        mine | {"token": server.form("eve", case_id)["token"]},
        mine | {"token": server.form("ana", other)["token"]},
        mine | {"token": "9" + mine["token"]},
    ]
    assert [server.ask(path, "ana", form)[0] for form in forged] == [403] * len(forged)
    for site in ("cross-site", "same-site", "none"):
        assert server.ask(path, "ana", mine, Sec_Fetch_Site=site)[0] == 403
    assert "<form" not in server.ask(path, "vic")[1] and server.ask(path, "vic", mine)[0] == 403, "a viewer changes nothing"
    assert server.ask(path, "ana", mine, Content_Type="application/json")[0] == 415
    assert server.ask(path, "ana", mine | {"note": "x" * 20_000})[0] == 413
    assert server.ask(path, "ana", mine | {"action": "delete"})[0] == 400
    assert server.stored(case_id)["state"] == "open"


def test_a_form_of_before_another_verdict_is_refused(server: Server) -> None:
    case_id = server.case(5)
    old = server.form("ana", case_id) | {"action": "acknowledge"}
    stores = open_stores(f"sqlite:///{server.home}/mlids.db")
    stores.cases.set_state(case_id, CaseState.CLOSED, "eve", verdict="true positive")
    status, page = server.ask(f"/mlids/cases/{case_id}", "ana", old)
    assert status == 409 and "eve changed this case" in page and server.stored(case_id)["state"] == "closed"


def test_a_case_is_judged_in_the_frame_of_airflow_by_keyboard(server: Server) -> None:
    """Airflow's frame is sandboxed: forms and cookies must work in it, and text of a log runs no script."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        missing("Chromium", "sudo apt-get install -y chromium")
    from playwright.sync_api import sync_playwright

    case_id = server.case(6, score=0.99, sentence="<img src=x onerror=alert(1)> calls", text=BEACON.text + "<script>alert(1)</script>")
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"])
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        dialogs: list[str] = []

        def dismiss(dialog: Any) -> None:
            dialogs.append(dialog.message)
            dialog.dismiss()

        page.on("dialog", dismiss)
        page.goto(server.url + "/")
        page.fill("input[name=username]", "ana")
        page.fill("input[name=password]", "pw-of-ana")
        page.keyboard.press("Enter")
        page.wait_for_selector("text=Dags", timeout=60_000)
        page.goto(server.url + "/plugin/mlids")
        frame = page.frame_locator("iframe")
        frame.locator("h1", has_text="Open cases").wait_for(timeout=60_000)
        frame.locator(f'a[href="/mlids/cases/{case_id}"]').press("Enter")
        frame.locator("textarea").fill("seen in Chromium")
        assert frame.locator("img, script").count() == 0
        frame.locator("button", has_text="Acknowledge").press("Enter")
        frame.locator("text=acknowledged").first.wait_for(timeout=30_000)
        frame.locator("button", has_text="Close as true positive").press("Enter")
        frame.locator("text=closed as true positive").wait_for(timeout=30_000)
        answer = page.request.get(f"{server.url}/mlids/cases/{case_id}")
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "form-action 'self'" in policy and "no-store" in answer.headers["cache-control"]
        browser.close()
    assert not dialogs and server.stored(case_id)["who"] == "ana"
