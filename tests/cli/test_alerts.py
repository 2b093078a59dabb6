"""`mlids alerts` as an analyst sees it: lists at 80, 120 and 200 columns, filters, one alert."""

from __future__ import annotations

import getpass
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
import sqlalchemy as sa

from mlids import pipeline
from mlids.alerts.grouping import GroupKey
from mlids.errors import StoreError
from mlids.settings import load_settings
from tests.conftest import ROOT
from tests.support.alerts import alert

LONG = "2001:0db8:85a3:1111:2222:8a2e:0370:7334"
OTHER = LONG.replace("7334", "9999")


def mlids(*arguments: str, columns: int = 80) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mlids.cli", "alerts", *arguments],
        cwd=ROOT, env=os.environ | {"COLUMNS": str(columns)}, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture
def stored(home: Path) -> Path:
    """A home with alerts of the last days: brute force, a beacon between long addresses, an old scan with hostile text."""
    now = datetime.now(UTC)
    stores = pipeline.open_stores(load_settings())
    beacon = GroupKey(f"be{1:030d}", "hq", "beacon", LONG, f"{OTHER}:65443/tcp", 0)
    scan = GroupKey(f"sc{1:030d}", "branch", "horizontal_scan", "10.0.0.77", "22/tcp", 0)
    found = [alert(n, now - timedelta(hours=n), count=1000 * n) for n in range(1, 5)]
    found.append(alert(9, now - timedelta(days=3), key=beacon, src=LONG, dst=OTHER, dst_port=65443, score=95.0, reasons="long " * 60))
    found.append(alert(8, now - timedelta(days=20), key=scan, src="10.0.0.77", dst="evil\x1b[31m", score=40.0, reasons="a\nb"))
    stores.alerts.put(found, "live")
    stores.rules.put_verdict(found[1].id, "true positive", "ana")
    stores.close()
    return home


def ids(*arguments: str) -> list[str]:
    return [a["id"][:2] + a["id"][-1] for a in json.loads(mlids(*arguments, "--json").stdout)]


@pytest.mark.parametrize("columns", [80, 120, 200])
def test_list_fits_and_breaks_no_address(stored: Path, columns: int) -> None:
    lines = mlids(columns=columns).stdout.splitlines()
    assert max(map(len, lines)) <= columns and len(lines) <= 6 * 4 + 1
    text = "\n".join(lines)
    assert LONG in text and f"[{OTHER}]:65443" in text and "10.0.0.1 -> 192.0.2.1:22" in text
    assert "\x1b" not in text and "evil\\x1b[31m" in text and "a\\x0ab" in text
    assert f"{datetime.now(UTC) - timedelta(days=3):%Y-%m-%d}" in text and "critical" in text and "4,000" in text


def test_an_alert_is_one_line_where_it_fits_and_at_most_four_at_80_columns(stored: Path) -> None:
    assert len(mlids(columns=200).stdout.splitlines()) == 6 + 1
    lines = mlids().stdout.splitlines()
    starts = [n for n, line in enumerate(lines) if not line.startswith(" ")] + [len(lines)]
    assert len(starts) == 6 + 1 and max(b - a for a, b in pairwise(starts)) == 4


def test_filters_and_order(stored: Path) -> None:
    assert ids() == ["id1", "id2", "id3", "id4", "be1", "sc1"]
    assert ids("--src", "10.0.0.0/30") == ["id1", "id2", "id3"] and ids("--src", LONG) == ["be1"]
    assert ids("--kind", "beacon") == ["be1"] and ids("--since", "150m") == ["id1", "id2"]
    assert ids("--min-risk", "81") == ["be1"] and ids("--open", "--since", "1d") == ["id1", "id3", "id4"]
    assert ids("--sort", "risk")[0] == "be1" and ids("--sort", "count", "--limit", "2") == ["id4", "id3"]
    assert mlids("--src", "10.9.9.9").stdout == "no alert is like this\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(("--kind", "bacon"), "no alert is of kind 'bacon'"), (("--src", "ten"), "neither an address"), (("--since", "soon"), "is no time")],
)
def test_filter_that_is_none_is_refused(stored: Path, arguments: tuple[str, ...], words: str) -> None:
    done = mlids(*arguments)
    assert done.returncode == 2 and words in done.stderr


def test_one_alert_is_a_page_for_people_and_a_document_for_machines(stored: Path) -> None:
    shown = mlids("show", "be").stdout
    assert max(map(len, shown.splitlines())) <= 80 and LONG in shown and f"[{OTHER}]:65443 tcp" in shown
    assert "95 of 100" in shown and "none yet" in shown and "mlids alerts verdict be000000 true-positive" in shown and "{" not in shown
    document = json.loads(mlids("show", "be", "--json").stdout)
    assert document["mlids"]["kind"] == "beacon" and document["severity"] == "critical"
    assert "true positive" in mlids("show", f"id{2:030d}").stdout and "\x1b" not in mlids("show", "sc").stdout


