"""A synthetic site is deterministic and active in office hours."""

from __future__ import annotations

from datetime import date
from typing import Any

import polars as pl
import pytest

from mlids.synth.site import Site

DAY = date(2026, 11, 4)


def test_the_same_seed_gives_the_same_day() -> None:
    first, second = Site(5).day(DAY, 2_000), Site(5).day(DAY, 2_000)
    assert first.equals(second) and not first.equals(Site(6).day(DAY, 2_000))


def test_a_day_is_the_same_after_other_days() -> None:
    site = Site(5)
    site.day(date(2026, 11, 3), 500)
    assert site.day(DAY, 500).equals(Site(5).day(DAY, 500))


def test_nights_and_weekends_are_quiet() -> None:
    site = Site(5)
    work, sunday = site.day(DAY, 4_000), site.day(date(2026, 11, 8), 4_000)
    by_hour = dict(work.group_by(pl.col("ts").dt.hour().alias("h")).len().iter_rows())
    assert by_hour[10] > 3 * by_hour[3] and sunday.height < 0.6 * work.height


def test_benign_traffic_has_no_label_and_holds_what_fools_simple_rules() -> None:
    site = Site(5)
    day = site.day(DAY, 8_000)
    assert day["label"].null_count() == day.height
    assert day.filter(pl.col("id.orig_h") == site.monitor[0])["id.resp_h"].n_unique() == len(site.servers), (
        "the monitor contacts every server"
    )
    backups = day.filter(pl.col("id.resp_h") == site.backup)
    assert backups.height == 3 * len(site.servers) and (backups["ts"].dt.hour() < 5).all()
    assert day.filter(pl.col("id.resp_h").is_in(site.public), pl.col("service").is_null()).height > 50, "background noise"


@pytest.mark.parametrize("size", [{"hosts": 9}, {"hosts": 50_001}, {"servers": 7}])
def test_a_site_out_of_range_is_an_error(size: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="10 to 50,000 hosts and at least 8 servers"):
        Site(5, **size)


def test_a_site_holds_clients_of_most_kinds_within_its_number_of_conns() -> None:
    site = Site(5)
    with_clients, about = site.clients.plan(0.25 * 20_000)
    assert sum(len(who) > 0 for who in with_clients.values()) >= 10 and 3_500 < about <= 5_000
    day = site.day(DAY, 20_000)
    assert 17_000 < day.height < 32_000
    assert day.filter(pl.col("id.resp_p") == 88, pl.col("id.resp_h").is_in(site.pools["directory"])).height > 100
