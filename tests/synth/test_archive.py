"""Days of a synthetic site are written as zeekctl archives them, with the attacks' labels in a file of their own."""

from __future__ import annotations

import subprocess
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from mlids.synth.archive import ImplantedAttack, day_with_attacks, load_labels, save_labels, write_days
from mlids.synth.attacks import SCENARIOS
from mlids.synth.site import Site
from mlids.zeek.reader import LogReader, find_logs

DAY = date(2026, 11, 4)


def test_the_archive_has_zeekctls_layout_and_no_labels(synthetic_site: Path) -> None:
    names = sorted(p.name for p in (synthetic_site / "2026-11-02").glob("conn.*"))
    assert len(names) == 24 and names[0] == "conn.00:00:00-01:00:00.log.gz" and names[-1] == "conn.23:00:00-00:00:00.log.gz"
    head = subprocess.run(["zcat", synthetic_site / "2026-11-02" / names[3]], check=True, capture_output=True, text=True).stdout
    assert head.startswith("#separator \\x09\n") and "#close" in head.splitlines()[-1] and "label" not in head.splitlines()[6]
    implanted = load_labels(synthetic_site.with_name("labels.jsonl"))
    assert {p.attack for p in implanted} == set(SCENARIOS) - {"inbound_probes"}
    uids = {u for p in find_logs(synthetic_site) if p.name.startswith("conn") for b in LogReader(p) for u in b.frame["uid"]}
    assert all(set(p.uids) <= uids for p in implanted)


@pytest.mark.parametrize("zone", ["Europe/Prague", "America/New_York"])
def test_days_of_another_zone(zone: str, tmp_path: Path) -> None:
    for day in (date(2026, 3, 29), date(2026, 11, 1)):  # nights when clocks change
        list(write_days(tmp_path, Site(5), [day], flows=500, zone=zone, dns=False))
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
def test_dns_queries_belong_to_conns_and_tunnels_have_long_names(form: str, tmp_path: Path) -> None:
    site = Site(5)
    names = [name for name in SCENARIOS if name != "inbound_probes"]
    days = [date(2026, 11, 2 + n) for n in range(3)]
    written = [
        attack
        for _, _, attacks in write_days(tmp_path, site, days, flows=500, attacks_per_day=3, form=form, suffix=".log")
        for attack in attacks
    ]
    assert [attack.attack for attack in written] == names[:9], "scenarios are used in turn"
    frames: dict[str, list[pl.DataFrame]] = {"conn": [], "dns": []}
    for path in find_logs(tmp_path):
        for batch in LogReader(path):
            frames[batch.log].append(batch.frame)
    conns, dns = (pl.concat(frames[log], how="diagonal") for log in ("conn", "dns"))
    assert set(dns["uid"]) <= set(conns["uid"])
    tunnel = [uid for attack in written if attack.attack == "dns_tunnel" for uid in attack.uids]
    long = dns["query"].str.len_chars() > 40
    assert set(dns.filter(long)["uid"]) == set(tunnel)


def test_labels_are_appended_and_read_back(tmp_path: Path) -> None:
    attacks = [ImplantedAttack("beacon", "2026-11-04T01:00:00+00:00", ["10.0.0.1"], ["C1", "C2"]), ImplantedAttack("calling", "x", [], [])]
    for attack in attacks:
        save_labels(tmp_path / "folder" / "labels.jsonl", [attack])
    assert load_labels(tmp_path / "folder" / "labels.jsonl") == attacks
