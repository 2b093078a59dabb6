"""The made site is deterministic, obeys Zeek's rules, and is not found out by one threshold a column."""

from __future__ import annotations

import subprocess
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from mlids.synth.archive import day_with_attacks, load_labels
from mlids.synth.attacks import SCENARIOS
from mlids.synth.site import Site
from mlids.zeek.reader import LogReader, find_logs

DAY = date(2026, 11, 4)


def test_the_same_seed_gives_the_same_day() -> None:
    first, second = Site(5).day(DAY, 2_000), Site(5).day(DAY, 2_000)
    assert first.equals(second) and not first.equals(Site(6).day(DAY, 2_000))


def test_rows_obey_zeeks_rules() -> None:
    rows, _ = day_with_attacks(Site(5), DAY, 4_000, list(SCENARIOS))
    assert rows["uid"].n_unique() == rows.height and rows["uid"].str.contains(r"^C[A-Za-z0-9]{15}$").all()
    # `duration` is unset exactly when payload bytes are, and the rows come in the order of their ends.
    unset = rows["duration"].is_null()
    assert unset.sum() > 50 and (unset == rows["orig_bytes"].is_null()).all() and (unset == rows["resp_bytes"].is_null()).all()
    ends = rows["ts"].dt.epoch("us") + (rows["duration"].fill_null(0) * 1e6).cast(pl.Int64)
    assert ends.is_sorted() and not rows["ts"].is_sorted()
    assert rows.filter(pl.col("conn_state") == "S0", pl.col("proto") == "tcp")["resp_pkts"].max() == 0
    assert rows["id.orig_h"].str.contains(":").any(), "there is IPv6"


def test_nights_and_weekends_are_calm() -> None:
    site = Site(5)
    work, sunday = site.day(DAY, 4_000), site.day(date(2026, 11, 8), 4_000)
    by_hour = dict(work.group_by(pl.col("ts").dt.hour().alias("h")).len().iter_rows())
    assert by_hour[10] > 4 * by_hour[3] and sunday.height < 0.6 * work.height


def test_the_archive_is_zeekctls_and_labels_lie_aside(synthetic_site: Path) -> None:
    names = sorted(p.name for p in (synthetic_site / "2026-11-02").glob("conn.*"))
    assert len(names) == 24 and names[0] == "conn.00:00:00-01:00:00.log.gz" and names[-1] == "conn.23:00:00-00:00:00.log.gz"
    head = subprocess.run(["zcat", synthetic_site / "2026-11-02" / names[3]], check=True, capture_output=True, text=True).stdout
    assert head.startswith("#separator \\x09\n") and "#close" in head.splitlines()[-1] and "label" not in head.splitlines()[6]
    planted = load_labels(synthetic_site.with_name("labels.jsonl"))
    assert {p.attack for p in planted} == set(SCENARIOS) - {"inbound_probes"}
    uids = {u for p in find_logs(synthetic_site) if p.name.startswith("conn") for b in LogReader(p) for u in b.frame["uid"]}
    assert all(set(p.uids) <= uids for p in planted)


@pytest.mark.parametrize("zone", ["Europe/Prague", "America/New_York"])
def test_days_of_another_zone(zone: str, tmp_path: Path) -> None:
    from mlids.synth.archive import write_days

    for day in (date(2026, 3, 29), date(2026, 11, 1)):  # nights when clocks change
        list(write_days(tmp_path, Site(5), [day], flows=500, zone=zone, dns=False))
        assert 22 <= len(list((tmp_path / day.isoformat()).iterdir())) <= 25


def test_no_single_column_separates_the_attacks() -> None:
    from mlids.training.metrics import pr_auc

    rows, _ = day_with_attacks(
        Site(5), DAY, 20_000, ["beacon", "brute_force", "dns_tunnel", "exfiltration", "lateral_movement", "slow_scan"]
    )
    attack = rows["label"].is_not_null().to_numpy()
    for name in ("duration", "orig_bytes", "resp_bytes", "orig_pkts", "resp_pkts", "id.resp_p"):
        values = rows[name].cast(pl.Float64).fill_null(0.0).to_numpy()
        assert max(pr_auc(values, attack, 0.01), pr_auc(-values, attack, 0.01)) < 0.5, name
