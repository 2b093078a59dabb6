"""Names of sensors, days and snapshots are checked before they become paths."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from mlids import pipeline
from mlids.errors import MlidsError
from mlids.ingest.lake import Lake
from mlids.settings import load_settings
from tests.conftest import CONN_HEADER, conn_line

pytestmark = pytest.mark.attack(
    row=16,
    attack="a name of a sensor, a day or a snapshot leads out of its folder (`mlids ingest ../../x 2026-11-01`)",
    held="all files outside the lake, landing and state: names hold letters, digits and `_ . : + -`, days are `YYYY-MM-DD` from 1970 to 2199",
)

SENSORS = ["../../x", "..", ".", "", "a/b", "/abs", "a\nb", "a\x00b", "a\u202eb", "-rf", "x" * 300]
DAYS = ["../../x", "..", "", "2026-11-01/..", "20261101", "2026-W45-1", "2026-11-01\n", "0001-01-01", "9999-12-31", "２０２６-11-01"]
USES: dict[str, Callable[[str, str, Path], object]] = {
    "ingest": lambda sensor, day, log: pipeline.ingest_paths(sensor, day, [log]),
    "build_lake": lambda sensor, day, log: pipeline.build_lake(sensor, day),
    "pull": lambda sensor, day, log: pipeline.pull(sensor, day),
    "reconcile": lambda sensor, day, log: pipeline.reconcile(sensor, day),
    "reconcile_days": lambda sensor, day, log: pipeline.reconcile_days(sensor, [day]),
}


@pytest.fixture
def log(home: Path, tmp_path: Path) -> Path:
    (home / "lake" / "conn" / "sensor=..").mkdir(parents=True)
    path = tmp_path / "conn.log"
    path.write_text(CONN_HEADER + conn_line())
    return path


def files(folder: Path) -> set[Path]:
    return {p for p in folder.rglob("*") if not p.name.startswith("mlids.db")}


@pytest.mark.parametrize("use", USES)
def test_no_name_of_a_sensor_or_day_leaves_its_folder(log: Path, tmp_path: Path, use: str, happened: Callable[[str], None]) -> None:
    before = files(tmp_path)
    accepted = []
    for sensor, day in [*((s, "2026-11-01") for s in SENSORS), *(("hq", d) for d in DAYS)]:
        try:
            USES[use](sensor, day, log)
            accepted.append((sensor, day))
        except MlidsError:
            pass
    assert accepted == [] and files(tmp_path) - before == set()
    happened(f"{len(SENSORS)} names and {len(DAYS)} days in {len(USES)} uses: all refused, no file made")


@pytest.mark.parametrize("sensor", SENSORS)
def test_the_lake_itself_refuses_such_names(tmp_path: Path, sensor: str) -> None:
    lake = Lake(tmp_path / "lake")
    with pytest.raises(MlidsError):
        lake.day_path("conn", sensor, date(2026, 11, 1))
    with pytest.raises(MlidsError):
        lake.days("conn", sensor)


@pytest.mark.parametrize("day", DAYS)
def test_the_lake_itself_refuses_such_days(tmp_path: Path, day: str) -> None:
    with pytest.raises(MlidsError):
        Lake(tmp_path / "lake").day_path("conn", "hq", day)


def test_a_snapshot_is_read_from_the_folder_of_snapshots_only(log: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "snapshot.json").write_text("{}")
    for name in ("../../outside", "..", str(outside), ""):
        with pytest.raises(MlidsError, match="not the id of a snapshot"):
            pipeline.train(name)
    assert load_settings().home.is_dir()
