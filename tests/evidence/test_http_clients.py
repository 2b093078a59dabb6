"""Infected clients: each mark alone is a hint, their combination towards one server is more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mlids.evidence.base import SiteView
from mlids.evidence.http_clients import HttpClients
from mlids.evidence.http_polling import steady
from mlids.evidence.names import Names
from tests.evidence.http_rows import BROWSER, OUTSIDE, SERVER, found, log, of_folder, request

BARE: dict[str, Any] = {"host": OUTSIDE}


def polling(n: int = 100, seconds: float = 60.0, **cells: Any) -> list[dict[str, Any]]:
    return [request(i, seconds=seconds, uri="/check", resp_mime_types=None, **cells) for i in range(n)]


def test_steadiness_of_times() -> None:
    minute, jittered = 60_000_000, [int(i * 60e6 + (i * 7919 % 40) * 1e6) for i in range(40)]
    lists = [[i * minute for i in range(40)], sorted(jittered), [2**i * minute for i in range(30)], [0, minute], [], None]
    table = steady(pl.DataFrame({"times": lists}, schema={"times": pl.List(pl.Int64)}), "times")
    assert table["gap_s"].to_list()[0] == 60.0 and table["steadiness"].to_list()[0] == 1.0
    assert table["steadiness"][1] > 0.5 > table["steadiness"][2] and table["steadiness"].to_list()[3:] == [None] * 3


def test_polling_of_a_bare_address() -> None:
    (one,) = found(HttpClients, polling(user_agent="Go-http-client/1.1", **BARE), "http_polling")
    assert (
        one.score == 0.5
        and "100 requests (0 POST) in 99 minutes" in one.text
        and "60 seconds apart" in one.text
        and one.target == OUTSIDE
        and one.port == 80
    )
    (browser,) = found(HttpClients, polling(**BARE), "http_polling")
    assert browser.score < 0.5
    few = [request(i, seconds=60, **BARE) for i in range(8)]
    irregular = [request(i * i, seconds=60, **BARE) for i in range(60)]
    page = [request(i, seconds=60, referrer=f"http://{OUTSIDE}/", **BARE) for i in range(60)]
    inside = polling(host=SERVER, id__resp_h=SERVER)
    for rows in (few, irregular, page, inside, polling()):
        assert found(HttpClients, rows, "http_polling") == []


def test_polling_of_a_name_that_was_never_looked_up() -> None:
    rows = log(
        [
            *polling(method="POST", host="sync.example.net"),
            *(request(i, host="www.example.org", id__resp_h="198.51.100.1") for i in range(3)),
        ]
    )
    answers = pl.DataFrame({"query": ["www.example.org"], "answers": [["198.51.100.1"]]})
    by_http, names = HttpClients(), Names()
    by_http.add("http", rows)
    assert [e for e in by_http.evidence(SiteView(names=names)) if e.kind == "http_polling"] == [], "without dns.log nothing is known"
    names.add("dns", answers)
    (one,) = [e for e in by_http.evidence(SiteView(names=names)) if e.kind == "http_polling"]
    assert 0.3 <= one.score < 0.5 and "never looked up" in one.text
    names.add("dns", pl.DataFrame({"query": ["sync.example.net"], "answers": [[OUTSIDE]]}))
    assert [e for e in by_http.evidence(SiteView(names=names)) if e.kind == "http_polling"] == []


def test_an_address_as_host_is_a_hint_once() -> None:
    (one,) = found(HttpClients, [request(i, method="POST", **BARE) for i in range(4)])
    assert one.kind == "http_bare_host" and one.score == 0.3
    assert found(HttpClients, [request(i, host=SERVER, id__resp_h=SERVER) for i in range(4)]) == []
    assert found(HttpClients, [request(i, host=None, method=None) for i in range(40)]) == [], "the sensor missed the requests"
    script = found(HttpClients, [request(i, user_agent="curl/8.5.0", **BARE) for i in range(4)])
    assert [e.kind for e in script] == ["http_script"]  # the same fact is not told twice
    (cache,) = found(
        HttpClients,
        [request(i, user_agent="Microsoft-Delivery-Optimization/10.0", uri="/filestreamingservice/files/x", **BARE) for i in range(4)],
    )
    assert cache.score == 0.1


def test_uploads() -> None:
    rows = [
        request(i, method="POST", request_body_len=1_048_576, uri=f"/upload?chunk={i}", user_agent="Go-http-client/1.1") for i in range(27)
    ]
    (named,) = found(HttpClients, rows, "http_upload")
    assert 0.3 < named.score < 0.45 and "28.3 MB sent in 27 POST or PUT requests" in named.text
    (bare,) = found(HttpClients, [r | BARE for r in rows], "http_upload")
    assert bare.score > 0.5
    assert found(HttpClients, [r | {"response_body_len": 900_000} for r in rows], "http_upload") == []
    assert found(HttpClients, [r | {"id.resp_h": SERVER} for r in rows], "http_upload") == []


@pytest.mark.parametrize(
    ("agent", "bare", "named"),
    [
        ("Mozilla/5.0 (Windows NT; Windows NT 10.0; en-US) WindowsPowerShell/5.1", 0.45, 0.3),
        ("CertUtil URL Agent", 0.45, 0.35),
        ("Microsoft BITS/7.8", 0.45, None),
        ("Microsoft-WebDAV-MiniRedir/10.0.19045", 0.5, 0.35),
        ("Mozilla/4.0 (compatible; MSIE 2.0; Windows NT 5.0)", 0.35, 0.25),
        ("Wget/1.21", 0.25, None),
        ("python-requests/2.31", 0.25, None),
        (None, 0.15, None),
        (BROWSER, None, None),
        ("Debian APT-HTTP/1.3 (2.4.6)", None, None),
    ],
)
def test_scripts(agent: str | None, bare: float | None, named: float | None) -> None:
    def scores(host: str) -> list[float]:
        return [e.score for e in found(HttpClients, [request(user_agent=agent, host=host)], "http_script")]

    assert scores(OUTSIDE) == ([] if bare is None else [bare]) and scores("files.example.net") == ([] if named is None else [named])
    assert [e.score for e in found(HttpClients, [request(user_agent=agent, host="download.windowsupdate.com")], "http_script")] == []


def test_one_program_that_asks_many_servers_is_one_piece() -> None:
    rows = [request(i, host=f"h{i}.example", user_agent="Mozilla/4.0 (compatible; MSIE 2.0; Windows NT 5.0)") for i in range(50)]
    (one,) = found(HttpClients, rows)
    assert one.score == 0.4 and "50 servers" in one.text


def test_look_ups_of_the_own_address() -> None:
    (one,) = found(HttpClients, [request(host="api.ipify.org:80")])
    assert one.kind == "ip_lookup" and one.score == 0.2 and one.subject == "api.ipify.org"
    often = [request(i, seconds=1_200, host="icanhazip.com") for i in range(8)]
    assert [e.score for e in found(HttpClients, [*often, request(host="ip-api.com", uri="/json")])] == [0.4, 0.3]
    assert found(HttpClients, [request(host="notipify.org"), request(host="ipify.org.example.com")]) == []


def test_a_user_agent_of_one_host_says_something_only_at_a_site_of_many() -> None:
    rows = [request(i, seconds=37 * (1 + i % 5), user_agent="Updater 1.0", host="u.example", id__resp_h="198.51.100.9") for i in range(20)]
    others = [request(i, id__orig_h=f"10.0.0.{i}", id__resp_h="198.51.100.1") for i in range(20, 40)]
    (one,) = found(HttpClients, rows + others, "http_rare_agent")
    assert one.score == 0.2 and one.subject == "Updater 1.0" and one.source == "10.0.0.5"
    assert found(HttpClients, rows, "http_rare_agent") == []
    assert found(HttpClients, [*rows, *others, request(user_agent="Updater 1.0", id__orig_h="10.0.0.77")], "http_rare_agent") == []


def test_routine_polling_is_no_evidence() -> None:
    checks = [request(i, seconds=300, host="connectivity-check.ubuntu.com", user_agent=None, status_code=204) for i in range(80)]
    certificates = [
        request(i, seconds=300, method="POST", host="ocsp.example.com", resp_mime_types=["application/ocsp-response"]) for i in range(80)
    ]
    assert found(HttpClients, checks + certificates) == []


def test_real_captures(real_data: Path) -> None:
    assert of_folder(HttpClients, real_data / "more/benign-day") == []
    rows = of_folder(HttpClients, real_data / "more/zetaswitch")
    assert {e.kind for e in rows if e.score >= 0.5} == {"http_polling", "http_upload"} and len(
        {e.target for e in rows if e.score >= 0.2}
    ) == 1
    assert max(e.score for e in of_folder(HttpClients, real_data / "more/sendsafe") if e.kind == "ip_lookup") == 0.4
    for folder in ("rita/2024-04-19", "stratosphere/008-zeek-mixed", "stratosphere/010-zeek-mixed"):
        assert all(e.score <= 0.3 for e in of_folder(HttpClients, real_data / folder))
