"""Drift: hours of hosts, the hosts that changed most, and effects as Evidently measures them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from mlids.errors import NoRowsError
from mlids.evidence.base import SiteView
from mlids.ingest.lake import Lake
from mlids.reporting.drift import EFFECT, MEASURES, compare, host_hours, who_moved
from tests.conftest import CONN_HEADER, conn_line


def hours(*hosts: str, n: int = 24, seed: int = 0, **shift: float) -> pl.DataFrame:
    """Return n hours of each host with random measures around 1, the first host's shifted by measure."""
    rng = np.random.default_rng(seed)
    begin = datetime(2026, 11, 2, tzinfo=UTC)
    rows = [
        {"host": host, "hour": begin + timedelta(hours=h)}
        | {m: 1.0 + 0.1 * rng.random() + (shift.get(m, 0.0) if host == hosts[0] else 0.0) for m in MEASURES}
        for host in hosts
        for h in range(n)
    ]
    return pl.DataFrame(rows)


def test_the_host_that_changed_most_comes_first_with_its_measure() -> None:
    before, after = hours("10.0.0.1", "10.0.0.2", "10.0.0.3"), hours("10.0.0.1", "10.0.0.2", "10.0.0.3", seed=1, bytes_out=3.0)
    first, *others = who_moved(before, after)
    assert (first["host"], first["measure"], first["words"]) == ("10.0.0.1", "bytes_out", "bytes sent an hour")
    spread = float(np.std(np.concatenate([before["bytes_out"], after["bytes_out"]]), ddof=1))
    means = [float(f.filter(host="10.0.0.1")["bytes_out"].to_numpy().mean()) for f in (before, after)]
    assert first["change"] == pytest.approx((means[1] - means[0]) / spread, abs=0.01) and first["change"] > 1.0
    assert len(others) == 2 and all(abs(o["change"]) < first["change"] for o in others)


def test_a_fall_is_a_negative_change() -> None:
    (first,) = who_moved(hours("10.0.0.1"), hours("10.0.0.1", seed=1, dns_share=-0.9))
    assert first["measure"] == "dns_share" and first["change"] < -1.0


def test_hosts_seen_in_one_span_only_or_for_a_few_hours_are_left_out() -> None:
    before = pl.concat([hours("10.0.0.1", "10.0.0.2"), hours("10.0.0.3", n=4)])
    after = pl.concat([hours("10.0.0.1", "10.0.0.9", seed=1), hours("10.0.0.3", seed=2, conns=5.0)])
    assert [r["host"] for r in who_moved(before, after)] == ["10.0.0.1"]


def test_the_typical_hour_before_and_now_is_in_the_measures_own_unit() -> None:
    (first,) = who_moved(hours("10.0.0.1"), hours("10.0.0.1", seed=1, bytes_out=3.0))
    means = [float(f["bytes_out"].to_numpy().mean()) for f in (hours("10.0.0.1"), hours("10.0.0.1", seed=1, bytes_out=3.0))]
    assert [first["before"], first["now"]] == pytest.approx(np.expm1(means), rel=1e-3), "counts are held as log1p"
    (share,) = who_moved(hours("10.0.0.1"), hours("10.0.0.1", seed=1, dns_share=-0.9))
    assert share["now"] == pytest.approx(float(hours("10.0.0.1", seed=1, dns_share=-0.9)["dns_share"].to_numpy().mean()), abs=1e-3)


def test_only_hosts_of_the_site_are_named() -> None:
    names = ("10.0.0.1", "203.0.113.7")
    before, after = hours(*names), hours(*names, seed=1, conns=2.0)
    assert [r["host"] for r in who_moved(before, after, inside=SiteView().inside)] == ["10.0.0.1"]
    assert [r["host"] for r in who_moved(before, after, inside=SiteView(["203.0.113.0/24"]).inside)] == ["203.0.113.7"]


def test_no_more_than_top_hosts_are_returned() -> None:
    names = [f"10.0.0.{n}" for n in range(15)]
    assert len(who_moved(hours(*names), hours(*names, seed=1))) == 10 and len(who_moved(hours(*names), hours(*names, seed=1), top=3)) == 3


def test_an_hour_of_a_host_is_counted_by_hand(tmp_path: Path) -> None:
    log = tmp_path / "conn.log"
    lines = [
        conn_line("C1", "1713484800.5", id__resp_h="192.0.2.1", duration="2.0"),
        conn_line("C2", "1713484900.5", id__resp_h="192.0.2.2", conn_state="S0", duration="-", resp_ip_bytes="0"),
        conn_line("C3", "1713485000.5", id__resp_h="192.0.2.2", id__resp_p="53", proto="udp", service="dns", duration="1.0"),
        conn_line("C4", "1713492000.5"),
    ]
    log.write_text(CONN_HEADER + "".join(lines))
    lake = Lake(tmp_path / "lake")
    lake.ingest("hq", date(2024, 4, 19), [log])
    first, second = host_hours(lake, ["hq"], [date(2024, 4, 19)]).sort("hour").iter_rows(named=True)
    assert first["host"] == second["host"] == "10.0.0.5" and second["conns"] == pytest.approx(np.log1p(1))
    counted = {name: float(np.expm1(first[name])) for name in ("conns", "hosts", "services", "bytes_out", "bytes_in", "seconds")}
    assert counted == pytest.approx({"conns": 3, "hosts": 2, "services": 2, "bytes_out": 1_080, "bytes_in": 4_624, "seconds": 3.0})
    assert (first["failed_share"], first["dns_share"]) == pytest.approx((1 / 3, 1 / 3))


def test_equal_spans_do_not_drift_and_an_empty_one_is_named(synthetic_site: Path, tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    day = date(2026, 11, 4)
    lake.ingest("hq", day, sorted((synthetic_site / day.isoformat()).glob("conn.*")))
    found = compare(lake, ["hq"], [day], [day], tmp_path / "drift.html")
    assert found.drifted == [] and found.share == 0.0 and set(found.effects) == set(MEASURES) and max(found.effects.values()) < EFFECT
    assert all(m["change"] == 0.0 for m in found.moved) and (tmp_path / "drift.html").stat().st_size > 100_000
    with pytest.raises(NoRowsError, match="the current span 2026-11-05"):
        compare(lake, ["hq"], [day], [date(2026, 11, 5)], tmp_path / "none.html")
