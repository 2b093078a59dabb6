"""Readers of a day while it is replaced see the old rows or the new ones; writers in other containers are left alone."""

from __future__ import annotations

import collections
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest

from mlids.ingest.day_swap import remove_left_over, swap_in
from mlids.ingest.lake import Lake
from mlids.locks import pin
from mlids.training.snapshot import SnapshotOptions, take_snapshot
from tests.conftest import CONN_HEADER, conn_line, need_program

DAY = date(2024, 4, 19)
ROWS = {"A": 40, "B": 28}
HOURS = 4

_READ = """
import json, sys
from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path
from mlids.ingest.lake import Lake

DAY, SINCE, ROWS = date(2024, 4, 19), datetime(2020, 1, 1, tzinfo=UTC), {"A": 40, "B": 28}
stop, seen = Path(sys.argv[2]), Counter()

def uids(batches):
    return [uid for frame in batches for uid in frame["uid"]]

def read(lake):
    manifest = lake.manifest("conn", "hq", DAY)
    first = uids(lake.batches("conn", "hq", [DAY], ["uid"]))
    again = uids(lake.last_rows("conn", "hq", DAY, SINCE, ["uid", "ts", "duration"]))
    generation = first[0][0] if first else "none"
    whole = {u[0] for u in first} == {generation} and len(first) == ROWS.get(generation) and lake.days("conn", "hq") == [DAY]
    return generation if whole and again == first and manifest.rows == len(first) else f"mixture of {generation}: {len(first)}, {len(again)}"

lake = Lake(Path(sys.argv[1]))
while not stop.exists():
    try:
        with lake.pinned() as view:
            seen[read(view)] += 1
            Path(f"{stop}-{sys.argv[3]}").touch()
    except Exception as error:
        seen[f"{type(error).__name__}: {error}"[:90]] += 1
print(json.dumps(seen))
"""

_WRITE = """
import sys, time
from datetime import date
from pathlib import Path
from mlids.ingest.day_writer import DayWriter
from mlids.ingest.lake import Lake

lake, source, writing, go = map(Path, sys.argv[1:])
unify = DayWriter._unify

def wait(self):
    unify(self)
    writing.touch()
    while not go.exists():
        time.sleep(0.02)

DayWriter._unify = wait
print(Lake(lake).ingest("hq", date(2024, 4, 19), [source]).rows)
"""


