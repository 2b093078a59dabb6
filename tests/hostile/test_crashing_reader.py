"""A line that crashes the reader as native code does: its scorer goes on without it, no other sensor notices, the night counts it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mlids import pipeline
from mlids.errors import SourceError
from mlids.ingest.read_mark import PUT_ASIDE, put_aside
from mlids.scoring.status import LOOP_FAILURES
from mlids.settings import load_settings
from mlids.synth.growing import GrowingLog
from tests.conftest import free_port
from tests.faults.field import traffic
from tests.support.crash import CRASH, crashing_reader
from tests.support.serving import wait_until

pytestmark = pytest.mark.attack(
    row=1,
    attack="a line of a log crashes the reader (SIGSEGV), again at each restart",
    held="a process per sensor; a piece that killed a scorer is read on trial in a forked process and its line put aside (`put-aside.jsonl`), by `mlids ingest` as well; lines that fail after the reading are put aside after 4 failures (`ASIDE_FROM`)",
)


@pytest.fixture
def logs(serving_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, GrowingLog]:
    """Two sensors with growing logs, in a home of their own with a model in production."""
    crashing_reader(tmp_path / "crash", monkeypatch)
    made = {name: GrowingLog(tmp_path / name).open() for name in ("a", "b")}
    entries = [f'[[sensor]]\nname = "{n}"\nkind = "folder"\nlogs = "{tmp_path / n}"\ntypes = ["conn"]\n' for n in made]
    (serving_home / "sensors.toml").write_text("".join(entries))
    return made


def status(sensor: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((load_settings().state / sensor / "status.json").read_text())
    except (FileNotFoundError, ValueError):
        return {"rows": 0, "rejected": 0, "pid": 0}
    return found


def health(port: int) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


@contextmanager
def serving(log: Path, *options: str, code: str = "") -> Iterator[subprocess.Popen[bytes]]:
    """Run `mlids serve` in a process of its own; SIGTERM ends it."""
    command = [sys.executable, "-c", f"{code}\nfrom mlids.cli.__main__ import main; main()", "serve", *options]
    with log.open("wb") as out, subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=out) as child:
        try:
            yield child
        finally:
            child.send_signal(signal.SIGTERM)
            child.wait(20)


def killer(log: GrowingLog, rows: pl.DataFrame) -> None:
    """Append a whole row that crashes the reader."""
    log.append(rows[:1].with_columns(uid=pl.lit(CRASH)))


def test_a_crash_stops_no_other_sensor_and_the_line_is_put_aside(
    logs: dict[str, GrowingLog], tmp_path: Path, happened: Callable[[str], None]
) -> None:
    rows = traffic(datetime.now(UTC))
    port = free_port()
    with serving(tmp_path / "serve.log", "--metrics-port", str(port)) as child:
        logs["a"].append(rows[:300])
        logs["b"].append(rows[:100])
        assert wait_until(lambda: status("a")["rows"] == 300 and status("b")["rows"] == 100), (tmp_path / "serve.log").read_text()
        neighbour, first = status("b")["pid"], status("a")["pid"]
        began = time.monotonic()
        logs["a"].append(rows[300:600])
        killer(logs["a"], rows)
        logs["a"].append(rows[600:])
        logs["b"].append(rows[100:])
        assert wait_until(lambda: status("b")["rows"] == rows.height, 30.0), "the neighbour's rows are scored meanwhile"
        assert wait_until(lambda: status("a")["rows"] == rows.height and status("a")["rejected"] == 1, 60.0), status("a")
        took = time.monotonic() - began
        assert child.poll() is None and status("b")["pid"] == neighbour and status("a")["pid"] != first
        assert wait_until(lambda: health(port) == 200, 10.0)
        assert status("a")["put_aside"] == 1 and "SIGSEGV" in status("a")["last_error"]
    (entry,) = put_aside(load_settings().state / "a")
    assert entry["lines"] == 1 and CRASH in entry["raw"] and "SIGSEGV" in entry["reason"] and entry["file"].endswith("conn.log")
    whole = logs["a"].path.read_bytes()
    assert whole[entry["offset"] : entry["offset"] + entry["size"]].decode() == entry["raw"]
    assert "lines were put aside" in (tmp_path / "serve.log").read_text()
    finding = {f.part: f for f in pipeline.doctor()}["put aside"]
    assert not finding.well and PUT_ASIDE in finding.text and "SIGSEGV" in finding.text
    night = counted_at_night(logs["a"])
    assert (night["live"], night["late"], night["missing"], night["rejected"]) == (rows.height, 0, 0, 1), night
    assert night["live"] + night["late"] + night["rejected"] == logs["a"].rows
    problems = " ".join(p for r in pipeline.open_stores(load_settings()).ledger.days() for p in r["problems"])
    assert "put aside" in problems and "live scoring put 1 lines aside" in problems, problems
    happened(f"all other rows of the sensor scored {took:.0f} s later, its neighbour never stopped, one line put aside live and at night")


def counted_at_night(log: GrowingLog) -> dict[str, Any]:
    """Rotate, pull, ingest in processes of their own until one ends well, and reconcile."""
    day = log.rotate(reopen=False).parent.name
    pipeline.pull("a", day)
    codes = []
    for _ in range(3):
        done = subprocess.run([sys.executable, "-m", "mlids.cli", "ingest", "a", day], capture_output=True, text=True, timeout=120)
        codes.append(done.returncode)
        if done.returncode == 0:
            break
    assert codes == [-signal.SIGSEGV, 0], f"{codes}: {done.stderr}"
    return pipeline.reconcile("a", day)


@pytest.mark.long
def test_an_ingest_that_dies_even_so_leaves_the_file_out_by_name(logs: dict[str, GrowingLog], tmp_path: Path) -> None:
    """What kills after the reading is found by no trial: the file that was read when it died three times is put aside."""
    rows = traffic(datetime.now(UTC))
    files = []
    for n, name in enumerate(("conn.00:00:00-01:00:00.log", "conn.01:00:00-02:00:00.log", "conn.02:00:00-03:00:00.log")):
        log = GrowingLog(tmp_path / str(n)).open()
        log.append(rows[n * 100 : n * 100 + 100])
        log.append(rows[:1].with_columns(uid=pl.lit("KILLER" if n == 1 else "harmless")))
        files.append(log.path.rename(tmp_path / name))
    code = (
        "import os, signal\nfrom mlids.ingest.day_writer import DayWriter\nbatch = DayWriter._batch\n"
        "def killed(self, b, source):\n    if 'KILLER' in b.frame['uid'].to_list(): os.kill(os.getpid(), signal.SIGKILL)\n    batch(self, b, source)\n"
        "DayWriter._batch = killed\nfrom mlids.cli.__main__ import main; main()"
    )
    command = [sys.executable, "-c", code, "ingest", "a", "2026-11-20", *map(str, files), "--json"]
    runs = [subprocess.run(command, capture_output=True, text=True, timeout=120) for _ in range(4)]
    assert [r.returncode for r in runs] == [-signal.SIGKILL] * 3 + [0], runs[-1].stderr
    done = json.loads(runs[-1].stdout)
    assert done["rows"] == 202 and done["problems"] == [
        "conn.01:00:00-02:00:00.log: put aside: an ingest died 3 times while it read it; repair or remove it"
    ]


BROKEN = """
import polars as pl
from mlids.features import extract
features = extract.Extractor.features
def broken(self, conns):
    if "BROKEN" in conns["uid"].to_list(): raise OverflowError("date value out of range")
    return features(self, conns)
