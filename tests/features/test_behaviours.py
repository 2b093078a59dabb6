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