@pytest.fixture
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four hours each of a day's two forms, `A` and `B`; an hour is a part."""
    monkeypatch.setattr("mlids.ingest.day_writer.PART_ROWS", 1)
    for name, rows in ROWS.items():
        folder = tmp_path / "logs" / name
        folder.mkdir(parents=True)
        for hour in range(HOURS):
            lines = [conn_line(f"{name}{hour:02}{n:03}") for n in range(rows // HOURS)]
            (folder / f"conn.{hour:02}.log").write_text(CONN_HEADER + "".join(lines))
    return tmp_path / "logs"


def ingest(lake: Lake, logs: Path, name: str) -> None:
    lake.ingest("hq", DAY, sorted((logs / name).iterdir()), accept_shrunk=True)


def uids(lake: Lake) -> list[str]:
    return [uid for frame in lake.batches("conn", "hq", [DAY], ["uid"]) for uid in frame["uid"]]


def names(lake: Lake) -> list[str]:
    return sorted(p.name for p in lake.day_path("conn", "hq", DAY).parent.iterdir())


def wait_for(*paths: Path) -> None:
    end = time.monotonic() + 60
    while not all(path.exists() for path in paths):
        assert time.monotonic() < end
        time.sleep(0.02)


def two_renames(monkeypatch: pytest.MonkeyPatch) -> None:
    """Swap as on a file system that cannot exchange two folders."""
    monkeypatch.setattr("mlids.ingest.day_swap._exchange", lambda new, target: False)


SWAPS = pytest.param(300, id="300 swaps"), pytest.param(5_000, id="5000 swaps", marks=pytest.mark.long)


@pytest.mark.attack(
    row=12, attack="a day of the lake is read, by several processes, while it is replaced hundreds of times",
    held="a reader holds the generation it opened (`mlids/locks.py`), which goes when nobody reads it any more",
)  # fmt: skip
@pytest.mark.parametrize("swaps", SWAPS)
@pytest.mark.parametrize("form", ["exchange", "two renames"])
def test_readers_see_the_old_or_the_new_rows(
    tmp_path: Path, logs: Path, monkeypatch: pytest.MonkeyPatch, happened: Callable[[str], None], form: str, swaps: int
) -> None:
    if form == "two renames":
        two_renames(monkeypatch)
    lake, stop = Lake(tmp_path / "lake"), tmp_path / "stop"
    whole = {}
    for name in ROWS:
        ingest(lake, logs, name)
        whole[name] = shutil.copytree(lake.day_path("conn", "hq", DAY), tmp_path / name)
    command = [sys.executable, "-c", _READ, str(lake.root), str(stop)]
    readers = [subprocess.Popen([*command, name], stdout=subprocess.PIPE, text=True) for name in "12"]
    try:
        wait_for(tmp_path / "stop-1", tmp_path / "stop-2")
        target = lake.day_path("conn", "hq", DAY)
        for n in range(swaps):
            new = shutil.copytree(whole["AB"[n % 2]], target.with_name(".new-next"), copy_function=os.link)
            swap_in(new, target)
            time.sleep(0.01)
        remove_left_over(target.parent)
    finally:
        stop.touch()
        seen = sum((collections.Counter(json.loads(r.communicate(timeout=60)[0])) for r in readers), collections.Counter[str]())
    assert set(seen) == {"A", "B"}, seen
    remove_left_over(target.parent)
    assert names(lake) == [f"date={DAY}"]
    happened(f"{swaps} swaps by {form}, {sum(seen.values()):,} reads in two other processes: each the old or the new rows")


@pytest.mark.parametrize("form", ["exchange", "two renames"])
def test_the_old_generation_goes_when_its_last_reader_does(tmp_path: Path, logs: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    if form == "two renames":
        two_renames(monkeypatch)
    lake = Lake(tmp_path / "lake")
    ingest(lake, logs, "A")
    reader = lake.batches("conn", "hq", [DAY], ["uid"])
    first = next(reader)["uid"].to_list()
    ingest(lake, logs, "B")
    assert len(names(lake)) == 2, "it is still read"
    ingest(lake, logs, "B")
    rest = [uid for frame in reader for uid in frame["uid"]]
    assert {u[0] for u in first + rest} == {"A"} and len(first + rest) == ROWS["A"]
    assert uids(lake)[0][0] == "B"
    remove_left_over(lake.day_path("conn", "hq", DAY).parent)
    assert names(lake) == [f"date={DAY}"]


@pytest.mark.long
def test_a_snapshot_that_reads_a_day_twice_reads_one_generation(tmp_path: Path, logs: Path) -> None:
    class Replaced(Lake):
        """Replaces the day each time it has been read."""

        def batches(self, *args: object, **kwargs: object) -> Iterator:  # type: ignore[override,type-arg]
            yield from super().batches(*args, **kwargs)  # type: ignore[arg-type]
            ingest(Lake(self.root), logs, "B")

    lake = Lake(tmp_path / "lake")
    ingest(lake, logs, "A")
    seen = []
    for view in (lake, Replaced(lake.root)):
        info = take_snapshot(view, tmp_path / "snapshots", ["hq"], [DAY], SnapshotOptions(max_rows=1_000))
        seen.append((info.digest, info.rows_seen))
        ingest(lake, logs, "A")
    assert seen[0] == seen[1] and seen[0][1] == ROWS["A"]


@pytest.mark.attack(
    row=12, attack="two containers on one volume write the same day; each takes the other's working folder for that of a dead process",
    held="a working folder is locked by its writer (flock on the folder): it is removed when the lock is gone, whatever its process number",
)  # fmt: skip
def test_writers_in_two_process_namespaces_leave_each_other_alone(tmp_path: Path, logs: Path, happened: Callable[[str], None]) -> None:
    unshare = [need_program("unshare", "util-linux"), "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine does not allow process namespaces")
    lake, go, running = Lake(tmp_path / "lake"), tmp_path / "go", []
    try:
        for name in ("A", "B"):  # both are process 1 of their namespace
            paths = [str(p) for p in (lake.root, logs / name / "conn.00.log", tmp_path / f"writing-{name}", go)]
            running.append(subprocess.Popen([*unshare, sys.executable, "-c", _WRITE, *paths], stdout=subprocess.PIPE, text=True))
            wait_for(tmp_path / f"writing-{name}")
        assert sum(n.startswith(".new-") for n in names(lake)) == 2, "the second writer must not remove the first one's folder"
    finally:
        go.touch()
        done = [process.communicate(timeout=60)[0].strip() for process in running]
    assert done == [str(rows // HOURS) for rows in ROWS.values()] and not any(process.returncode for process in running)
    remove_left_over(lake.day_path("conn", "hq", DAY).parent)
    assert {u[0] for u in uids(lake)} in ({"A"}, {"B"}) and names(lake) == [f"date={DAY}"]
    happened("both writers, each process 1 of its container, finished; the day is one of theirs, whole")


def test_a_working_folder_goes_once_its_lock_is_gone(tmp_path: Path, logs: Path) -> None:
    """Its name may hold the number of a process that exists, or of none: that says nothing."""
    lake = Lake(tmp_path / "lake")
    ingest(lake, logs, "A")
    parent = lake.day_path("conn", "hq", DAY).parent
    held = parent / f".new-date={DAY}-4194304"
    left = parent / f".new-date={DAY}-{os.getpid()}"
    for folder in (held, left):
        folder.mkdir()
    lock = pin(held)
    ingest(lake, logs, "B")
    assert held.exists() and not left.exists()
    os.close(lock)
    ingest(lake, logs, "B")
    assert names(lake) == [f"date={DAY}"]


def test_two_pulls_of_one_day_go_one_after_the_other(tmp_path: Path) -> None:
    code = (
        "import sys, json\nfrom datetime import date\nfrom pathlib import Path\nfrom mlids.ingest.archive import Archive\n"
        "from mlids.ingest.local import LocalStorage\nfrom mlids.ingest.pull import pull_day\n"
        "archive = Archive('hq', sys.argv[1], LocalStorage())\n"
        "done = pull_day(archive, date(2024, 4, 19), Path(sys.argv[2]), ('conn',))\nprint(json.dumps([done.files, done.new, done.problems]))\n"
    )
    source = tmp_path / "logs" / DAY.isoformat()
    source.mkdir(parents=True)
    files = [f"conn.{hour:02}:00:00-{hour + 1:02}:00:00.log" for hour in range(20)]
    for name in files:
        (source / name).write_text(CONN_HEADER + conn_line() * 500)
    command = [sys.executable, "-c", code, str(source.parent), str(tmp_path / "landing")]
    pulls = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    done = [json.loads(p.communicate(timeout=60)[0] or "null") for p in pulls]
    assert sorted(len(new) for _, new, _ in done) == [0, len(files)], "the second finds all that the first pulled"
    assert all(found == files and not problems for found, _, problems in done)
