"""Networks of synthetic clients: deterministic, of several kinds, by Zeek's rules, and mostly without a behaviour of an attack."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, timedelta
from functools import cache

import numpy as np
import polars as pl
import pytest

from mlids.features.behaviours import measure
from mlids.features.extract import Extractor
from mlids.features.spec import BEHAVIOUR_NAMES
from mlids.synth.clients.network import CLIENT_KINDS, HABITS, ClientNetwork
from mlids.synth.draft import written, written_order
from mlids.synth.site import Site

DAY = date(2026, 11, 4)
SEEDS = (41, 42, 43, 44)
# Benign clients that do what an attack does, seen from conn.log alone: other evidence must tell them apart.
LIKE_ATTACKS = {
    "backups": {"exfiltration", "beacon", "odd_port"}, "cloud_sync": {"exfiltration", "beacon"}, "calls": {"exfiltration", "peer_to_peer"},
    "bittorrent": {"exfiltration", "unusual_service", "horizontal_scan", "peer_to_peer"}, "heartbeats": {"beacon", "unusual_service"},
    "telemetry": {"beacon"}, "games": {"beacon"}, "dead_servers": {"calling"}, "monitoring": {"brute_force"}, "development": {"brute_force"},
}  # fmt: skip


@cache
def network_day(seed: int, kind: str) -> pl.DataFrame:
    """Return one day with a column `kind`, in the order Zeek writes it."""
    parts = [rows.with_columns(kind=pl.lit(name)) for name, rows in ClientNetwork(seed, kind).parts(DAY)]
    return written_order(pl.concat(parts))


@cache
def of_kind(kind: str) -> pl.DataFrame:
    return pl.concat([network_day(seed, net).filter(kind=kind) for net in HABITS for seed in SEEDS])


@pytest.mark.parametrize("kind", HABITS)
def test_the_same_seed_gives_the_same_day_in_any_order_of_days(kind: str) -> None:
    network = ClientNetwork(41, kind)
    network.day(DAY + timedelta(days=3))
    first = network.day(DAY)
    assert first.equals(ClientNetwork(41, kind).day(DAY)) and first["label"].null_count() == first.height
    assert not first.equals(ClientNetwork(42, kind).day(DAY)) and not first.equals(network.day(DAY + timedelta(days=1)))
    assert set(first["ts"].dt.date()) == {DAY}


@pytest.mark.parametrize("kind", CLIENT_KINDS)
def test_every_kind_of_client_occurs(kind: str) -> None:
    assert of_kind(kind).height >= 20


def test_seeds_give_several_kinds_of_networks() -> None:
    mixes = {tuple(sorted(set(network_day(seed, kind)["kind"]))) for kind in HABITS for seed in SEEDS}
    assert len(mixes) >= 12, "of 16 networks, hardly two have the same kinds of clients"
    sizes = {kind: [len(ClientNetwork(seed, kind).net.hosts) for seed in SEEDS] for kind in HABITS}
    assert set(sizes["laptop"]) == {1} and min(sizes["home"]) >= 5 and max(sizes["home"]) <= 12 and max(sizes["laboratory"]) <= 4
    ports = [set(network_day(seed, "office").filter(pl.col("kind") == "domain")["id.resp_p"]) for seed in SEEDS]
    assert all({88, 135, 389, 445} <= p for p in ports)


@pytest.mark.parametrize("kind", HABITS)
def test_rows_obey_zeeks_rules(kind: str) -> None:
    rows = pl.concat([network_day(seed, kind) for seed in SEEDS])
    assert rows["uid"].n_unique() == rows.height and rows["uid"].str.contains(r"^C[A-Za-z0-9]{15}$").all()
    assert all(network_day(seed, kind).select(written()).to_series().is_sorted() for seed in SEEDS)
    unset = rows["duration"].is_null()
    assert (unset == rows["orig_bytes"].is_null()).all() and (unset == rows["resp_bytes"].is_null()).all()
    assert (rows["duration"].drop_nulls() >= 0).all()
    history = pl.col("history")
    tcp = rows.filter(pl.col("proto") == "tcp")
    for letter, bytes_ in (("D", "orig_bytes"), ("d", "resp_bytes")):
        assert tcp.filter(~history.str.contains(letter, literal=True))[bytes_].sum() == 0, bytes_
    assert rows.filter(pl.col("conn_state") == "S0")["resp_pkts"].sum() == 0
    assert rows.filter(history.is_null(), pl.col("proto") != "icmp").height == 0
    assert rows.filter(pl.col("orig_pkts") + pl.col("resp_pkts") == 0).height == 0
    whole = rows.filter(pl.col("missed_bytes") == 0, pl.col("conn_state") != "S0")
    assert (whole["resp_ip_bytes"] >= whole["resp_bytes"].fill_null(0)).all() and (
        whole["orig_ip_bytes"] >= whole["orig_bytes"].fill_null(0)
    ).all()


def test_a_home_and_its_sensor_have_what_real_ones_have() -> None:
    rows = pl.concat([network_day(seed, kind) for seed in SEEDS for kind in HABITS])
    assert {"SF", "S0", "S1", "S2", "S3", "REJ", "RSTO", "RSTR", "SH", "SHR", "OTH"} <= set(rows["conn_state"])
    assert rows.filter(pl.col("missed_bytes") > 0, pl.col("history").str.contains("g")).height > 100
    assert rows["id.orig_h"].str.contains(":").sum() > 100 and rows.filter(pl.col("proto") == "tcp")["history"].n_unique() > 30
    day = network_day(41, "home")
    end = day.select(pl.col("ts").dt.epoch("ms") / 1e3 + pl.col("duration").fill_null(0)).to_series()
    assert ((end.cum_max() - end) > 200).sum() >= 3, "conns that were not closed are written minutes after their end"


def test_named_behaviours_stay_below_an_alert_on_benign_clients() -> None:
    """A behaviour of 0.6 or more makes an alert likely. Clients that look like attacks by design are named in LIKE_ATTACKS."""
    found: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for net in HABITS:
        for seed in SEEDS:
            day = network_day(seed, net)
            levels = measure(Extractor().features(day.drop("label", "kind")))
            for kind in CLIENT_KINDS:
                mine = levels[(day["kind"] == kind).to_numpy()]
                for name, high in zip(BEHAVIOUR_NAMES, (mine >= 0.6).sum(axis=0), strict=True):
                    found[kind, name][0] += int(high)
                    found[kind, name][1] += len(mine)
    wrong = {key: n for key, n in found.items() if n[0] > 0.002 * n[1] + 2 and key[1] not in LIKE_ATTACKS.get(key[0], set())}
    assert not wrong


def test_a_limit_gives_every_kind_its_first_host_before_a_second() -> None:
    traffic = Site(5, hosts=60).clients
    everyone, rate = traffic.plan()
    some, about = traffic.plan(4_000)
    assert 2_000 < about <= 4_000 < rate
    for kind, hosts in some.items():
        assert set(hosts) <= set(everyone[kind])
        assert len(hosts) >= (len(everyone[kind]) > 0 and CLIENT_KINDS[kind].conns_a_day <= 350), kind
    assert not any(len(hosts) for hosts in traffic.plan(4)[0].values())


def test_hosts_keep_their_habits_from_day_to_day() -> None:
    network = ClientNetwork(43, "home")
    targets = []
    for day in (DAY, DAY + timedelta(days=1)):
        rows = dict(network.parts(day))["heartbeats"]
        busy = rows.group_by("id.orig_h", "id.resp_h", "id.resp_p").len().filter(pl.col("len") > 20)
        targets.append(set(busy.drop("len").iter_rows()))
    assert len(targets[0] & targets[1]) >= 0.6 * len(targets[0]) > 0


def test_weekends_of_an_office_are_quiet() -> None:
    network = ClientNetwork(41, "office")
    assert network.day(date(2026, 11, 8)).height < 0.6 * network.day(DAY).height


def gaps(rows: pl.DataFrame) -> pl.DataFrame:
    """Return by pair and port the number of conns, the median gap in seconds, and the share of gaps near it."""
    gap = pl.col("ts").sort().diff().dt.total_milliseconds() / 1e3
    return rows.group_by("id.orig_h", "id.resp_h", "id.resp_p").agg(
        pl.len(), median=gap.median(), near=((gap / gap.median()).is_between(0.8, 1.25)).mean(),
        one_size=pl.col("orig_bytes").std() / pl.col("orig_bytes").mean(),
    )  # fmt: skip


def test_heartbeats_are_as_regular_as_a_beacon() -> None:
    rows = of_kind("heartbeats")
    regular = gaps(rows).filter(pl.col("len") > 40)
    assert regular.filter(pl.col("near") > 0.9).height >= 10 and np.nanmin(regular["one_size"].to_numpy()) < 0.05
    assert regular["median"].min() < 60 and regular["median"].max() > 300  # type: ignore[operator]
    assert rows.filter(pl.col("duration") > 3_600).height > 20, "others are held for hours"
    assert {443, 5228, 5223, 8883} <= set(rows["id.resp_p"])
    home = network_day(43, "home").filter(pl.col("kind") == "heartbeats").group_by("id.resp_h").agg(pl.col("id.orig_h").n_unique())
    assert 1 in home["id.orig_h"], "one host alone uses this server"


def test_browsing_opens_many_conns_to_content_networks_after_look_ups() -> None:
    rows = network_day(42, "laptop").filter(pl.col("kind") == "browsing").sort("ts")
    web = rows.filter(pl.col("id.resp_p") != 53)
    seconds = web["ts"].dt.epoch("s")
    assert seconds.value_counts()["count"].max() >= 4, "bursts"  # type: ignore[operator]
    assert web["id.resp_h"].n_unique() > 50 and 0.2 < (rows["id.resp_p"] == 53).mean() < 0.6  # type: ignore[operator]
    assert web.filter(pl.col("duration") > 60).height > 10


def test_bittorrent_tries_hundreds_of_peers_in_vain() -> None:
    rows = of_kind("bittorrent")
    odd = rows.filter(pl.col("id.resp_p") > 1_024, pl.col("local_orig"))
    assert odd["id.resp_h"].n_unique() > 300 and odd["id.resp_p"].n_unique() > 200
    assert 0.4 < (odd["conn_state"].is_in(["S0", "REJ"])).mean() < 0.9  # type: ignore[operator]
    assert rows["orig_bytes"].max() > 1e7 or rows["resp_bytes"].max() > 1e7  # type: ignore[operator]
    assert rows.filter(~pl.col("local_orig")).height > 10, "peers come in as well"


def test_crawlers_dead_servers_and_chatter_have_their_rates() -> None:
    asked = of_kind("crawler").group_by("id.orig_h").len()["len"]
    assert asked.max() > 10_000  # type: ignore[operator]
    dead = of_kind("dead_servers")
    assert dead["conn_state"].is_in(["S0", "REJ", "RSTOS0"]).all() and gaps(dead)["median"].min() < 60  # type: ignore[operator]
    chatter = of_kind("chatter")
    assert chatter["resp_pkts"].sum() == 0 and {5353, 5355, 137, 138, 1900, 57_621} <= set(chatter["id.resp_p"])
