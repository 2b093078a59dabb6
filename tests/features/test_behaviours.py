"""Each synthetic attack has its behaviour; benign traffic mostly has none."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from mlids.features.behaviours import measure
from mlids.features.extract import Extractor
from mlids.features.spec import BEHAVIOUR_NAMES, POSITION
from mlids.ingest.conns import Reading, read_conns
from mlids.synth.archive import attack_hosts
from mlids.synth.attacks import SCENARIOS
from mlids.synth.draft import written_order
from mlids.synth.site import Site
from tests.support.conns import calls

EXPECTED = {name: {name} for name in SCENARIOS} | {
    "syn_flood": {"flood"}, "slow_scan": {"slow_scan", "horizontal_scan"}, "lateral_movement": {"lateral_movement"},
}  # fmt: skip


@pytest.mark.parametrize("name", SCENARIOS)
def test_attack_has_its_behaviour(name: str) -> None:
    site = Site(5)
    found = 0
    for seed in range(6):
        rng = np.random.default_rng(seed)
        rows = written_order(SCENARIOS[name](1_762_000_000.0, attack_hosts(site), rng).frame(rng))
        levels = measure(Extractor().features(rows)).max(axis=0)
        strong = {b for b, level in zip(BEHAVIOUR_NAMES, levels, strict=True) if level >= 0.45}
        found += bool(strong & EXPECTED[name])
    assert found >= 4, f"{name} was found in {found} of 6 runs"


def test_a_benign_day_has_hardly_any_behaviour() -> None:
    day = Site(5).day(date(2026, 11, 4), 8_000)
    levels = measure(Extractor().features(day)).max(axis=1)
    assert (levels >= 0.74).mean() < 0.002


def test_scores_lie_between_0_and_1() -> None:
    day = Site(5).day(date(2026, 11, 7), 3_000)
    levels = measure(Extractor().features(day))
    assert levels.min() >= 0 and levels.max() <= 1 and levels.shape == (day.height, len(BEHAVIOUR_NAMES))


def test_the_one_true_beacon_of_a_real_day_scores_highest_of_all_pairs(real_data: Path) -> None:
    """RITA's sample day: 31,367 conns, 7,981 pairs, one C2 beacon every 116 to 350 s; the rest is Internet noise."""
    extractor = Extractor()
    parts = [
        b.select("id.orig_h", "id.resp_h").with_columns(level=measure(extractor.features(b))[:, BEHAVIOUR_NAMES.index("beacon")])
        for b in read_conns([real_data / "rita/2024-04-19"], Reading())
    ]
    pairs = pl.concat(parts).group_by("id.orig_h", "id.resp_h").agg(pl.col("level").max()).sort("level", descending=True)
    assert pairs.height == 7_981
    assert pairs.row(0)[:2] == ("73.54.23.243", "64.225.56.201") and pairs["level"][0] > 1.5 * pairs["level"][1]


def test_start_up_traffic_of_hosts_is_no_attack() -> None:
    """A morning's DHCP, mDNS, SSDP and neighbour discovery: unanswered by nature, from inside, to everybody."""
    day = Site(5, hosts=40).day(date(2026, 11, 4), 8_000)
    x = Extractor().features(day.drop("label"))
    everybody = day["id.resp_h"].str.contains(r"^(?:224|239|255)\.|^ff02:").to_numpy()
    link = day["id.orig_h"].str.contains(r"^(?:fe80:|::$|0\.0\.0\.0$|169\.254\.)").to_numpy()
    assert everybody.sum() > 200 and link.sum() > 50
    assert (x[link][:, POSITION["orig_local"]] == 1.0).all()
    assert measure(x)[everybody].max() < 0.2


def levels_of(conns: pl.DataFrame) -> dict[str, float]:
    """Return the level of each behaviour for the last conn."""
    return dict(zip(BEHAVIOUR_NAMES, measure(Extractor().features(conns))[-1].tolist(), strict=True))


EVERY_30_S = [30.0 * i for i in range(200)]


