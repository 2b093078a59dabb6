"""Whom hosts ask for names: resolvers of their own, and zone transfers."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from mlids.evidence.base import Evidence, SiteView
from mlids.evidence.dns_servers import DnsServers
from mlids.zeek.log_types import log_type_of
from mlids.zeek.reader import LogReader, find_logs

AT = datetime(2026, 11, 4, 9, tzinfo=UTC)
RESOLVER, UNKNOWN = "10.0.0.1", "203.0.113.7"


def asked(source: str, server: str, n: int = 50, **fields: object) -> pl.DataFrame:
    row = {"id.orig_h": source, "id.resp_h": server, "id.resp_p": 53, "proto": "udp", "qtype_name": "A", "rcode_name": "NOERROR"} | fields
    frame = pl.DataFrame({"ts": [AT] * n, "uid": [f"C{i}" for i in range(n)], "query": ["example.com"] * n})
    return frame.with_columns(**{k: v if isinstance(v, pl.Expr) else pl.lit(v) for k, v in row.items()})


OFFICE = [asked(f"10.0.0.{i}", RESOLVER) for i in range(10, 30)]


def found(*frames: pl.DataFrame) -> list[Evidence]:
    watch = DnsServers()
    for frame in frames:
        watch.add("dns", frame)
    return watch.evidence(SiteView())


@pytest.mark.parametrize(("server", "n", "score"), [(UNKNOWN, 50, 0.3), (UNKNOWN, 5_000, 0.5), ("8.8.8.8", 5_000, 0.2)])
def test_a_host_that_goes_around_the_resolver_of_the_others(server: str, n: int, score: float) -> None:
    (evidence,) = found(*OFFICE, asked("10.0.0.12", server, n))
    assert (evidence.kind, evidence.source, evidence.target, evidence.count) == ("dns_other_resolver", "10.0.0.12", server, n)
    assert evidence.score == pytest.approx(score) and f"{n:,} queries straight to the" in evidence.text and "1 of 20 hosts" in evidence.text


@pytest.mark.parametrize(
    "frames",
    [
        [asked("10.0.0.12", UNKNOWN, 5_000)],  # one host: its resolver may be that one
        [asked(f"10.0.0.{i}", UNKNOWN, 500) for i in range(10, 30)],  # everybody's resolver
        [*OFFICE, asked(RESOLVER, UNKNOWN, 5_000)],  # the resolver itself
        [*OFFICE, *(asked("10.0.0.12", f"198.51.100.{i}", 50) for i in range(30))],  # another resolver
        [*OFFICE, asked("10.0.0.12", UNKNOWN, 5)],
        [*OFFICE, asked("10.0.0.12", UNKNOWN, 500, **{"id.resp_p": 5353})],
        [*OFFICE, asked("198.51.100.9", "10.0.0.44", 5_000)],  # inward
    ],
    ids=["alone", "all", "resolver", "recursive", "few", "mdns", "inward"],
)
def test_ordinary_resolvers(frames: list[pl.DataFrame]) -> None:
    assert found(*frames) == []


def test_zone_transfers() -> None:
    given = pl.lit(["a.example.com"], pl.List(pl.String))
    (inside,) = found(asked("10.0.0.12", RESOLVER, 1, qtype_name="AXFR", answers=given, proto="tcp"))
    assert (inside.kind, inside.subject, inside.proto) == ("dns_zone_transfer", "example.com", "tcp") and inside.score == pytest.approx(
        0.45
    )
    assert "1 zone, answered" in inside.text
    (refused,) = found(asked("10.0.0.12", RESOLVER, 1, qtype_name="AXFR", rcode_name="REFUSED"))
    assert refused.score == pytest.approx(0.35) and "refused" in refused.text
    (outside,) = found(asked("198.51.100.9", RESOLVER, 1, qtype=252, qtype_name=pl.lit(None, pl.String), rcode_name="REFUSED"))
    assert outside.score == pytest.approx(0.15)
    zones = [asked("10.0.0.12", RESOLVER, 1, qtype_name="AXFR", query=f"{z}.example") for z in "abc"]
    assert found(*zones)[0].score == pytest.approx(0.45) and found(*zones)[0].count == 3
    secondary = [
        asked("10.0.0.13", "10.0.0.2"),
        asked("10.0.0.14", "10.0.0.2"),
        asked("10.0.0.2", RESOLVER, 1, qtype_name="AXFR", answers=given),
    ]
    assert found(*secondary) == []


@pytest.mark.parametrize(
    ("capture", "kinds"),
    [("zed", {"dns_zone_transfer"}), ("more/benign-day", set()), ("rita/2024-04-19", set()), ("more/dns-normal", set()), ("slips", set())],
)
def test_real_captures(real_data: Path, capture: str, kinds: set[str]) -> None:
    watch = DnsServers()
    for path in find_logs(real_data / capture):
        if log_type_of(path.name) == "dns":
            for batch in LogReader(path, log="dns"):
                watch.add("dns", batch.frame)
    evidence = watch.evidence(SiteView())
    assert {e.kind for e in evidence} == kinds and all(e.score < 0.5 for e in evidence)


def test_cut_anywhere_gives_the_same() -> None:
    rows = pl.concat([*OFFICE, asked("10.0.0.12", UNKNOWN, 700), asked("10.0.0.13", RESOLVER, 4, qtype_name="AXFR")])
    pieces = DnsServers()
    for start in range(0, rows.height, 333):
        following = DnsServers()
        following.tables = dict(pieces.tables)
        following.add("dns", rows.slice(start, 333))
        pieces = following
    assert pieces.evidence(SiteView()) == found(rows) and len(found(rows)) == 2


def test_hostile_and_odd_rows_do_not_stop_it() -> None:
    watch = DnsServers()
    watch.add("dns", pl.DataFrame({"query": ["a"]}))
    watch.add("dns", asked("no address", "", 20, qtype_name="AXFR", query="x" * 65_536, answers="a,b"))
    watch.add("dns", asked("10.0.0.12", UNKNOWN, 20, query=pl.lit(None, pl.String), qtype="AXFR", **{"id.resp_p": "53"}))
    watch.add("dns", asked("10.0.0.12", UNKNOWN, 20, qtype=[252], ts="soon"))
    assert all(e.score < 0.5 for e in watch.evidence(SiteView()))
    assert DnsServers().evidence(SiteView()) == []