def test_rule_that_covers_too_much_is_refused_without_force(stored: Path) -> None:
    tried = mlids("suppress", "--kind", "brute_force", "--why", "noise", "--dry-run")
    assert "brute_force: would have hidden 4 alerts of the last 7 days, 1 of them marked true (5 alerts in all)" in tried.stdout
    assert "Without --force it is refused" in tried.stdout and tried.returncode == 0
    done = mlids("suppress", "--kind", "brute_force", "--why", "noise")
    assert done.returncode == 2 and done.stdout == ""
    assert (
        "it covers 4 of the 5 alerts of the last 7 days (80 %; MLIDS_SUPPRESS_LIMIT_PERCENT is 20) and 1 alert marked true" in done.stderr
    )
    assert json.loads(mlids("rules", "--json").stdout) == [] == json.loads(mlids("history", "--json").stdout)
    assert mlids("suppress", "--kind", "brute_force", "--why", "noise", "--force").stdout.startswith(
        "rule 1: brute_force; it hides 4 of the 5"
    )
    assert ids() == ["be1", "sc1"]


def test_history_has_who_when_and_why_and_is_never_changed(stored: Path) -> None:
    mlids("suppress", "--alert", "be", "--why", "the monitoring host")
    mlids("suppress", "--src", "10.0.0.0/24", "--why", "a test\x1b[31m", "--force")
    mlids("unsuppress", "2", "--why", "too wide")
    found = json.loads(mlids("history", "--json").stdout)
    assert [(h["rule"], h["action"], h["why"], h["alerts"]) for h in found] == [
        (2, "end", "too wide", None), (2, "force", "a test\x1b[31m", 4), (1, "add", "the monitoring host", 1),
    ]  # fmt: skip
    assert {h["who"] for h in found} == {getpass.getuser()} and found[0]["conditions"]["src"] == "10.0.0.0/24"
    shown = mlids("history").stdout
    assert "added by force" in shown and "a test\\x1b[31m" in shown and "\x1b" not in shown and OTHER.replace(":0", ":") in shown
    assert max(map(len, shown.splitlines())) <= 80
    stores = pipeline.open_stores(load_settings())
    for change in ("UPDATE suppression_history SET who = 'nobody'", "DELETE FROM suppression_history"):
        with pytest.raises(StoreError, match="never changed"), stores.engine.writing("history") as db:
            db.execute(sa.text(change))


def test_limit_is_a_setting_and_one_alert_is_never_too_many(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert mlids("suppress", "--src", "10.0.0.1", "--why", "one of five").returncode == 0
    monkeypatch.setenv("MLIDS_SUPPRESS_LIMIT_PERCENT", "0")
    assert mlids("suppress", "--src", "10.0.0.3", "--why", "one of five").returncode == 0
    assert mlids("suppress", "--src", "10.0.0.0/31", "--why", "one of five").returncode == 0
    assert mlids("suppress", "--src", "10.0.0.4/30", "--why", "one of five").returncode == 0
    assert mlids("suppress", "--src", "10.0.0.2", "--why", "marked true").returncode == 2
    monkeypatch.setenv("MLIDS_SUPPRESS_LIMIT_PERCENT", "100")
    assert "marked true" in mlids("suppress", "--kind", "brute_force", "--why", "all").stderr


@pytest.mark.parametrize("ending", ["csv", "json"])
def test_rules_travel_through_a_file(stored: Path, tmp_path: Path, ending: str) -> None:
    file = str(tmp_path / f"rules.{ending}")
    mlids("suppress", "--src", "10.0.0.1", "--port", "22", "--why", "=one, of five", "--days", "3")
    assert "1 rules written" in mlids("export", file).stdout and mlids("export", file).returncode == 2
    assert mlids("import", file).stdout == "", "it is in force already"
    mlids("unsuppress", "1")
    assert "would have hidden 1 alerts" in mlids("import", file, "--dry-run").stdout
    assert "rule 2 hides 1 alerts" in mlids("import", file).stdout
    (rule, _) = json.loads(mlids("rules", "--json").stdout)
    assert (rule["src"], rule["port"], rule["why"].lstrip("'")) == ("10.0.0.1/32", 22, "=one, of five") and rule["expires_at"]


def test_import_that_covers_too_much_stores_nothing(stored: Path, tmp_path: Path) -> None:
    file = tmp_path / "rules.json"
    file.write_text('[{"src": "10.0.0.1", "why": "a"}, {"kind": "brute_force", "why": "b"}]')
    done = mlids("import", str(file))
    assert done.returncode == 2 and "rule 2 covers 4 of the 5 alerts" in done.stderr
    assert json.loads(mlids("rules", "--json").stdout) == []
    file.write_text('[{"scr": "10.0.0.1", "why": "a"}]')
    assert "unknown fields scr" in mlids("import", str(file)).stderr
