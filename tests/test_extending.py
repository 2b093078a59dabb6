"""The additions that docs/extending.md describes, installed as another package and run from end to end."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.conftest import CONN_HEADER, ROOT, conn_line

HTTP_HEADER = (
    "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\thttp\n"
    "#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tmethod\thost\turi\tuser_agent\n"
    "#types\ttime\tstring\taddr\tport\taddr\tport\tstring\tstring\tstring\tstring\n"
)


def example(heading: str) -> str:
    """Return the code that the document shows under a heading."""
    text = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    section = text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    found = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert found is not None, f"no example under {heading}"
    return found[1]


class Site:
    """A folder of packages that a mlids process imports from, as an installed package would lie there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def install(self, package: str, code: str, group: str, attribute: str, name: str = "example") -> None:
        """Install a module with one entry point."""
        (self.folder / f"{package}.py").write_text(code, encoding="utf-8")
        info = self.folder / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n", encoding="utf-8")
        (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {package}:{attribute}\n", encoding="utf-8")

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a Python command that sees the installed packages."""
        path = os.pathsep.join([str(self.folder), str(ROOT), os.environ.get("PYTHONPATH", "")])
        env = os.environ | {"PYTHONPATH": path} | environment
        return subprocess.run([sys.executable, *command], env=env, capture_output=True, text=True, check=False, cwd=self.folder)

    def score(self, *arguments: str | Path) -> dict[str, Any]:
        """Return what `mlids score --format json` gives."""
        done = self.run("-m", "mlids.cli", "score", "--format", "json", *map(str, arguments))
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found


class Webhook:
    """A web service on loopback: `answers` are the status codes of the next requests, then 200."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        self.answers: list[int] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:  # the name is http.server's
                outer.received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(outer.answers.pop(0) if outer.answers else 200)
                self.end_headers()

            def log_message(self, *args: object) -> None:
                """Requests are not logged."""

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/alerts"
        self._thread = Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the service."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    running = Webhook()
    yield running
    running.stop()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "site")


def test_a_behaviour_of_another_package_is_scored_and_described(site: Site, tmp_path: Path) -> None:
    log = tmp_path / "conn.log"
    plain = "".join(conn_line(f"C{n}") for n in range(40))
    log.write_text(CONN_HEADER + plain + conn_line("Clarge", resp_bytes="3000000000", resp_ip_bytes="3100000000"))
    before = site.score(log)
    assert not [f for f in before["findings"] if f["behaviour"] == "large_download"]
    site.install("mlids_download", example("A behaviour"), "mlids.behaviours", "BEHAVIOUR")
    (first, *_) = site.score(log)["findings"]
    assert (first["uid"], first["behaviour"]) == ("Clarge", "large_download")
    assert first["reasons"].startswith("large download: received 3,099,999,") and first["risk_score"] >= 90.0


def test_a_model_without_the_behaviour_is_refused(site: Site, trained_home: Path) -> None:
    graph = next((trained_home / "mlruns").rglob("*.onnx"))
    load = f"from mlids.detectors.bundle import Bundle; from pathlib import Path; Bundle(Path({str(graph)!r}).read_bytes())"
    assert site.run("-c", load).returncode == 0
    site.install("mlids_download", example("A behaviour"), "mlids.behaviours", "BEHAVIOUR")
    refused = site.run("-c", load)
    assert refused.returncode != 0 and "OtherFeaturesError" in refused.stderr and "large_download" in refused.stderr