extract.Extractor.features = broken
"""


@pytest.mark.long
def test_a_row_that_fails_after_the_reading_is_loud_within_a_minute_and_put_aside(
    logs: dict[str, GrowingLog], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, happened: Callable[[str], None]
) -> None:
    """A defect that fails at one row, as a time near year 9999 did: the scorer fails and starts again at the same position.

    The short forms are in test_scorer_states.
    """
    site = tmp_path / "crash" / "sitecustomize.py"
    site.write_text(
        "import sys\nif 'mlids.pipeline.scorer_process' in ' '.join(sys.orig_argv):\n" + "".join(f"    {x}\n" for x in BROKEN.splitlines())
    )
    rows = traffic(datetime.now(UTC))
    port = free_port()
    (load_settings().home / "sensors.toml").write_text(f'[[sensor]]\nname = "a"\nkind = "folder"\nlogs = "{tmp_path / "a"}"\n')
    log = tmp_path / "serve.log"
    with serving(log, "--metrics-port", str(port)):
        logs["a"].append(rows[:600])
        logs["a"].append(rows[:1].with_columns(uid=pl.lit("BROKEN")))
        logs["a"].append(rows[600:])
        began = time.monotonic()
        assert wait_until(lambda: len(status("a").get("failed_at", ())) >= LOOP_FAILURES, 60.0), log.read_text()
        loud = time.monotonic() - began
        assert loud < 60 and wait_until(lambda: health(port) == 503, 2.0)
        with pytest.raises(SourceError, match=r"a: failed \d times within 300 s and starts again each time: OverflowError"):
            pipeline.watch_live()
        finding = {f.part: f for f in pipeline.doctor()}["live scoring"]
        assert not finding.well and "OverflowError: date value out of range" in finding.text
        assert wait_until(lambda: status("a")["rows"] + status("a")["rejected"] == logs["a"].rows, 60.0), log.read_text()
        assert 1 <= status("a")["rejected"] <= 60 and health(port) == 503, "it is past the row, and was a crash loop just now"
    lines = [line for line in log.read_text().splitlines() if "is in a crash loop" in line]
    assert len(lines) == 1 and "sensor a" in lines[0] and "OverflowError" in lines[0]
    happened(f"/healthz, doctor and watch say so after {loud:.0f} s; {status('a')['rejected']} lines put aside, the rest scored")
