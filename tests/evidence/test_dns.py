"""DNS tunnels by the names in dns.log: two real ones, ordinary names beside them, and what comes of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from mlids import pipeline
from mlids.alerts.suppression import checked
from mlids.evidence.base import SiteView
from mlids.evidence.dns import DnsEvidence, entropy
from mlids.scoring.batch import score_logs
from mlids.scoring.evidence_alerts import evidence_alerts
from mlids.settings import load_settings
from mlids.zeek.log_types import log_type_of
from mlids.zeek.reader import LogReader, find_logs

CLEAR = 0.8


def dns_of(folder: Path) -> list[pl.DataFrame]:
    logs = [log for log in find_logs(folder) if log_type_of(log.name) == "dns"]
    assert logs, folder
    return [batch.frame for log in logs for batch in LogReader(log, log="dns")]


def day_of(batches: list[pl.DataFrame]) -> DnsEvidence:
    """Return the evidence of one lake day."""
    found = DnsEvidence(one_day=True)
    for batch in batches:
        found.add("dns", batch)
    return found


def watched(frames: list[pl.DataFrame], max_names: int = 300_000) -> DnsEvidence:
    watch = DnsEvidence(max_names)
    for frame in frames:
        watch.add("dns", frame)
    return watch


def queries(names: Sequence[str | None], source: str = "10.0.0.5", at: datetime = datetime(2026, 11, 4, 9, tzinfo=UTC)) -> pl.DataFrame:
    return pl.DataFrame({"ts": [at] * len(names), "uid": [f"C{i}{source}" for i in range(len(names))], "id.orig_h": source, "query": names})


def test_short_names_of_a_type_that_hosts_seldom_ask_for() -> None:
    """iodine moves its first bytes in names of eight letters, of type NULL or MX; a mail server asks many zones, each a few times."""
    short = queries([f"p{i:07x}.t.example.com" for i in range(120)])
    assert day_of([short.with_columns(qtype_name=pl.lit("MX"))]).tunnels()["score"].to_list() == [1.0]
    assert day_of([short.with_columns(qtype_name=pl.lit("A"))]).tunnels().is_empty()
    mail = queries([f"mail{i % 3}.site{i}.example" for i in range(120)]).with_columns(qtype_name=pl.lit("MX"))
    assert day_of([mail]).tunnels().is_empty()


@pytest.mark.parametrize("tool", ["AndIodine-MX", "dns-tunnel-iodine", "dnscat2-txt"])
def test_tunnels_by_tool(tool: str, real_data: Path) -> None:
    (log,) = (real_data / "more/dns-tunnels").glob(f"{tool}*dns.log.gz")
    assert day_of([b.frame for b in LogReader(log, log="dns")]).tunnels()["score"].max() == 1.0


def test_a_crawler_of_fifteen_thousand_names_is_no_tunnel(real_data: Path) -> None:
    (log,) = (real_data / "more/dns-normal").glob("*dns.log.gz")
    assert day_of([b.frame for b in LogReader(log, log="dns")]).tunnels().is_empty()


def tunnel_names(n: int, zone: str, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz234567"))
    return ["".join(rng.choice(letters, 40)) + f".t.{zone}" for _ in range(n)]


@pytest.mark.parametrize(
    ("capture", "zones"),
    [
        ("saitama", {"saitama-fake-domain-one.com", "saitama-fake-domain-two.com", "saitama-fake-domain-three.com"}),
        ("rita/open_conns", {"r-1x.com"}),  # dnscat2
        ("zed", set()),
        ("zat", set()),
        ("slips", set()),
        ("otrf", set()),
        ("stratosphere", set()),
        ("rita/2024-04-19", set()),
        ("rita/proxy_rolling", set()),
    ],
)
def test_real_captures(real_data: Path, capture: str, zones: set[str]) -> None:
    found = watched(dns_of(real_data / capture)).tunnels()
    assert set(found.filter(pl.col("score") >= CLEAR)["zone"]) == zones
    assert found.filter(pl.col("score").is_between(0.2, CLEAR, closed="left")).is_empty()  # and nothing is nearly one


def test_cut_anywhere_gives_the_same(real_data: Path) -> None:
    whole = pl.concat(dns_of(real_data / "saitama"), how="diagonal")
    cuts = [0, 1, 17, 18, 60, whole.height]
    pieces = [whole.slice(a, b - a) for a, b in pairwise(cuts)]
    assert watched(pieces).tunnels().equals(watched([whole]).tunnels())


def test_ordinary_names_are_no_tunnel() -> None:
    many = [f"e{i}.a.akamaiedge.net" for i in range(500)]  # short
    again = [n for n in tunnel_names(30, "cdn.example.com") for _ in range(5)]  # queried repeatedly
    lan = tunnel_names(100, "corp.local") + [f"{n}.in-addr.arpa" for n in tunnel_names(50, "x")]
    service = [*tunnel_names(25, "cloud.example.net"), *(["www.cloud.example.net"] * 60)]  # beside ordinary names
    found = watched([queries(many), queries(again), queries(lan), queries(service)]).tunnels()
    assert (found["score"] < 0.2).all()


def test_zones_of_many_hosts_score_less_and_registries_are_no_zone() -> None:
    lookups = [queries(tunnel_names(40, "scanner.example.com", seed), f"10.0.0.{seed}") for seed in range(1, 21)]
    found = watched(lookups).tunnels()
    assert found.height == 20 and found["score"].max() == pytest.approx(0.5)
    names = [name for i in range(40) for name in tunnel_names(1, f"shop{i}.co.uk", i)]
    assert watched([queries(names)]).tunnels().is_empty()


def test_names_whose_addresses_are_connected_to_are_no_tunnel() -> None:
    """An advertisement's frame, a video's server: a name for one view, and a connection to what it was answered with."""
    names = tunnel_names(40, "frames.example.com")
    answered = queries(names).with_columns(answers=pl.Series([["edge.example.net", f"192.0.2.{i % 20}"] for i in range(40)]))
    watch = watched([answered])
    assert watch.tunnels()["score"].item() == 1.0
    elsewhere = pl.DataFrame({"id.resp_h": ["198.51.100.7", None]})
    visits = pl.DataFrame({"id.resp_h": [f"192.0.2.{i}" for i in range(15)]})
    assert watch.tunnels([elsewhere])["score"].item() == 1.0
    assert watch.tunnels([elsewhere, visits]).is_empty()
    assert watch.tunnels([visits.head(6)])["score"].item() == pytest.approx(0.75)  # of 20 answers 6 were visited


def test_data_in_many_short_labels() -> None:
    """No label is long, the name is; a list of single characters is an address."""
    cut = [".".join(n[i : i + 8] for i in range(0, 40, 8)) + n[40:] for n in tunnel_names(100, "example.com")]
    assert day_of([queries(cut)]).tunnels()["score"].item() == pytest.approx(0.75)
    assert day_of([queries(cut[:20])]).tunnels().is_empty()
    nibbles = [".".join(n[:32]) + ".zen.example.com" for n in tunnel_names(100, "x")]
    assert day_of([queries(nibbles)]).tunnels().is_empty()


def test_slow_tunnels_over_address_types_and_names_of_escaped_bytes() -> None:
    slow = queries(tunnel_names(24, "example.com")).with_columns(qtype_name=pl.lit("AAAA"))
    assert day_of([slow]).tunnels()["score"].to_list() == [1.0]
    data = np.random.default_rng(5).integers(128, 256, (24, 220))
    escaped = ["".join(f"\\x{byte:02x}" for byte in row) + ".t.example.com" for row in data]  # 880 characters before the zone
    assert day_of([queries(escaped)]).tunnels()["zone"].to_list() == ["example.com"]


def test_reputation_services_carry_data_by_design() -> None:
    assert day_of([queries(tunnel_names(200, "avts.mcafee.com"))]).tunnels().is_empty()


def test_a_flood_of_zones_is_bounded_and_hides_no_tunnel() -> None:
    watch = DnsEvidence(2_000)
    for start in range(0, 20_000, 1_000):
        watch.add("dns", queries([tunnel_names(1, f"zone{i}.com", i)[0] for i in range(start, start + 1_000)], "10.0.0.6"))
        watch.add("dns", queries(tunnel_names(5, "evil.example.org", start)))
    assert watch.tables["names"].height <= 2_000
    assert watch.tables["queried"].height <= 2_000
    found = watch.tunnels()
    assert found["zone"].to_list() == ["example.org"] and found["names"].item() == 100 and found["score"].item() >= CLEAR


def test_odd_names_and_missing_columns_do_not_stop_it() -> None:
    odd = [None, "", ".", "..", "a", "x" * 10_000, "é" * 40 + ".exämple.com", "\\x00\\xff.b.c", "*.example.com", "-", "1.2.3.4"]
    watch = watched([queries(odd), pl.DataFrame({"query": ["a.b.c"]}), pl.DataFrame({"ts": [None], "id.orig_h": ["10.0.0.1"]})])
    watch.add("dns", queries(tunnel_names(3, "a.com")).with_columns(answers=pl.lit("192.0.2.1")))
    watch.add("dns", queries(tunnel_names(3, "a.com")).with_columns(answers=pl.lit(7)))
    watch.add("dns", pl.DataFrame({"ts": ["soon"], "id.orig_h": ["10.0.0.1"], "query": [["a.b.c"]], "id.resp_p": [-1]}))
    assert watch.tunnels().is_empty()
    assert DnsEvidence().tunnels().is_empty()
    assert entropy(pl.Series(["", "aaaa", "abcd", None])).tolist() == [0.0, 0.0, 2.0, 0.0]


def test_scoring_a_folder_finds_what_conn_log_alone_does_not_show(real_data: Path) -> None:
    folder = real_data / "saitama" / "data" / "zeek"
    alone = score_logs([folder / "conn.log"])
    beside = score_logs([folder])
    assert alone.alerts == 0
    assert beside.alerts == sum(w.tunnels()["uids"].list.len().sum() for w in [watched(dns_of(folder))]) > 80
    assert beside.findings[0].behaviour == "dns_tunnel" and "different names under saitama-fake-domain-" in beside.findings[0].reasons
    assert score_logs([folder / "conn.log", folder / "dns.log"]).alerts == beside.alerts


def test_rejected_rows_of_dns_log_are_counted_and_named(real_data: Path, tmp_path: Path) -> None:
    folder = real_data / "saitama" / "data" / "zeek"
    (tmp_path / "conn.log").write_bytes((folder / "conn.log").read_bytes())
    (tmp_path / "dns.log").write_bytes((folder / "dns.log").read_bytes() + b'{"ts": not a row}\n')
    scored = score_logs([tmp_path])
    assert scored.alerts > 80 and scored.reading.rejected == 1 and scored.reading.rejects[0][0].endswith("dns.log")


def test_150_tunnels_are_100_alerts_and_a_storm_alert() -> None:
    names = [name for zone in range(150) for name in tunnel_names(21, f"zone{zone}.com", zone)]
    alerts = evidence_alerts(day_of([queries(names)]).evidence(SiteView()), "hq", "2026-11-04")
    assert len({a.id for a in alerts}) == 101 and sum(a.count for a in alerts) == 150 * 21
    assert "many more of them" in alerts[-1].title and not any("many more" in a.title for a in alerts[:-1])


def test_a_lake_day_counts_as_one_day_across_midnight_utc() -> None:
    # 08:50 and 09:10 of one morning in Tokyo: neither half would be a clear case alone.
    names = tunnel_names(24, "example.com")
    before, after = datetime(2026, 11, 3, 23, 50, tzinfo=UTC), datetime(2026, 11, 4, 0, 10, tzinfo=UTC)
    halves = [queries(names[:12], at=before), queries(names[12:], at=after)]
    (alert,) = evidence_alerts(day_of(halves).evidence(SiteView()), "tokyo", "2026-11-04")
    assert alert.count == 24 and (alert.ts, alert.last_ts) == (before, after)
    assert evidence_alerts(day_of(halves[:1]).evidence(SiteView()), "tokyo", "2026-11-04") == []
    assert watched(halves).tunnels()["names"].to_list() == [12, 12], "mlids score, which knows of no zone, counts UTC's days"


def test_reconcile_alerts_once_per_tunnel_and_rules_suppress_it(real_data: Path, home: Path) -> None:
    folder, day = real_data / "saitama" / "data" / "zeek", "2022-08-07"
    pipeline.ingest_paths("hq", day, [folder / "conn.log", folder / "dns.log"])
    first = pipeline.reconcile("hq", day)
    assert first["tunnels"] == first["alerts"] == 3 and first["model_version"] is None
    stores = pipeline.open_stores(load_settings())
    stored = stores.alerts.latest()
    assert pipeline.reconcile("hq", day) == first and [a["id"] for a in stores.alerts.latest()] == [a["id"] for a in stored]
    assert {a["message"].split(" under ")[1].split(",")[0] for a in stored} == {
        f"saitama-fake-domain-{n}.com" for n in ("one", "two", "three")
    }
    assert all(
        a["src"] == "192.168.1.112" and a["threat"]["technique"]["id"] == "T1071.004" and len(a["mlids"]["uids"]) == 10 for a in stored
    )
    rule = stores.rules.add(checked("dns_tunnel", "192.168.1.112", "192.168.1.100", 53, "hq"), "known exercise", "tests")
    assert stores.alerts.latest() == []
    assert pipeline.reconcile("hq", day)["tunnels"] == 0
    assert next(r for r in stores.rules.rows() if r["id"] == rule)["conns"] == 97
