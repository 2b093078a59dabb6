"""Each attack scenario has its label and varies from draw to draw; no single column separates attacks from benign conns."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest

from mlids.synth.archive import attack_hosts, day_with_attacks
from mlids.synth.attacks import SCENARIOS
from mlids.synth.hosts import AttackHosts
from mlids.synth.site import Site

DAY = date(2026, 11, 4)
START = 1_793_750_400.0


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_has_its_label_its_start_and_the_given_hosts(name: str) -> None:
    hosts = attack_hosts(Site(5))
    rng = np.random.default_rng(1)
    draws = [SCENARIOS[name](START, hosts, rng).frame(rng) for _ in range(4)]
    assert all(set(rows["label"]) == {name} for rows in draws) and len({rows.height for rows in draws}) > 1
    assert all(rows["ts"].dt.epoch("us").min() >= START * 1e6 for rows in draws)  # type: ignore[operator]
    known = {*hosts.inside, *hosts.servers, *hosts.public, *hosts.outside}
    for rows in draws:
        assert known & {*rows["id.orig_h"], *rows["id.resp_h"]}


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_same_generator_gives_the_same_attack(name: str) -> None:
    hosts = attack_hosts(Site(5))
    first, second = (SCENARIOS[name](START, hosts, np.random.default_rng(2)).frame(np.random.default_rng(3)) for _ in range(2))
    assert first.equals(second)


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("inside", [["10.0.0.5"], ["fd00::5", "fd00::6"]])
def test_a_scenario_works_at_a_site_of_few_hosts_without_public_addresses(name: str, inside: list[str]) -> None:
    rng = np.random.default_rng(4)
    for _ in range(5):
        assert SCENARIOS[name](START, AttackHosts(inside, inside, [], ["203.0.113.9"]), rng).frame(rng).height >= 2


def test_no_single_column_separates_the_attacks() -> None:
    from mlids.training.metrics import pr_auc

    rows, _ = day_with_attacks(
        Site(5), DAY, 20_000, ["beacon", "brute_force", "dns_tunnel", "exfiltration", "lateral_movement", "slow_scan"]
    )
    attack = rows["label"].is_not_null().to_numpy()
    for name in ("duration", "orig_bytes", "resp_bytes", "orig_pkts", "resp_pkts", "id.resp_p"):
        values = rows[name].cast(pl.Float64).fill_null(0.0).to_numpy()
        assert max(pr_auc(values, attack, 0.01), pr_auc(-values, attack, 0.01)) < 0.5, name