def test_look_ups_in_a_directory_are_no_password_guessing() -> None:
    for port in (389, 135, 139):
        asked = calls(EVERY_30_S, lasted=[2.0] * 200, to="10.0.0.2", port=port, history="ShADadFf")
        assert levels_of(asked)["brute_force"] == 0.0
    guessed = calls(EVERY_30_S[:100], lasted=[2.0] * 100, to="10.0.0.2", port=22, history="ShADadFf")
    assert levels_of(guessed)["brute_force"] > 0.8


def test_beacons_of_all_paces_inside_and_over_port_53() -> None:
    """A beacon is found at 5 s as at 60 s; inside the site at half the level; over UDP port 53 where all look-ups are alike."""
    levels = {gap: levels_of(calls([gap * i for i in range(300)]))["beacon"] for gap in (1.0, 5.0, 60.0, 280.0)}
    assert levels[1.0] < 0.1 and min(levels[5.0], levels[60.0], levels[280.0]) > 0.45, levels
    inside = levels_of(calls([60.0 * i for i in range(300)], to="10.0.0.2"))["beacon"]
    assert 0.2 < inside < 0.45
    over_dns = calls([7.0 * i for i in range(600)], proto="udp", service="dns", port=53)
    assert 0.2 < levels_of(over_dns)["beacon"] < 0.6
    assert levels_of(over_dns.with_columns(pl.lit("10.0.0.2").alias("id.resp_h")))["beacon"] == 0.0


def test_refused_calls_to_one_server_are_no_scan() -> None:
    down = calls([10.0 * i for i in range(300)], conn_state="REJ")
    assert levels_of(down)["horizontal_scan"] == levels_of(down)["slow_scan"] == 0.0


def test_tls_on_an_odd_port_outside() -> None:
    odd = calls([0.0], service="ssl", port=4444)
    assert levels_of(odd)["odd_port"] > 0.6
    assert levels_of(calls([0.0], service="ssl"))["odd_port"] == 0.0
    assert levels_of(odd.with_columns(pl.lit("10.0.0.2").alias("id.resp_h")))["odd_port"] == 0.0


def test_peers_of_a_bot_and_of_file_sharing_are_told_apart() -> None:
    """A bot walks a short list of peers over hours; file sharing meets hundreds within one."""

    def peers(n: int, every_s: float) -> float:
        rows = calls([every_s * i for i in range(n)]).with_columns(
            pl.Series("id.resp_h", [f"198.51.{i // 200}.{i % 200}" for i in range(n)]),
            pl.Series("id.resp_p", [20_011 + i % 90 for i in range(n)], pl.UInt32),
            pl.lit(40_000, pl.UInt32).alias("id.orig_p"),
        )  # fmt: skip
        return levels_of(rows)["peer_to_peer"]

    assert peers(60, 300.0) == pytest.approx(0.8, abs=0.01)
    assert peers(400, 3.0) < 0.4


def test_a_spam_run_and_a_mail_server() -> None:
    hosts = [f"198.51.{i // 200}.{i % 200}" for i in range(60)]
    run = calls([20.0 * i for i in range(60)], port=25, history="ShADadFf").with_columns(pl.Series("id.resp_h", hosts))
    refused = run.with_columns(conn_state=pl.when(pl.int_range(pl.len()) % 2 == 0).then(pl.lit("REJ")).otherwise("conn_state"))
    assert levels_of(refused)["spam"] == pytest.approx(1.0) and levels_of(run)["spam"] == pytest.approx(0.4)


def test_long_connections_to_a_service_that_only_one_host_uses_add_up() -> None:
    starts = [2.0 * 3_600 * i for i in range(8)]
    assert levels_of(calls(starts, lasted=[6_900.0] * 8, history="ShADad"))["long_connection"] > 0.45
    assert levels_of(calls(starts, lasted=[6_900.0] * 8, to="10.0.0.2"))["long_connection"] == 0.0
    assert levels_of(calls([10.0 * i for i in range(70)], lasted=[900.0] * 70))["long_connection"] == 0.0
