"""Days of a synthetic site are written as zeekctl archives them, with the attacks' labels in a file of their own."""

from __future__ import annotations

import subprocess
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mlids.synth.archive import ImplantedAttack, day_with_attacks, load_labels, save_labels, write_days
from mlids.synth.draft import CONN_NAMES
from mlids.synth.profiles.registry import CLASSES, PROFILES, kept_aside
from mlids.synth.site import Site
from mlids.zeek.reader import LogReader, find_logs

DAY = date(2026, 11, 4)
NAMES = [name for name in CLASSES if kept_aside(name)]


def test_the_archive_has_zeekctls_layout_and_no_labels(synthetic_site: Path) -> None:
    names = sorted(p.name for p in (synthetic_site / "2026-11-02").glob("conn.*"))
    assert len(names) == 24 and names[0] == "conn.00:00:00-01:00:00.log.gz" and names[-1] == "conn.23:00:00-00:00:00.log.gz"
    head = subprocess.run(["zcat", synthetic_site / "2026-11-02" / names[3]], check=True, capture_output=True, text=True).stdout
    assert head.startswith("#separator \\x09\n") and "#close" in head.splitlines()[-1] and "label" not in head.splitlines()[6]
    implanted = load_labels(synthetic_site.with_name("labels.jsonl"))
    assert [p.attack for p in implanted] == NAMES[: len(implanted)] and len(implanted) == 10
    assert not any(PROFILES[p.profile].trained for p in implanted)
    uids = {u for p in find_logs(synthetic_site) if p.name.startswith("conn") for b in LogReader(p) for u in b.frame["uid"]}
    assert all(set(p.uids) <= uids for p in implanted)


@pytest.mark.parametrize("zone", ["Europe/Prague", "America/New_York"])
def test_days_of_another_zone(zone: str, tmp_path: Path) -> None:
    for day in (date(2026, 3, 29), date(2026, 11, 1)):  # nights when clocks change
        list(write_days(tmp_path, Site(5), [day], flows=500, zone=zone, logs=()))
        assert 22 <= len(list((tmp_path / day.isoformat()).iterdir())) <= 25


def test_implanted_attacks_name_their_rows_and_sources() -> None:
    rows, implanted = day_with_attacks(Site(5), DAY, 500, ["beacon", "brute_force"])
    assert [attack.attack for attack in implanted] == ["beacon", "brute_force"]
    for attack in implanted:
        own = rows.filter(pl.col("uid").is_in(attack.uids))
        assert own.height == len(attack.uids) > 20 and set(own["label"]) == {attack.attack} and set(own["id.orig_h"]) == set(attack.sources)
        assert own["ts"].min() >= datetime.fromisoformat(attack.start)  # type: ignore[operator]
    assert rows["ts"].max() < datetime(2026, 11, 5, tzinfo=UTC)  # type: ignore[operator]


@pytest.mark.parametrize("form", ["tsv", "json"])
def test_other_logs_belong_to_conns_and_tunnels_have_long_names(form: str, tmp_path: Path) -> None:
    days = [date(2026, 11, 2 + n) for n in range(3)]
    written = [
        attack
        for _, _, attacks in write_days(tmp_path, Site(5), days, flows=500, attacks_per_day=5, form=form, suffix=".log")
        for attack in attacks
    ]
    assert [attack.attack for attack in written] == (NAMES * 2)[:15], "classes are used in turn"
    frames: dict[str, list[pl.DataFrame]] = {}
    for path in find_logs(tmp_path):
        for batch in LogReader(path):
            frames.setdefault(batch.log, []).append(batch.frame)
    logs = {log: pl.concat(parts, how="diagonal") for log, parts in frames.items()}
    assert {"conn", "dns", "http", "ssl"} <= logs.keys()
    uids = set(logs["conn"]["uid"])
    assert all(set(frame["uid"]) <= uids and frame.height for log, frame in logs.items() if log != "x509")
    tunnel = {uid for attack in written if attack.attack == "dns_tunnel" for uid in attack.uids}
    long = logs["dns"].filter(pl.col("query").str.len_chars() > 40)
    assert long.height > 30 and set(long["uid"]) <= tunnel
    attacked = {uid for attack in written for uid in attack.uids}
    bare = logs["ssl"].filter(pl.col("server_name").is_null())
    assert bare.filter(pl.col("uid").is_in(attacked)).height > 20
    assert bare.filter(~pl.col("uid").is_in(attacked)).height < 0.05 * logs["ssl"].height, "few ordinary handshakes have no name"


def test_an_hour_holds_the_rows_that_zeek_writes_in_it(tmp_path: Path) -> None:
    list(write_days(tmp_path, Site(5), [DAY], flows=2_000, intrusions_per_day=5, suffix=".log"))
    for hour in (0, 9, 23):
        begins = datetime(2026, 11, 4, hour, tzinfo=UTC)
        for path in (tmp_path / DAY.isoformat()).glob(f"*.{hour:02}:00:00-*"):
            ts = pl.concat([b.frame["ts"] for b in LogReader(path)])
            # conn.log: when the conn has ended; the others when it begins, or at the end of a file or of an unanswered query
            early = 86_400 if path.name.startswith(("conn", "files")) else 15
            assert ((begins - ts.dt.offset_by("0s")).dt.total_seconds() < early).all() and (ts < begins + timedelta(hours=1)).all(), (
                path.name
            )
            assert path.name.startswith(("conn", "files", "dns")) or ts.is_sorted(), path.name


def test_conns_are_the_same_with_other_logs_and_without_and_intrusions_come_on_top(tmp_path: Path) -> None:
    def conns(name: str, **kind: Any) -> pl.DataFrame:
        list(write_days(tmp_path / name, Site(5), [DAY, DAY + timedelta(days=1)], flows=500, suffix=".log", **kind))
        return pl.concat(
            [b.frame.select(CONN_NAMES) for p in find_logs(tmp_path / name) if p.name.startswith("conn.") for b in LogReader(p)]
        )

    alone, full, more = conns("alone", logs=()), conns("full"), conns("more", intrusions_per_day=1.0)
    assert alone.equals(full) and {p.name.split(".")[0] for p in find_logs(tmp_path / "alone")} == {"conn"}
    assert more.height > full.height and more.filter(pl.col("uid").is_in(full["uid"].implode())).sort("uid").equals(full.sort("uid"))


def test_labels_are_appended_and_read_back(tmp_path: Path) -> None:
    attacks = [
        ImplantedAttack("beacon", "2026-11-04T01:00:00+00:00", ["10.0.0.1"], ["C1", "C2"], "havoc_https"),
        ImplantedAttack("calling", "x", [], []),
    ]
    for attack in attacks:
        save_labels(tmp_path / "folder" / "labels.jsonl", [attack])
    assert load_labels(tmp_path / "folder" / "labels.jsonl") == attacks
