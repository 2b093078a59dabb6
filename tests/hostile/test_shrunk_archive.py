"""An archive that was emptied, shrunk or damaged never replaces what is held, until a person accepts it."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlids import pipeline
from mlids.alerts.delivery import Delivery
from mlids.alerts.stores import open_stores
from mlids.ingest.archive import Archive
from mlids.ingest.landing import read_landed
from mlids.ingest.local import LocalStorage
from mlids.ingest.pull import pull_day
from mlids.settings import load_settings
from mlids.window import parse_day
from tests.conftest import CONN_HEADER, conn_line
from tests.support.alerts import alert

LESS = pytest.mark.attack(
    row=3,
    attack="an archived log is emptied, shortened, truncated or damaged on the sensor",
    held="landing, lake and late alerts, until a person says `--accept-shrunk`; the older file then stays as `NAME.older`",
)
VANISHED = pytest.mark.attack(row=3, attack="files vanish from a day's folder", held="what landed stays")
FEWER = pytest.mark.attack(
    row=3,
    attack="a day is ingested again with fewer rows",
    held="the day in the lake and its late alerts, until a person says `--accept-shrunk`; `mlids ingest` ends with exit code 1",
)
DAY = "2024-04-19"
HOURS = 3
ROWS = 200


def hour(n: int) -> str:
    return f"conn.{n:02}:00:00-{n + 1:02}:00:00.log.gz"


def packed(rows: int, level: int = 9, first: str = "C") -> bytes:
    text = CONN_HEADER + "".join(conn_line(f"{first}{n:017}") for n in range(rows))
    return gzip.compress(text.encode(), level)


@pytest.fixture
def logs(home: Path, tmp_path: Path) -> Path:
    """The archived day of a sensor `hq`, three hours of 200 conns; and a home that knows it."""
    folder = tmp_path / "logs" / DAY
    folder.mkdir(parents=True)
    for n in range(HOURS):
        (folder / hour(n)).write_bytes(packed(ROWS))
    home.mkdir()
    (home / "sensors.toml").write_text(f'[[sensor]]\nname = "hq"\nkind = "folder"\nlogs = "{folder.parent}"\ntypes = ["conn"]\n')
    return folder


def night() -> dict[str, Any]:
    """Pull, ingest and reconcile the day as the DAG does; return what the pull says."""
    pulled = pipeline.pull_with_late("hq", DAY)
    built = pipeline.build_lake_days(pulled)
    pipeline.reconcile_days("hq", built["days"])
    return pulled


def held() -> tuple[int, int, list[str]]:
    """Return the day's rows in the lake, and the rows and problems of the ledger."""
    settings = load_settings()
    rows = pipeline.open_lake(settings).rows("conn", ["hq"], [parse_day(DAY)])
    (day,) = pipeline.open_stores(settings).ledger.days()
    return rows, day["archived"], day["problems"]


def empty(path: Path) -> None:
    path.write_bytes(b"")


