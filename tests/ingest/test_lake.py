"""A day is replaced whole or not at all; order, types and counts are kept; bad rows go to quarantine."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from mlids.errors import InputError
from mlids.ingest.lake import Lake
from mlids.zeek.types import CONN
from tests.conftest import CONN_HEADER, conn_line

DAY = date(2024, 4, 19)


def write(path: Path, *uids: str, extra: str = "") -> Path:
    path.write_text(CONN_HEADER + "".join(conn_line(u) for u in uids) + extra)
    return path


def uids(lake: Lake) -> list[str]:
    return [u for frame in lake.batches("conn", "hq", [DAY]) for u in frame["uid"]]


def test_order_types_and_manifest(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    files = [write(tmp_path / "conn.00.log", "C2", "C1"), write(tmp_path / "conn.01.log", "C0", extra="short\trow\n")]
    done = lake.ingest("hq", DAY, files, {"conn.00.log": "abc"})
    assert (done.rows, done.rejected, done.logs) == (3, 1, {"conn": 3})
    frame = pl.concat(lake.batches("conn", "hq", [DAY]))
    assert frame["uid"].to_list() == ["C2", "C1", "C0"] and frame["row_nr"].to_list() == [0, 1, 2]
    assert frame["file"].to_list() == ["conn.00.log", "conn.00.log", "conn.01.log"]
    assert {c.name: c.dtype for c in CONN}.items() <= dict(frame.schema).items()
    manifest = lake.manifest("conn", "hq", DAY)
    assert manifest is not None and manifest.sources[0].sha256 == "abc"
    assert [(s.rows, s.rejected) for s in manifest.sources] == [(2, 0), (1, 1)]
    bad = json.loads((lake.day_path("conn", "hq", DAY) / "_quarantine.jsonl").read_text())
    assert (bad["file"], bad["line"]) == ("conn.01.log", 10) and "2 fields" in bad["reason"]


def test_a_second_run_replaces_the_day(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    lake.ingest("hq", DAY, [write(tmp_path / "conn.00.log", "C1", "C2")])
    lake.ingest("hq", DAY, [write(tmp_path / "conn.00.log", "C1", "C2")])
    assert uids(lake) == ["C1", "C2"]
    lake.ingest("hq", DAY, [write(tmp_path / "conn.00.log", "C9")], accept_shrunk=True)
    assert uids(lake) == ["C9"]
    assert [p.name for p in lake.day_path("conn", "hq", DAY).parent.iterdir()] == [f"date={DAY}"]


def test_a_column_of_some_hours_is_null_in_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlids.ingest import day_writer as module

    monkeypatch.setattr(module, "PART_ROWS", 1)
    wider = CONN_HEADER.replace("tunnel_parents\n", "tunnel_parents\tip_proto\n").replace("set[string]\n", "set[string]\tcount\n")
    write(tmp_path / "conn.00.log", "C1")
    (tmp_path / "conn.01.log").write_text(wider + conn_line("C2").rstrip("\n") + "\t6\n")
    lake = Lake(tmp_path / "lake")
    lake.ingest("hq", DAY, [tmp_path / "conn.00.log", tmp_path / "conn.01.log"])
    parts = sorted(lake.day_path("conn", "hq", DAY).glob("*.parquet"))
    assert len(parts) == 2 and pl.read_parquet_schema(parts[0]) == pl.read_parquet_schema(parts[1])
    assert pl.scan_parquet(parts).collect()["ip_proto"].to_list() == [None, 6]


def test_one_bad_file_does_not_stop_the_rest(tmp_path: Path) -> None:
    (tmp_path / "conn.00.log").write_text("this is prose\n")
    lake = Lake(tmp_path / "lake")
    done = lake.ingest("hq", DAY, [tmp_path / "conn.00.log", write(tmp_path / "conn.01.log", "C1")])
    assert done.rows == 1 and "not a Zeek log" in done.problems[0]
    with pytest.raises(InputError, match="nothing of hq"):
        lake.ingest("hq", DAY, [tmp_path / "conn.00.log"])
    assert uids(lake) == ["C1"], "a day of nothing but bad files must leave the good one"


def test_all_log_types_land(synthetic_site: Path, tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    done = lake.ingest("hq", date(2026, 11, 2), sorted((synthetic_site / "2026-11-02").iterdir()))
    assert set(done.logs) >= {"conn", "dns", "http", "ssl"} and done.rejected == 0
    dns = pl.concat(lake.batches("dns", "hq", [date(2026, 11, 2)]))
    assert dns.schema["answers"] == pl.List(pl.String) and dns.schema["qtype"] == pl.UInt64


_KILLED = """
import os, shutil, signal, sys
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from mlids.ingest import day_swap, day_writer
from mlids.ingest.lake import Lake

def die(*_, **__): os.kill(os.getpid(), signal.SIGKILL)

def rename(self, target, original=Path.rename):
    return die() if self.name.startswith(".new-") else original(self, target)

match sys.argv[3]:
    case "before the first part": day_writer.DayWriter._flush = die
    case "before the manifest": day_writer.DayWriter._unify = die
    case "before the swap": day_writer.swap_in = die
    case "after the exchange": day_swap.set_aside = die
    case "between two renames":
        day_swap.ctypes = SimpleNamespace(CDLL=lambda *_, **__: SimpleNamespace())
        Path.rename = rename
Lake(Path(sys.argv[1])).ingest("hq", date(2024, 4, 19), [Path(sys.argv[2])])
"""


@pytest.mark.parametrize(
    ("place", "rows"),
    [
        ("before the first part", 200),
        ("before the manifest", 200),
        ("before the swap", 200),
        ("after the exchange", 300),
        ("between two renames", 200),
    ],
)
def test_killed_at_each_step_leaves_one_whole_day(tmp_path: Path, place: str, rows: int) -> None:
    lake = Lake(tmp_path / "lake")
    lake.ingest("hq", DAY, [write(tmp_path / "conn.00.log", *(f"C{n}" for n in range(200)))])
    source = write(tmp_path / "conn.01.log", *(f"D{n}" for n in range(300)))
    done = subprocess.run([sys.executable, "-c", _KILLED, str(lake.root), str(source), place], check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL, "the step was not reached"
    manifest = lake.manifest("conn", "hq", DAY)
    assert manifest is not None and manifest.rows == rows == len(uids(lake))
    assert {u[0] for u in uids(lake)} == {"C" if rows == 200 else "D"}
    lake.ingest("hq", DAY, [source])
    assert len(uids(lake)) == 300
    assert [p.name for p in lake.day_path("conn", "hq", DAY).parent.iterdir()] == [f"date={DAY}"]


def test_a_stretch_of_a_day_is_whole_parts_without_a_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlids.ingest.day_writer.PART_ROWS", 1)
    lake = Lake(tmp_path / "lake")
    lake.ingest("hq", DAY, [write(tmp_path / f"conn.{n:02}.log", f"C{n}") for n in range(10)])
    assert lake.rows("conn", ["hq", "none"], [DAY, date(2024, 4, 20)]) == 10

    def stretch(begin: float, end: float) -> list[str]:
        return [u for frame in lake.batches("conn", "hq", [DAY], run=(begin, end)) for u in frame["uid"]]

    assert stretch(0.0, 0.3) == ["C0", "C1", "C2"] and stretch(0.7, 1.0) == ["C7", "C8", "C9"]
    assert stretch(0.42, 0.43) == ["C4"] and stretch(0.99, 1.0) == ["C9"] and len(stretch(0.0, 1.0)) == 10
