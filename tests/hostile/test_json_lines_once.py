"""JSON lines hold an alert once, whatever processes append to the file, and wherever one of them is killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from mlids.alerts.sinks.jsonl import JsonLinesSink, open_sink
from mlids.errors import SettingsError
from mlids.settings import load_settings
from tests.support.alerts import alert

Happened = Callable[[str], None]
pytestmark = pytest.mark.attack(
    row=9,
    attack="live and late scoring append to one file of JSON lines in turn; one of them is killed in mid-write",
    held="each alert once in its day's file",
)
WRITER = """
import sys
from pathlib import Path
from mlids.alerts.sinks.jsonl import JsonLinesSink, open_sink
from mlids.errors import SettingsError
from mlids.settings import load_settings
from tests.support.alerts import alert
sink = JsonLinesSink(Path(sys.argv[1]))
for n in range(60):
    sink.write([alert((n * int(sys.argv[2])) % 61).document() for n in range(n, n + 3)])
"""


def ids(path: Path) -> Counter[str]:
    """Return how often each alert is in a file."""
    found: Counter[str] = Counter()
    for line in path.read_text().splitlines():
        try:
            found[json.loads(line)["event"]["id"]] += 1
        except ValueError:
            continue
    return found


def test_two_writers_in_turn_write_each_alert_once(tmp_path: Path) -> None:
    live, late = JsonLinesSink(tmp_path), JsonLinesSink(tmp_path)
    for sink in (live, late, live, late):
        sink.write([alert(n).document() for n in range(2)])
        sink.write([alert(n).document() for n in range(3)])
    late.write([alert(9).document()])
    live.write([alert(9).document(), alert(10).document()])
    assert set(ids(tmp_path / "alerts-2026-11-20.jsonl").values()) == {1}


def test_three_processes_at_once_write_each_alert_once(tmp_path: Path, happened: Happened) -> None:
    started = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), str(step)]) for step in (1, 7, 11)]
    assert [p.wait(timeout=60) for p in started] == [0, 0, 0]
    found = ids(tmp_path / "alerts-2026-11-20.jsonl")
    assert len(found) == 61 and set(found.values()) == {1}
    happened("61 alerts by three processes: 61 lines")


@pytest.mark.parametrize("cut", [1, 40, 2_000])
def test_replay_after_a_kill_in_mid_write_completes_the_file(tmp_path: Path, cut: int) -> None:
    """Killed before the acknowledgement: the file ends within a line, or just before its end of line."""
    path = tmp_path / "alerts-2026-11-20.jsonl"
    other = JsonLinesSink(tmp_path)
    other.write([alert(1).document()])
    JsonLinesSink(tmp_path).write([alert(n).document() for n in range(2, 5)])
    os.truncate(path, path.stat().st_size - cut)
    other.write([alert(n).document() for n in range(1, 6)])
    assert ids(path) == Counter(alert(n).id for n in range(1, 6))


def test_file_that_a_shipper_moved_away_is_begun_anew_without_repeats(tmp_path: Path) -> None:
    path = tmp_path / "alerts-2026-11-20.jsonl"
    sink = JsonLinesSink(tmp_path)
    sink.write([alert(1).document()])
    path.rename(tmp_path / "shipped")
    sink.write([alert(1).document(), alert(2).document()])
    assert ids(path) == Counter([alert(2).id])


def test_group_reads_the_lines_when_the_setting_lets_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = home / "alerts" / "alerts-2026-11-20.jsonl"
    for mode in ("0600", "0640", "0644", "0600"):
        monkeypatch.setenv("MLIDS_JSONL_MODE", mode)
        open_sink(load_settings()).write([alert(1).document()])
        assert path.stat().st_mode & 0o777 == int(mode, 8)
    monkeypatch.setenv("MLIDS_JSONL_MODE", "0666")
    with pytest.raises(SettingsError, match="jsonl_mode"):
        load_settings()