def shrink(path: Path) -> None:
    path.write_bytes(packed(1))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes() + bytes(500))  # larger than before, and unreadable from half-way on
    data[len(data) // 4 :] = b"\xff" * (len(data) - len(data) // 4)
    path.write_bytes(data)


@LESS
@pytest.mark.parametrize("attack", [empty, shrink, truncate, damage])
@pytest.mark.parametrize("which", ["one hour", "all hours"])
def test_less_on_the_sensor_never_replaces_what_is_held(
    logs: Path, attack: Callable[[Path], None], which: str, happened: Callable[[str], None]
) -> None:
    night()
    assert held() == (HOURS * ROWS, HOURS * ROWS, [])
    attacked = [hour(n) for n in range(1 if which == "one hour" else HOURS)]
    whole = (logs / attacked[0]).read_bytes()
    for name in attacked:
        attack(logs / name)
    for _ in range(2):
        said = night()["problems"]
        rows, archived, problems = held()
        assert (rows, archived) == (HOURS * ROWS, HOURS * ROWS), f"problems: {said}"
        assert problems == said and len(problems) == len(attacked)
        assert all("--accept-shrunk" in p and name in p for p, name in zip(problems, attacked, strict=True))
    landed = load_settings().landing / "hq" / DAY
    assert (landed / attacked[0]).read_bytes() == whole
    assert (landed / f"{attacked[0]}.smaller").read_bytes() == (logs / attacked[0]).read_bytes()
    happened(f"all {HOURS * ROWS} rows stay, the smaller file lies beside as `NAME.smaller`, pull and ledger name it each night")


@LESS
def test_late_alerts_of_an_emptied_day_stay(logs: Path) -> None:
    night()
    late = alert(1)
    delivery = Delivery(open_stores(load_settings().database), [], logs.parent / "dead", f"late {DAY}")
    delivery.send([late], lambda error, attempt: False)
    for n in range(HOURS):
        empty(logs / hour(n))
    night()
    assert [a["id"] for a in pipeline.list_alerts()] == [late.id]


@VANISHED
def test_files_that_vanish_from_the_sensor_are_named_and_kept(logs: Path, happened: Callable[[str], None]) -> None:
    night()
    (logs / hour(1)).unlink()
    (problem,) = night()["problems"]
    assert hour(1) in problem and "no longer" in problem
    assert held() == (HOURS * ROWS, HOURS * ROWS, [problem])
    happened(f"all {HOURS * ROWS} rows stay, pull and ledger name the file")


@FEWER
def test_fewer_rows_of_loose_files_need_consent(logs: Path, tmp_path: Path, happened: Callable[[str], None]) -> None:
    night()
    loose = tmp_path / "conn.log"
    loose.write_bytes(packed(5))
    done = pipeline.ingest_paths("hq", DAY, [loose])
    assert held()[0] == HOURS * ROWS and "--accept-shrunk" in done["problems"][0] and done["kept"] == ["conn"]
    done = pipeline.ingest_paths("hq", DAY, [loose], accept_shrunk=True)
    assert held() == (5, 5, []) and done["kept"] == []
    happened(f"5 rows do not replace {HOURS * ROWS}, the ledger names both counts")


@LESS
def test_a_person_accepts_what_shrank(logs: Path) -> None:
    night()
    before = (logs / hour(0)).read_bytes()
    shrink(logs / hour(0))
    night()
    pipeline.build_lake("hq", DAY, accept_shrunk=True)
    assert held() == (2 * ROWS + 1, 2 * ROWS + 1, [])
    landed = load_settings().landing / "hq" / DAY
    assert (landed / hour(0)).read_bytes() == (logs / hour(0)).read_bytes()
    assert (landed / f"{hour(0)}.older").read_bytes() == before, "also an acceptance by mistake can be undone"
    assert night()["problems"] == [] and held() == (2 * ROWS + 1, 2 * ROWS + 1, [])


@LESS
def test_growth_and_recompression_replace_without_consent(logs: Path, happened: Callable[[str], None]) -> None:
    (logs / hour(2)).write_bytes(packed(ROWS // 2, level=0))
    night()
    (logs / hour(2)).write_bytes(packed(ROWS))  # fewer bytes than before, more rows
    (logs / hour(0)).write_bytes(packed(ROWS + 7))
    (logs / hour(3)).write_bytes(packed(10))
    assert night()["problems"] == []
    assert held() == (3 * ROWS + 17, 3 * ROWS + 17, [])
    happened("a log that grew or was compressed again replaces the old one, as the size after decompression counts")


@LESS
def test_a_file_that_grows_back_replaces_and_the_smaller_one_goes(logs: Path) -> None:
    night()
    shrink(logs / hour(0))
    assert len(night()["problems"]) == 1
    (logs / hour(0)).write_bytes(packed(ROWS + 1))
    assert night()["problems"] == [] and held() == (HOURS * ROWS + 1, HOURS * ROWS + 1, [])
    assert not list((load_settings().landing / "hq" / DAY).glob("*.smaller"))


@LESS
def test_the_landing_of_an_older_mlids_is_protected_as_well(logs: Path) -> None:
    import json

    archive = Archive("hq", str(logs.parent), LocalStorage())
    landing = load_settings().landing
    folder = pull_day(archive, parse_day(DAY), landing, ("conn",)).folder
    stored = json.loads((folder / "manifest.json").read_text())
    stored.pop("smaller", None)
    for entry in stored["files"].values():
        entry.pop("plain_size", None)
    (folder / "manifest.json").write_text(json.dumps(stored))
    empty(logs / hour(0))
    assert len(pull_day(archive, parse_day(DAY), landing, ("conn",)).problems) == 1
    assert read_landed(landing, "hq", parse_day(DAY)).files[hour(0)].size > 0 and (folder / hour(0)).stat().st_size > 0
