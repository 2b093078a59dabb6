"""TLS sessions: what counts as evidence, what is ordinary, and that state can be cut anywhere."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mlids.evidence.base import Evidence, SiteView
from mlids.evidence.names import Names
from mlids.evidence.ssl import TlsEvidence
from mlids.zeek.log_types import log_type_of
from mlids.zeek.reader import LogReader, find_logs

AT = datetime(2026, 11, 4, 9, tzinfo=UTC)
HOST, SERVER = "10.0.0.5", "203.0.113.7"


def sessions(n: int = 20, **fields: object) -> pl.DataFrame:
    """Return n answered sessions a minute apart, from HOST to SERVER without a server name, unless `fields` say otherwise."""
    row: dict[str, object] = {
        "uid": [f"C{i}" for i in range(n)], "id.orig_h": HOST, "id.resp_h": SERVER, "id.resp_p": 443, "version": "TLSv12", "cipher": "x",
        "server_name": pl.lit(None, pl.String), "ssl_history": "CsxknGIi", "resumed": False,
    } | {name.replace("__", "."): value for name, value in fields.items()}  # fmt: skip
    frame = pl.DataFrame({"ts": [AT + timedelta(minutes=i) for i in range(n)]})
    return frame.with_columns(
        **{name: pl.Series(v) if isinstance(v, list) else v if isinstance(v, pl.Expr) else pl.lit(v) for name, v in row.items()}
    )


def x509(subject: str, issuer: str | None = None, *, begins: datetime = AT - timedelta(days=100), days: float = 365, key: str = "fingerprint") -> pl.DataFrame:  # fmt: skip
    return pl.DataFrame(
        {
            "ts": [AT], key: ["aa"], "certificate.subject": [subject], "certificate.issuer": [issuer or subject],
            "certificate.not_valid_before": [begins], "certificate.not_valid_after": [begins + timedelta(days=days)],
        }
    )  # fmt: skip


def dns_names(**names: str) -> Names:
    """Return names of a site that resolves what it uses: eight servers besides the given address=name."""
    held = Names()
    answers = {f"198.51.100.{i}": f"www{i}.example.com" for i in range(8)} | {a.replace("_", "."): n for a, n in names.items()}
    held.add("dns", pl.DataFrame({"query": list(answers.values()), "answers": [[a] for a in answers]}))
    return held


def found(*frames: pl.DataFrame, certificates: pl.DataFrame | None = None, names: Names | None = None) -> dict[str, Evidence]:
    watch = TlsEvidence()
    for frame in frames:
        watch.add("ssl", frame)
    if certificates is not None:
        watch.add("x509", certificates)
    return {e.kind: e for e in watch.evidence(SiteView(names=names or dns_names()))}


def logs_of(folder: Path) -> Iterable[tuple[str, pl.DataFrame]]:
    for path in find_logs(folder):
        log = log_type_of(path.name)
        if log in {"ssl", "x509", "dns", "http"}:
            for batch in LogReader(path, log=log):
                yield log, batch.frame


def day(folder: Path) -> list[Evidence]:
    watch, names = TlsEvidence(), Names()
    for log, frame in logs_of(folder):
        names.add(log, frame)
        if log in watch.reads:
            watch.add(log, frame)
    return watch.evidence(SiteView(names=names))


def test_a_bare_address_that_nobody_looked_up() -> None:
    (evidence,) = found(sessions()).values()
    assert (evidence.kind, evidence.source, evidence.target, evidence.port, evidence.count) == ("tls_no_server_name", HOST, SERVER, 443, 20)
    assert evidence.score == pytest.approx(0.5) and "20 sessions on port 443 without a server name" in evidence.text
    assert evidence.uids == tuple(f"C{i}" for i in range(10)) and (evidence.first, evidence.last) == (AT, AT + timedelta(minutes=19))
    assert found(sessions(1))["tls_no_server_name"].score == pytest.approx(0.3)
    assert found(sessions(server_name=SERVER)).keys() == {"tls_no_server_name"}, "an address is no name"


def test_without_dns_log_nobody_can_say_that_it_was_not_looked_up() -> None:
    assert found(sessions(), names=Names())["tls_no_server_name"].score == pytest.approx(0.2)
    # This site resolves elsewhere: of its named servers dns.log knows none.
    elsewhere = [sessions(2, id__resp_h=f"192.0.2.{i}", server_name=f"shop{i}.example") for i in range(20)]
    assert found(*elsewhere, sessions())["tls_no_server_name"].score == pytest.approx(0.2)


@pytest.mark.parametrize(
    "ordinary",
    [
        sessions(500, server_name="push.example.com", id__resp_p=5228),
        sessions(500, server_name="push.example.com", id__resp_p=4070, resumed=True),
        sessions(ssl_history="sxkni"),  # the server's half alone
        sessions(ssl_history="C", version=pl.lit(None, pl.String), cipher=pl.lit(None, pl.String)),  # no answer
        sessions(version="DTLSv12", validation_status="self signed certificate", id__resp_p=50_123),  # a call
        sessions(id__resp_h="1.1.1.1"),
        sessions(id__resp_p=853),
        sessions(id__resp_h="10.0.0.9", validation_status="self signed certificate", id__resp_p=9999),  # a printer
        sessions(id__orig_h=SERVER, id__resp_h="10.0.0.9", validation_status="self signed certificate"),  # a scan from outside
        sessions(server_name="mail.example.com", version="SSLv3"),
        sessions(validation_status="self signed certificate", id__resp_p=25),
        sessions().drop("server_name").with_columns(validation_status=pl.lit("ok")),
    ],
    ids=["push", "odd-port", "half", "no-answer", "dtls", "resolver", "dot", "inside", "inward", "old", "mail", "no-column"],
)  # fmt: skip
def test_ordinary_sessions_are_no_evidence(ordinary: pl.DataFrame) -> None:
    assert found(ordinary) == {}


def test_a_resolved_address_needs_no_server_name() -> None:
    assert found(sessions(), names=dns_names(**{SERVER.replace(".", "_"): "old.example.com"})) == {}


def test_odd_port() -> None:
    kinds = found(sessions(id__resp_p=4444))
    assert kinds.keys() == {"tls_odd_port", "tls_no_server_name"} and kinds["tls_odd_port"].score == pytest.approx(0.45)


@pytest.mark.parametrize("how", ["status", "openssl3", "fingerprint", "file", "log", "log-2012"])
def test_self_signed_however_zeek_writes_it(how: str) -> None:
    subject = "CN=box.example.org,O=Box"
    frame, certificates = sessions(), None
    if how in {"status", "openssl3"}:
        frame = sessions(validation_status="self signed certificate" if how == "status" else "self-signed certificate")
    elif how == "fingerprint":
        frame, certificates = sessions(cert_chain_fps=[["aa", "bb"]] * 20), x509(subject)
    elif how == "file":
        frame, certificates = sessions(cert_chain_fuids=[["aa"]] * 20), x509(subject, key="id")
    elif how == "log":
        frame = sessions(subject=subject, issuer=subject)
    else:
        frame = sessions(subject=subject, issuer_subject=subject)
    evidence = found(frame, certificates=certificates)["tls_self_signed"]
    assert evidence.score == pytest.approx(0.45) and "20 sessions on port 443 with a self-signed certificate" in evidence.text
    assert found(frame, certificates=certificates, names=dns_names(**{SERVER.replace(".", "_"): "box.example.org"}))[
        "tls_self_signed"
    ].score == pytest.approx(0.25)


def test_certificates_of_authorities_and_of_peers_are_ordinary() -> None:
    chain = sessions(cert_chain_fps=[["aa"]] * 20)
    assert "tls_self_signed" not in found(chain, certificates=x509("CN=a.example", "CN=R3,O=Let's Encrypt,C=US"))
    assert "tls_self_signed" not in found(chain, certificates=x509("CN=syncthing"))
    assert "tls_self_signed" not in found(sessions(validation_status="self signed certificate in certificate chain"))


def test_traits_of_a_certificate_raise_it() -> None:
    chain = sessions(cert_chain_fps=[["aa"]] * 20)
    plain = found(chain, certificates=x509("CN=a,O=b"))["tls_self_signed"]
    default = found(chain, certificates=x509("CN=localhost,O=Internet Widgits Pty Ltd,ST=Some-State,C=AU"))["tls_self_signed"]
    young = found(chain, certificates=x509("CN=a,O=b", begins=AT - timedelta(hours=5), days=9_000))["tls_self_signed"]
    assert default.score == pytest.approx(plain.score + 0.15) and "default that nobody filled in" in default.text
    assert young.score == pytest.approx(plain.score + 0.2) and "made 0.2 days before, valid for 25 years" in young.text


@pytest.mark.parametrize(
    ("subject", "tool"),
    [
        ("CN=Major Cobalt Strike,OU=AdvancedPenTesting,O=cobaltstrike,L=Somewhere,ST=Cyberspace,C=Earth", "Cobalt Strike"),
        ("CN=AsyncRAT Server", "AsyncRAT"),
        ("CN=Quasar Server CA", "Quasar"),
        ("CN=DcRat Server,OU=qwqdanchun,O=DcRat By qwqdanchun,L=SH,C=CN", "DcRat"),
        ("emailAddress=synthesize@a.b.net,CN=a.b.net,OU=synthesize,O=A Group,ST=SC,C=US", "Metasploit"),
        ("emailAddress=info@a.b.net,CN=a.b.net,OU=IT,O=A Group,ST=SC,C=US", None),
        ("CN=shop.example.com,O=Mythical Beasts", None),
    ],
)
def test_certificates_that_tools_make(subject: str, tool: str | None) -> None:
    for target in (SERVER, "10.0.0.9"):
        evidence = found(sessions(id__resp_h=target, cert_chain_fps=[["aa"]] * 20), certificates=x509(subject)).get("tls_tool_certificate")
        assert (evidence.subject if evidence else None) == tool
        assert evidence is None or evidence.score >= 0.85


def test_several_bare_servers_with_own_certificates() -> None:
    servers = [sessions(9, id__resp_h=f"{i}.0.113.7", id__resp_p=449, subject=f"CN={i}", issuer=f"CN={i}") for i in range(30, 36)]
    several = found(*servers)["tls_bare_servers"]
    assert several.score > 0.65 and several.count == 54 and "6 bare addresses" in several.text
    assert "tls_bare_servers" not in found(*servers[:2])
    same = found(*[s.with_columns(subject=pl.lit("CN=x"), issuer=pl.lit("CN=x")) for s in servers])["tls_bare_servers"]
    assert "all with the same one" in same.text


def test_a_server_that_many_hosts_use_counts_less() -> None:
    many = [sessions(20, id__orig_h=f"10.0.0.{i}") for i in range(1, 8)]
    assert found(*many)["tls_no_server_name"].score == pytest.approx(0.3)


def test_a_new_certificate_of_an_authority_is_a_hint_for_a_server_of_one_host() -> None:
    new = x509("CN=a.example", "CN=R3,O=Let's Encrypt,C=US", begins=AT - timedelta(hours=9), days=90)
    named = sessions(30, server_name="a.example", cert_chain_fps=[["aa"]] * 30)
    assert found(named, certificates=new)["tls_young_certificate"].score == pytest.approx(0.2)
    assert found(named.head(5), certificates=new) == {}
    assert found(named, certificates=x509("CN=a.example", "CN=R3,O=Let's Encrypt,C=US")) == {}


def test_published_and_rare_fingerprints() -> None:
    tool: dict[str, Any] = {"ja3": "72a589da586844d7f0818ce684948eea", "ja3s": "b742b407517bac9536a77a7b0fee28e9"}
    named = sessions(server_name="a.example", **tool)
    assert found(named)["tls_tool_fingerprint"].score == pytest.approx(0.25)
    assert found(sessions(**tool))["tls_tool_fingerprint"].score == pytest.approx(0.5)
    assert found(sessions(server_name="a.example", ja3=tool["ja3"], ja3s="0" * 32)) == {}, "the client alone is Windows itself"
    others = [sessions(id__orig_h=f"10.0.0.{i}", server_name="b.example", ja3="b" * 32, id__resp_h="192.0.2.2") for i in range(6, 9)]
    assert found(sessions(ja3="c" * 32), *others)["tls_rare_client"].score == pytest.approx(0.2)
    assert "tls_rare_client" not in found(sessions(ja3="b" * 32), *others)


def test_tor(real_data: Path) -> None:
    (tor,) = [e for e in day(real_data / "zat/data") if e.kind == "tor_tls"]
    assert tor.score == pytest.approx(0.7) and tor.count == 54
    names = ["www.w3gxcd7tkzqp.com", "www.kq5jx2zvn4hpw.com"]
    relays = [sessions(3, server_name=n, id__resp_h=f"{i}.0.113.7") for i, n in enumerate(names, 20)]
    assert found(*relays)["tor_tls"].score == pytest.approx(0.55)
    words = ["www.wordpress.com", "www.stackoverflow.com", "www.theguardian.com"]
    assert found(*[sessions(3, server_name=n, id__resp_h=f"{i}.0.113.7") for i, n in enumerate(words, 20)]) == {}


@pytest.mark.parametrize(
    ("capture", "kinds"),
    [
        ("more/sendsafe", {"tls_no_server_name", "tls_odd_port", "tls_self_signed"}),
        ("otrf/datasets/compound/apt29/day1", {"tls_tool_certificate"}),
        ("otrf/datasets/compound/apt29/day2", {"tls_tool_certificate"}),
        ("more/benign-day", set()),
        ("more/zetaswitch", set()),
        ("more/cs-comfoo", set()),
        ("more/warmcookie", set()),
        ("slips", set()),
        ("stratosphere", set()),
        ("rita", set()),
        ("zed", set()),
    ],
)
def test_real_captures(real_data: Path, capture: str, kinds: set[str]) -> None:
    assert {e.kind for e in day(real_data / capture)} == kinds


@pytest.mark.parametrize("capture", ["more/sendsafe", "zat/data", "otrf/datasets/compound/apt29/day1", "rita/proxy_rolling"])
def test_cut_anywhere_gives_the_same(real_data: Path, capture: str) -> None:
    whole = TlsEvidence()
    for log, frame in logs_of(real_data / capture):
        if log in whole.reads:
            whole.add(log, frame)
    pieces = TlsEvidence()
    for log, frame in logs_of(real_data / capture):
        third = frame.height // 3 + 1
        for start in range(0, frame.height if log in whole.reads else 0, third):
            following = TlsEvidence()
            following.tables = dict(pieces.tables)
            following.add(log, frame.slice(start, third))
            pieces = following
    assert pieces.evidence(SiteView()) == whole.evidence(SiteView())
    assert {n: t.height for n, t in pieces.tables.items()} == {n: t.height for n, t in whole.tables.items()}


def test_hostile_and_odd_rows_do_not_stop_it() -> None:
    watch = TlsEvidence()
    watch.add("ssl", pl.DataFrame({"uid": ["C1"]}))
    watch.add("ssl", pl.DataFrame({"cert_chain_fps": [["a"]]}))
    watch.add("x509", pl.DataFrame({"ts": [AT]}))
    watch.add("x509", pl.DataFrame({"fingerprint": ["aa", None, "bb"], "certificate.not_valid_before": [float("nan"), 1e300, None], "certificate_subject": ["é" * 70_000, "", None]}))  # fmt: skip
    watch.add("ssl", sessions(3, id__orig_h="no address", server_name="x" * 65_536, cert_chain_fps=[["aa"], [], None]))
    watch.add("ssl", sessions(2, id__resp_h="", ts=pl.lit(None, pl.Datetime("us", "UTC")), validation_status="self signed certificate"))
    watch.add("ssl", sessions(2, version=7, id__resp_p=pl.lit("x"), ja3=[["a"], ["b"]]))
    watch.add("ssl", sessions(2, id__resp_p=99_999, cert_chain_fps="aa,bb"))
    watch.add("ssl", sessions(0))
    assert {e.target for e in watch.evidence(SiteView(names=dns_names()))} <= {"", SERVER}
    assert TlsEvidence().evidence(SiteView()) == []


def test_state_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlids.evidence.ssl.MAX_PAIRS", 500)
    watch = TlsEvidence()
    for start in range(0, 5_000, 500):
        pairs = [f"198.18.{i // 250}.{i % 250}" for i in range(start, start + 500)]
        watch.add("ssl", sessions(500, id__resp_h=pairs, ja3=[f"{i:032d}" for i in range(500)], subject=pairs))
        watch.add("ssl", sessions(5))
    assert all(table.height <= 500 for table in watch.tables.values())
    assert max(watch.evidence(SiteView(names=dns_names())), key=lambda e: (e.score, e.count)).target == SERVER