def test_evidence_of_another_package_raises_the_risk_of_its_conns(site: Site, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    conns = [conn_line(f"C{n}", service="http", id__resp_p="80", ts=f"{1713484800 + n}.0") for n in range(30)]
    (logs / "conn.log").write_text(CONN_HEADER + "".join(conns))
    row = "1713484803.1\tC3\t10.0.0.5\t50000\t192.0.2.7\t80\tGET\texample.com\t/?id=1\texamplescan/1.8\n"
    (logs / "http.log").write_text(HTTP_HEADER + row * 25 + row.replace("examplescan/1.8", "Mozilla/5.0").replace("C3", "C4"))
    assert not [f for f in site.score(logs)["findings"] if "examplescan" in f["reasons"]]
    site.install("mlids_tools", example("Evidence from a log"), "mlids.evidence", "EVIDENCE")
    (first, *others) = site.score(logs)["findings"]
    assert first["uid"] == "C3" and first["reasons"].startswith("web attack tool: 25 requests by examplescan") and first["alert"]
    assert not [f for f in others if "examplescan" in f["reasons"]]


def test_evidence_of_another_package_becomes_a_night_alert(site: Site, tmp_path: Path) -> None:
    (tmp_path / "conn.log").write_text(CONN_HEADER + "".join(conn_line(f"C{n}") for n in range(30)))
    row = "1713484803.1\tC3\t10.0.0.5\t50000\t192.0.2.7\t80\tGET\texample.com\t/\tExampleBuster/2.5\n"
    (tmp_path / "http.log").write_text(HTTP_HEADER + row * 7)
    site.install("mlids_tools", example("Evidence from a log"), "mlids.evidence", "EVIDENCE")
    home = str(tmp_path / "home")
    for command in (
        ["ingest", "hq", "2024-04-19", str(tmp_path / "conn.log"), str(tmp_path / "http.log")],
        ["reconcile", "hq", "2024-04-19"],
    ):
        done = site.run("-m", "mlids.cli", *command, MLIDS_HOME=home)
        assert done.returncode == 0, done.stderr
    (alert,) = json.loads(site.run("-m", "mlids.cli", "alerts", "--json", MLIDS_HOME=home).stdout)
    assert alert["message"] == "web attack tool by 10.0.0.5: 7 requests by examplebuster"
    assert alert["mlids"]["uids"] == ["C3"] and alert["mlids"]["count"] == 7


def test_a_sink_of_another_package_receives_alerts(site: Site, tmp_path: Path, webhook: Webhook) -> None:
    (tmp_path / "conn.log").write_text(CONN_HEADER + "".join(conn_line(f"C{n}") for n in range(30)))
    row = "1713484803.1\tC3\t10.0.0.5\t50000\t192.0.2.7\t80\tGET\texample.com\t/\tExampleBuster/2.5\n"
    (tmp_path / "http.log").write_text(HTTP_HEADER + row * 7)
    site.install("mlids_tools", example("Evidence from a log"), "mlids.evidence", "EVIDENCE")
    site.install("mlids_webhook", example("A sink"), "mlids.sinks", "open_sink", name="webhook")
    settings = {"MLIDS_HOME": str(tmp_path / "home"), "MLIDS_SINKS": "webhook", "MLIDS_WEBHOOK_URL": webhook.url}
    ingested = site.run("-m", "mlids.cli", "ingest", "hq", "2024-04-19", str(tmp_path / "conn.log"), str(tmp_path / "http.log"), **settings)
    assert ingested.returncode == 0, ingested.stderr
    webhook.answers = [503, 422, 200]
    down = site.run("-m", "mlids.cli", "reconcile", "hq", "2024-04-19", **settings)
    assert down.returncode == 4 and "answers 503" in down.stderr and "Traceback" not in down.stderr
    for _ in range(2):  # a document refused for good, then one that is accepted
        assert site.run("-m", "mlids.cli", "reconcile", "hq", "2024-04-19", **settings).returncode == 0
    assert [d["event"]["dataset"] for d in webhook.received] == ["zeek.http"] * 3 and len({d["event"]["id"] for d in webhook.received}) == 1
    (dead,) = (tmp_path / "home" / "alerts" / "dead-letters.jsonl").read_text().splitlines()
    assert json.loads(dead)["sink"] == "webhook" and "422" in json.loads(dead)["reason"]
    unset = site.run("-m", "mlids.cli", "reconcile", "hq", "2024-04-19", **(settings | {"MLIDS_WEBHOOK_URL": ""}))
    assert unset.returncode == 2 and "MLIDS_WEBHOOK_URL must be set" in unset.stderr


def test_an_addition_that_cannot_be_loaded_is_named(site: Site, tmp_path: Path) -> None:
    log = tmp_path / "conn.log"
    log.write_text(CONN_HEADER + conn_line())
    site.install("mlids_broken", "raise RuntimeError('no licence')\n", "mlids.evidence", "EVIDENCE")
    done = site.run("-m", "mlids.cli", "score", str(log))
    assert done.returncode == 2 and "mlids_broken" in done.stderr and "no licence" in done.stderr and "Traceback" not in done.stderr


def test_two_behaviours_with_one_number_are_refused(site: Site, tmp_path: Path) -> None:
    site.install("mlids_download", example("A behaviour").replace("number=1000", "number=7"), "mlids.behaviours", "BEHAVIOUR")
    done = site.run("-c", "import mlids.features.spec")
    assert done.returncode != 0 and "beacon and large_download both have number 7" in done.stderr
