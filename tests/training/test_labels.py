"""Names of attacks in public labels, and attacks implanted into a site's traffic."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest

from mlids.detectors.forest import BENIGN
from mlids.synth.attacks import SCENARIOS
from mlids.synth.draft import CONN_NAMES
from mlids.synth.hosts import AttackHosts
from mlids.synth.profiles.base import MAX_ROWS
from mlids.synth.profiles.registry import CLASSES, PROFILES, trained
from mlids.synth.site import Site
from mlids.training.labels import Hosts, family, make_implants, normal_label, with_implants
from mlids.zeek.types import ended


@pytest.mark.parametrize(
    ("name", "to"),
    [
        ("PartOfAHorizontalPortScan", "horizontal_scan"), ("C&C", "command_and_control"), ("CC", "command_and_control"),
        ("DDoS", "syn_flood"), ("External-Attack-to-Device", "inbound_probes"), ("Torii", "command_and_control"),
        ("SSH-Bruteforce", "brute_force"), ("Something New", "something_new"), ("", "attack"),
    ],
)  # fmt: skip
def test_public_names_become_families(name: str, to: str) -> None:
    assert family(name) == to


def test_background_and_missing_labels_are_null() -> None:
    frame = pl.DataFrame({"label": ["Benign", "Malicious   C&C", "malicious", "Background", None], "detail": ["-", "-", "DDoS", "-", "-"]})
    found = frame.select(normal_label(pl.col("label"), pl.col("detail"))).to_series()
    assert found.to_list() == [BENIGN, "Malicious   C&C", "DDoS", None, None]


def test_implanted_rows_are_merged_by_their_end_and_own_rows_keep_their_order() -> None:
    day = Site(5).day(date(2026, 11, 4), 2_000).select(CONN_NAMES).with_columns(label=pl.lit(BENIGN), source=pl.lit("assumed"))
    hosts = Hosts()
    hosts.add(day)
    cast = hosts.cast(0)
    assert cast is not None
    start, end = (day["ts"].dt.epoch("s").quantile(q) for q in (0.05, 0.5))
    assert start is not None and end is not None
    implants = make_implants(cast, start, end, rounds=2, seed=0)
    names = [*SCENARIOS, *(p.name for p in trained())]
    assert {i.name for i in implants} == set(names) and len(implants) == 2 * len(names)
    merged = pl.concat(list(with_implants(iter([day[:900], day[900:]]), implants)))
    own = merged.filter(pl.col("instance").is_null())
    assert own["uid"].to_list() == day["uid"].to_list()
    implanted = merged.filter(pl.col("instance").is_not_null())
    assert 0 < implanted.height <= sum(i.rows.height for i in implants) and set(implanted["source"]) == {"implanted"}
    assert implanted.select(ended().is_sorted()).to_series().all()


def test_implanted_profiles_are_bounded_lie_in_the_time_and_mostly_use_servers_of_their_own() -> None:
    day = Site(5).day(date(2026, 11, 4), 2_000).select(CONN_NAMES)
    hosts = Hosts()
    hosts.add(day)
    cast = hosts.cast(0)
    assert cast is not None
    start, end = 1_793_750_400.0, 1_793_750_400.0 + 6 * 3_600
    implants = [i for i in make_implants(cast, start, end, rounds=2, seed=0) if i.name in PROFILES]
    assert all(4 <= i.rows.height <= MAX_ROWS for i in implants) and {i.rows["label"][0] for i in implants} < set(CLASSES)
    assert np.median([i.rows.height for i in implants]) > 60
    rows = pl.concat([i.rows for i in implants])
    times = rows.select(first=pl.col("ts").dt.epoch("us") / 1e6, last=ended().dt.epoch("us") / 1e6)
    assert times["first"].min() >= start and times["last"].max() <= end + 1e-3  # type: ignore[operator]
    clients = rows.filter(pl.col("id.resp_h").str.starts_with("198.1")).group_by("id.resp_h").agg(n=pl.col("id.orig_h").n_unique())["n"]
    assert len(clients) > 60 and 0.6 < (clients == 1).sum() / len(clients) < 0.98, (
        "most servers have one victim, those that attacks share have several"
    )
    infected = {i.rows["id.orig_h"].mode()[0] for i in implants}
    assert 0.2 < len(infected - set(cast.inside)) / len(infected) < 0.8, "half of the bots are devices of their own"
    assert {p.name for p in PROFILES.values() if not p.trained}.isdisjoint(i.name for i in implants)
    again = make_implants(cast, start, end, rounds=2, seed=0)
    assert pl.concat([i.rows for i in again if i.name in PROFILES]).equals(rows)


@pytest.mark.parametrize("seconds", [600, 5 * 86_400])
def test_profiles_are_implanted_into_short_and_long_captures(seconds: float) -> None:
    cast = AttackHosts(["10.0.0.5"], ["10.0.0.5"], [], ["203.0.113.9"])
    implants = make_implants(cast, 1_793_750_400.0, 1_793_750_400.0 + seconds, rounds=1, seed=1)
    heights = {i.name: i.rows.height for i in implants if i.name in PROFILES}
    assert min(heights.values()) >= 3 and sum(heights.values()) > 4_000


def test_a_log_of_one_instant_has_implants() -> None:
    cast = AttackHosts(["10.0.0.5", "10.0.0.6"], ["10.0.0.2"], [], ["203.0.113.9"])
    implants = make_implants(cast, 1_762_000_000.0, 1_762_000_000.0, rounds=1, seed=3)
    assert len(implants) > len(SCENARIOS) and all(i.rows.height for i in implants)
