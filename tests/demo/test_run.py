"""The whole demo on real components, its page in Chromium, and no process left after Ctrl-C."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import missing
from tests.support.processes import arguments, family, listening, running, sessions, with_argument

MARK = "mlids-demo-test"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    home = tmp_path_factory.mktemp(MARK)
    log = home / "out.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [Path(sys.executable).with_name("mlids"), "demo", "--home", home / "h", "--flows", "8000"],
            stdout=out,
            stderr=out,
            stdin=subprocess.DEVNULL,
        )
    end = time.monotonic() + 1_500
    killed = scheduler = None
    while "press Ctrl-C" not in log.read_text():
        assert process.poll() is None and time.monotonic() < end, log.read_text()[-6_000:]
        # Airflow's scheduler is killed in the middle of a backfill, and the scorer in the middle of an attack.
        if scheduler is None and re.search(r"zeek_ingest: ([3-9]|1[0-2]) of", log.read_text()):
            scheduler = next(p.pid for p in family(process.pid) if arguments(p)[2:3] == ["scheduler"])
            os.kill(scheduler, signal.SIGKILL)
        if killed is None and "the sensor sees a live" in log.read_text():
            killed = json.loads((home / "h" / "state" / "hq" / "status.json").read_text())["pid"]
            os.kill(killed, signal.SIGKILL)
        time.sleep(0.5)
    text = log.read_text()
    url = re.search(r"Airflow: (http://127\.0\.0\.1:\d+)", text)
    password = re.search(r"password (\S+)\)", text)
    assert url and password
    yield {
        "killed": killed,
        "scheduler": scheduler,
        "home": home / "h",
        "url": url[1],
        "password": password[1],
        "process": process,
        "text": text,
    }
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=90)


def test_summary_counts_rows_attacks_and_reports(demo: dict[str, Any]) -> None:
    summary = json.loads((demo["home"] / "demo-summary.json").read_text())
    wanted = {
        "rows_pulled",
        "rows_in_lake",
        "rows_rejected",
        "model_version",
        "alerts",
        "alerts_right",
        "attacks_planted",
        "attacks_found",
        "report",
        "seconds",
    }
    assert wanted <= set(summary)
    assert summary["rows_in_lake"] == summary["rows_pulled"] > 80_000 and summary["rows_rejected"] == 0
    assert summary["model_version"] == "1" and summary["attacks_planted"] == 27
    assert summary["attacks_found"] >= 17, summary["attacks_missed"]
    assert summary["cases_right"] >= 0.7 * summary["cases"] and summary["attacks_in_cases"] >= 15, summary
    assert summary["cases_per_attack"] <= 1.5, summary
    assert {Path(p).suffix for p in summary["report"]} == {".html", ".pdf"} and all(Path(p).exists() for p in summary["report"])
    # An independent count of the rows: lines of the sensor's files, of all logs in the days before and of the live conns.
    logs = demo["home"] / "sensor" / "logs"
    last = max(p.name for p in logs.iterdir() if p.name != "current")
    count = f"for f in $(ls */*.gz | grep -v '^{last}/') {last}/conn.*.gz; do zcat $f; done | grep -vc '^#'"
    lines = int(subprocess.run(["bash", "-c", count], cwd=logs, check=True, capture_output=True, text=True).stdout)
    assert lines == summary["rows_in_lake"] + summary["live_ledger"]["archived"]


def test_live_alerts_came_from_the_live_scorer(demo: dict[str, Any]) -> None:
    assert "live alert" in demo["text"]
    import sqlite3

    with sqlite3.connect(demo["home"] / "mlids.db") as db:
        origins = dict(db.execute("select origin, count(*) from alerts group by origin").fetchall())
    db.close()
    assert origins["live"] >= 2 and origins["late"] >= 5


def test_a_killed_scheduler_and_scorer_and_a_cut_connection_heal_and_the_ledger_closes(demo: dict[str, Any]) -> None:
    assert "scheduler ended with code -9 and is started again" in demo["text"]
    assert demo["killed"] and "is cut for a moment" in demo["text"]
    status = json.loads((demo["home"] / "state" / "hq" / "status.json").read_text())
    assert status["pid"] != demo["killed"] and status["state"] == "following" and status["rows"] > 0
    ledger = json.loads((demo["home"] / "demo-summary.json").read_text())["live_ledger"]
    assert ledger["missing"] == 0 and ledger["rejected"] == 0
    assert ledger["live"] + ledger["late"] == ledger["archived"] > 500 and ledger["late"] < 0.2 * ledger["archived"], ledger


def test_everything_listens_on_loopback_only(demo: dict[str, Any]) -> None:
    assert {address for address, _ in listening(family(demo["process"].pid))} == {"127.0.0.1"}


def test_the_page_requires_a_login_and_shows_alerts(demo: dict[str, Any], tmp_path: Path) -> None:
    for path in ("/mlids/", "/mlids/cases", "/mlids/api/overview", "/mlids/reports/weekly-x.html"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(demo["url"] + path, timeout=30)
        assert refused.value.code == 401
        refused.value.close()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        missing("Chromium", "sudo apt-get install -y chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"])
        context = browser.new_context(viewport={"width": 1400, "height": 900})
        page = context.new_page()
        errors: list[str] = []
        page.goto(demo["url"] + "/")
        page.fill("input[name=username]", "admin")
        page.fill("input[name=password]", demo["password"])
        page.keyboard.press("Enter")
        page.wait_for_selector("text=Dags", timeout=30_000)
        page.goto(demo["url"] + "/plugin/mlids")
        frame = page.frame_locator("iframe")
        frame.locator("h1", has_text="Open cases").wait_for(timeout=30_000)
        alerts = frame.locator("h2", has_text="Alerts with the highest risk").locator("xpath=following::table[1]")
        assert alerts.locator("tr").count() > 5
        frame.locator("text=PR-AUC at 1 %").first.wait_for(timeout=60_000)
        page.on("pageerror", lambda e: errors.append(str(e)))
        answer = page.request.get(demo["url"] + "/mlids/")
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        frame.locator("nav a", has_text="Reports").click()
        with context.expect_page() as opened:
            frame.locator("a[href*='/weekly'][href$='.html/read']").first.click()
        opened.value.frame_locator("iframe.reader").locator("h1", has_text="Weekly report").wait_for(timeout=30_000)
        pdf = re.search(r'href="([^"]+weekly[^"]+\.pdf)/read"', page.request.get(demo["url"] + "/mlids/reports").text())
        assert pdf and page.request.get(demo["url"] + pdf[1]).body().startswith(b"%PDF")
        assert page.request.get(demo["url"] + "/mlids/reports/..%2f..%2fsecrets.json").status == 404
        browser.close()
    assert not errors


def test_secrets_stay_out_of_logs_and_files(demo: dict[str, Any]) -> None:
    secrets = json.loads((demo["home"] / "secrets.json").read_text())
    assert (demo["home"] / "secrets.json").stat().st_mode & 0o077 == 0
    logs = list((demo["home"] / "logs").glob("*.log"))
    assert len(logs) >= 5
    for path in logs:
        text = path.read_text(errors="replace")
        assert not any(value in text for value in secrets.values()), path
    assert "PRIVATE KEY" in (demo["home"] / "sensor" / "client_key").read_text()
    assert (demo["home"] / "sensor" / "client_key").stat().st_mode & 0o077 == 0


def test_interrupt_leaves_no_process_behind(demo: dict[str, Any]) -> None:
    processes = family(demo["process"].pid)
    ports = {port for _, port in listening(processes)}
    assert len(processes) > 5 and ports
    demo["process"].send_signal(signal.SIGINT)
    assert demo["process"].wait(timeout=90) == 0
    assert not running(processes)
    assert not with_argument(MARK)
    assert demo["scheduler"] not in sessions(), "what the killed scheduler had started has ended too"
    for port in ports:
        with socket.socket() as s:
            assert s.connect_ex(("127.0.0.1", port)) != 0
