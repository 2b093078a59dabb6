"""What hosts look up: generated names, published services, and names with very many addresses."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from mlids.evidence.base import Evidence, SiteView
from mlids.evidence.dns_names import DnsNames
from mlids.zeek.log_types import log_type_of
from mlids.zeek.reader import LogReader, find_logs

AT = datetime(2026, 11, 4, 9, tzinfo=UTC)


def lookups(names: Sequence[str | None], rcode: str | None = "NXDOMAIN", source: str = "10.0.0.5", **fields: object) -> pl.DataFrame:
    frame = pl.DataFrame({"ts": [AT] * len(names), "uid": [f"C{i}{source}" for i in range(len(names))], "query": list(names)})
    row = {"id.orig_h": source, "id.resp_h": "10.0.0.1", "id.resp_p": 53, "qtype_name": "A", "rcode_name": rcode}
    answers = pl.lit(None, pl.List(pl.String)) if rcode != "NOERROR" else pl.lit(["192.0.2.1"], pl.List(pl.String))
    return frame.with_columns(**{n: pl.lit(v) for n, v in row.items()}, answers=answers).with_columns(
        **{n: v if isinstance(v, pl.Expr) else pl.lit(v) for n, v in fields.items()}
    )


def found(*frames: pl.DataFrame) -> dict[str, Evidence]:
    watch = DnsNames()
    for frame in frames:
        watch.add("dns", frame)
    return {e.kind: e for e in watch.evidence(SiteView())}


def day(folder: Path) -> list[Evidence]:
    watch = DnsNames()
    for path in find_logs(folder):
        if log_type_of(path.name) == "dns":
            for batch in LogReader(path, log="dns"):
                watch.add("dns", batch.frame)
    return watch.evidence(SiteView())


def made_up(n: int, zone: str = "com", seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz"), 11)) + f".{zone}" for _ in range(n)]


WORDS = [
    "river", "mountain", "garden", "silver", "orange", "market", "winter", "planet", "coffee", "letter", "bridge", "summer", "window",
    "forest", "simple", "travel",
]  # fmt: skip
OF_WORDS = [f"{a}{b}.com" for a in WORDS for b in WORDS if a != b]


def test_generated_names_of_random_letters() -> None:
    names = made_up(60)
    evidence = found(lookups(names), lookups(["www.example.com", "example.org"], "NOERROR"))["dns_generated_names"]
    assert evidence.score == pytest.approx(0.9, abs=0.02) and evidence.count == 60
    assert "60 of 62 zones asked for do not exist" in evidence.text and len(evidence.uids) == 10
    assert found(lookups(made_up(6))) == {}
    assert found(lookups(names, None).with_columns(rcode=3))["dns_generated_names"].count == 60, "logs with the number alone"


@pytest.mark.parametrize(
    "ordinary",
    [
        lookups(made_up(60), "NOERROR"),
        lookups(made_up(60), None),  # no answer seen
        lookups([f"{n}.corp.example.com" for n in made_up(60)]),  # a search list
        lookups([n.removesuffix(".com") for n in made_up(60)]),  # a browser's test of the resolver
        lookups([f"{n}.local" for n in made_up(60)]),
        lookups([f"{i}.1.168.192.in-addr.arpa" for i in range(200)]),
        lookups([f"{i}.2.0.192.zen.spamhaus.org" for i in range(200)]),
        lookups(made_up(60)).with_columns(pl.lit(5355).alias("id.resp_p")),
        lookups(OF_WORDS[:40]),  # misspelt, or closed
        lookups(made_up(60), source="198.51.100.9"),  # asks the site's name server from outside
    ],
    ids=["exist", "unanswered", "search", "browser", "local", "reverse", "blocklist", "neighbours", "words", "outside"],
)  # fmt: skip
def test_ordinary_failures_are_no_generated_names(ordinary: pl.DataFrame) -> None:
    assert found(ordinary) == {}


def test_many_names_of_words_are_a_hint_unless_a_crawler_asks() -> None:
    assert found(lookups(OF_WORDS[:200]))["dns_generated_names"].score == pytest.approx(0.35)
    crawled = lookups([f"site{i}.example{i}.net" for i in range(1_000)], "NOERROR")
    assert found(lookups(OF_WORDS[:200]), crawled) == {}


@pytest.mark.parametrize(
    ("name", "kind", "subject"),
    [
        ("api.ipify.org", "dns_ip_lookup", "ipify.org"),
        ("CHECKIP.amazonaws.com.", "dns_ip_lookup", "checkip.amazonaws.com"),
        ("evil.duckdns.org", "dns_dynamic_name", "duckdns.org"),
        ("a.b.trycloudflare.com", "dns_tunnel_service", "trycloudflare.com"),
        ("abcdef.onion", "dns_tor_name", "onion"),
        ("pool.supportxmr.com", "dns_mining_pool", "supportxmr.com"),
        ("pastebin.com", "dns_paste_site", "pastebin.com"),
        ("s3.amazonaws.com", None, None),
        ("notduckdns.org", None, None),
        ("onion.example.com", None, None),
    ],
)
def test_published_names(name: str, kind: str | None, subject: str | None) -> None:
    evidence = found(lookups([name, name], "NOERROR"))
    assert set(evidence) == ({kind} if kind else set())
    if kind:
        assert evidence[kind].subject == subject and evidence[kind].count == 2 and 0.1 <= evidence[kind].score < 0.5


def test_a_service_that_many_hosts_use_counts_less() -> None:
    many = [lookups(["x.ngrok.io"], "NOERROR", f"10.0.0.{i}") for i in range(6)]
    assert found(*many)["dns_tunnel_service"].score == pytest.approx(0.18)
    both = found(lookups(["x.ngrok.io", "portmap.io", "y.ngrok.io"], "NOERROR"))["dns_tunnel_service"]
    assert (both.subject, both.count) == ("ngrok.io", 3) and "1 more" in both.text


def flux(name: str, n: int, ttl: str = "120", first: str = "{}.{}.3.4") -> pl.DataFrame:
    answers = [[first.format(60 + i % 30, i), f"{90 + i % 9}.{i}.3.4"] for i in range(n)]
    return lookups([name] * n, "NOERROR").with_columns(answers=pl.Series(answers), TTLs=pl.Series([[ttl, ttl]] * n))


def test_one_name_in_many_networks() -> None:
    evidence = found(flux("flux.example.com", 30))["dns_fast_flux"]
    assert evidence.subject == "flux.example.com" and 0.3 <= evidence.score < 0.5
    assert found(flux("flux.example.com", 30, ttl="86400")) == {}
    assert found(flux("flux.example.com", 4)) == {}
    assert found(flux("2.debian.pool.ntp.org", 30), flux("seed.example.net", 30)) == {}
    aliased = flux("www.example.com", 30).with_columns(answers=pl.concat_list(pl.lit("edge.example.net"), "answers"))
    assert found(aliased) == {}, "a content network"
    assert found(flux("flux.example.com", 30).drop("TTLs")) == {}, "it cannot be judged"


@pytest.mark.parametrize(
    ("capture", "kinds"),
    [
        ("stratosphere", {"dns_generated_names"}),
        ("more/benign-day", set()),
        ("more/dns-normal", {"dns_fast_flux", "dns_dynamic_name"}),  # hints about a crawler of 15,000 names
        ("rita/2024-04-19", set()),
        ("more/dns-tunnels", set()),
        ("slips", set()),
    ],
)
def test_real_captures(real_data: Path, capture: str, kinds: set[str]) -> None:
    evidence = day(real_data / capture)
    assert {e.kind for e in evidence} == kinds
    assert {e.kind for e in evidence if e.score >= 0.5} <= {"dns_generated_names"}


def test_cut_anywhere_gives_the_same(real_data: Path) -> None:
    log = next(p for p in find_logs(real_data / "stratosphere/005-zeek-scenario-malicious") if log_type_of(p.name) == "dns")
    frames = [batch.frame for batch in LogReader(log, log="dns")] + [flux("flux.example.com", 30), lookups(["api.ipify.org"] * 15)]
    whole, pieces = DnsNames(), DnsNames()
    for frame in frames:
        whole.add("dns", frame)
        third = frame.height // 3 + 1
        for start in range(0, frame.height, third):
            following = DnsNames()
            following.tables = dict(pieces.tables)
            following.add("dns", frame.slice(start, third))
            pieces = following
    assert whole.evidence(SiteView()) == pieces.evidence(SiteView()) != []
    assert all(whole.tables[name].schema == pieces.tables[name].schema for name in whole.tables)


def test_hostile_and_odd_rows_do_not_stop_it() -> None:
    watch = DnsNames()
    odd = [
        None,
        "",
        ".",
        "..",
        "a",
        "x" * 65_536,
        "x." * 30_000 + "com",
        "é" * 40 + ".exämple.com",
        "\\x00\\xff.b.c",
        "*.a.com",
        "-",
        "1.2.3.4",
    ]
    watch.add("dns", lookups(odd))
    watch.add("dns", lookups(odd, source="no address", TTLs=pl.lit("soon"), rcode_name=-1))
    watch.add("dns", pl.DataFrame({"query": ["a.b.c"]}))
    watch.add("dns", pl.DataFrame({"id.orig_h": ["10.0.0.1"], "query": [7], "answers": [7]}))
    watch.add("dns", pl.DataFrame({"id.orig_h": ["10.0.0.1"], "query": [["a.b"]], "ts": ["soon"]}))
    watch.add("dns", flux("a.example.com", 5).with_columns(TTLs=pl.Series([["nan"], ["inf"], [""], None, []])))
    assert watch.evidence(SiteView()) == []
    assert DnsNames().evidence(SiteView()) == []


def test_a_flood_of_zones_is_bounded_and_hides_no_generated_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlids.evidence.dns_names.MAX_ZONES", 1_000)
    watch = DnsNames()
    for start in range(0, 10_000, 500):
        watch.add("dns", lookups([f"www.site{i}.example{i}.com" for i in range(start, start + 500)], "NOERROR", "10.0.0.6"))
        watch.add("dns", lookups(made_up(3, seed=start)))
    assert watch.tables["zones"].height == 1_000
    (evidence,) = watch.evidence(SiteView())
    assert evidence.count == 60 and evidence.source == "10.0.0.5" and evidence.score > 0.8
