"""What all evidence of http.log shares: the form of requests, state that moves between collectors, and hostile logs."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from mlids.evidence.base import Collector, SiteView
from mlids.evidence.files import FetchedFiles
from mlids.evidence.http_attacks import HttpAttacks
from mlids.evidence.http_clients import HttpClients
from mlids.evidence.http_paths import HttpPaths
from mlids.evidence.http_requests import MAX_FOUND, agent_class, distinct, few, hashed, requests, size, span
from tests.evidence.http_rows import BROWSER, INSIDE, OUTSIDE, SERVER, START, batches, log, request

COLLECTORS = [HttpAttacks, HttpClients, HttpPaths, FetchedFiles]


@pytest.mark.parametrize(
    ("host", "name", "bare"),
    [
        ("203.0.113.9:8080", "203.0.113.9", True),
        ("[2001:db8::1]:80", "[2001:db8::1]", True),
        ("2001:db8::1", "2001:db8::1", True),
        ("3405803785", "3405803785", True),
        ("", "", True),
        (None, "", True),
        ("Cafe.DE", "cafe.de", False),
        ("abc.de:81", "abc.de", False),
        ("1.2.3.4.example.com", "1.2.3.4.example.com", False),
    ],
)
def test_a_host_is_an_address_or_a_name(host: str | None, name: str, bare: bool) -> None:
    row = requests(log([request(host=host)])).row(0, named=True)
    assert (row["host"], row["bare"]) == (name, bare)


def test_a_request_that_the_sensor_missed_has_no_bare_host() -> None:
    row = requests(log([request(method=None, host=None, uri=None)])).row(0, named=True)
    assert row["method"] is None and row["host"] is None and row["bare"] is None


def test_path_and_sizes() -> None:
    rows = requests(log([request(uri="http://a.example/x/y.php?q=1#z", request_body_len=-5), request(uri=None, response_body_len=2**62)]))
    assert rows["path"].to_list() == ["/x/y.php", ""] and rows["sent"].to_list() == [0, 0] and rows["got"].to_list() == [500, 10**12]


@pytest.mark.parametrize(
    ("agent", "sort"),
    [
        (BROWSER, None),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15", None),
        ("Mozilla/5.0 (Windows NT; Windows NT 10.0; en-US) WindowsPowerShell/5.1.18362.145", "PowerShell"),
        ("Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 6.1)", None),
        ("Mozilla/4.0 (compatible; MSIE 2.0; Windows NT 5.0)", "no real browser"),
        ("Mozilla/5.0", "no real browser"),
        ("Mozlila/5.0 (Linux; Android 7.0)", "no real browser"),
        ("Modzilla/0.0001 (Atari 7800)", "no real browser"),
        ("curl/8.5.0", "curl"),
        ("python-requests/2.31.0", "Python"),
        ("CertUtil URL Agent", "certutil"),
        ("Microsoft-CryptoAPI/10.0", None),
        ("", "none"),
        (None, "none"),
    ],
)
def test_agents(agent: str | None, sort: str | None) -> None:
    assert requests(log([request(user_agent=agent)])).select(agent_class().alias("sort")).item() == sort


def test_many_different_values_are_estimated() -> None:
    table = pl.DataFrame({"key": [1] * 5_000, "text": [f"t{i % 2_500}" for i in range(5_000)]}).with_columns(h=hashed("text"))
    counts = [table.head(n).group_by("key").agg(few("h", 128).alias("h")).select(distinct("h", 128)).item() for n in (50, 5_000)]
    assert counts[0] == 50 and 1_900 < counts[1] < 3_200


def test_durations_and_sizes_in_words() -> None:
    assert [span(START, START + timedelta(seconds=s)) for s in (0, 90, 3_600, 36_000, 400_000)] == [
        "",
        " in 90 seconds",
        " in 60 minutes",
        " in 10 hours",
        " in 5 days",
    ]
    assert span(None, START) == "" and [size(n) for n in (5, 5_000, 2.5e6, 3e9)] == ["5 bytes", "5.0 KB", "2.5 MB", "3.0 GB"]


@pytest.mark.parametrize("collector", COLLECTORS)
@pytest.mark.parametrize("capture", ["more/zetaswitch", "slips/test9-mixed-zeek-dir", "zat/data", "rita/2024-04-19"])
def test_cut_in_three_with_the_state_moved_gives_the_same(collector: type[Collector], capture: str, real_data: Path) -> None:
    whole = collector()
    for name, rows in batches(real_data / capture, *collector.reads):
        whole.add(name, rows)
    part = collector()
    for name, rows in batches(real_data / capture, *collector.reads):
        for start, end in ((0, 1), (1, rows.height // 3), (rows.height // 3, rows.height)):
            moved = collector()
            moved.tables = dict(part.tables)
            moved.add(name, rows.slice(start, max(end - start, 0)))
            part = moved
    expected = whole.evidence(SiteView())
    assert part.evidence(SiteView()) == expected and whole.evidence(SiteView()) == expected  # asking changes nothing
    assert {n: t.schema for n, t in part.tables.items()} == {n: t.schema for n, t in whole.tables.items()}


@pytest.mark.parametrize("collector", COLLECTORS)
def test_hostile_rows_do_not_stop_it(collector: type[Collector]) -> None:
    long = "A9b" * 22_000
    odd = [
        request(1, uri=long, host=long, user_agent=long, method=long, referrer=long, username=long),
        request(2, id__orig_h="no address", id__resp_h="", host="[::", uri="${jndi:ldap://x}/../../../etc/passwd"),
        request(3, ts=None, uid=None, host="\x00\xff", uri="\u202e/%%%?", method="", status_code=None, resp_mime_types=None),
        request(4, id__orig_h=None), request(5, resp_mime_types=[None], resp_fuids=[], resp_filenames=[None]),
        request(6, id__resp_p=None, request_body_len=None, response_body_len=None), request(7, resp_mime_types=["application/x-dosexec"],
        uri="/a.jpg"),
    ]  # fmt: skip
    by_log = collector()
    by_log.add("http", log(odd))
    rows = log([request()])
    for broken in (
        pl.DataFrame(), rows.clear(), rows.select("uid"), rows.with_columns(ts=pl.lit("soon")),
            rows.with_columns(pl.lit(float("nan")).alias("request_body_len")),
        rows.with_columns(pl.lit([1, 2]).alias("uri"), pl.lit(7).alias("host"), pl.lit("x").alias("status_code")),
            rows.with_columns(pl.lit("a,b").alias("resp_mime_types")),
        rows.with_columns(pl.lit(-1).alias("id.resp_p"), pl.lit(1.5).alias("uid")),
            rows.with_columns(pl.lit(2**63, pl.UInt64).alias("response_body_len")),
    ):  # fmt: skip
        for name in collector.reads:
            by_log.add(name, broken)
    assert all(0.1 <= e.score <= 1.0 and len(e.text) < 700 and len(e.subject) < 300 for e in by_log.evidence(SiteView()))
    assert collector().evidence(SiteView()) == []


@pytest.mark.parametrize("collector", COLLECTORS)
def test_a_flood_of_sources_and_paths_is_bounded(collector: type[Collector]) -> None:
    flood = log(
        [
            request(i, uri=f"/.env?{i}", host=f"h{i}.example", user_agent=f"curl/{i}", id__orig_h=f"198.51.{i // 250}.{i % 250}")
            for i in range(20_000)
        ]
    )
    by_log = collector()
    by_log.add("http", flood)
    evidence = by_log.evidence(SiteView())
    assert len(evidence) <= 6 * MAX_FOUND and all(t.height <= 200_000 for t in by_log.tables.values())
    assert all(len(e.uids) <= 10 for e in evidence)


@pytest.mark.parametrize("collector", COLLECTORS)
def test_speed(collector: type[Collector]) -> None:
    rows = log(
        [
            request(
                i,
                uri=f"/a/{i % 97}/page{i % 1_000}.html",
                host=f"h{i % 300}.example",
                id__orig_h=f"10.0.0.{i % 200}",
                id__resp_h=f"203.0.113.{i % 200}",
            )
            for i in range(20_000)
        ]
    )
    by_log = collector()
    by_log.add("http", rows.head(5))
    began = time.process_time()
    by_log.add("http", rows)
    assert rows.height / (time.process_time() - began) > 60_000  # 150,000 and more on a machine without other work


def test_kinds_are_declared_once_and_complete() -> None:
    kinds = [k for collector in COLLECTORS for k in collector.kinds]
    assert len({k.name for k in kinds}) == len(kinds) == 21
    for kind in kinds:
        assert kind.technique[0] == "T" and kind.sentence.format(target=SERVER, subject="x") and kind.next_step[0].islower()
        assert INSIDE not in kind.sentence and OUTSIDE not in kind.sentence
