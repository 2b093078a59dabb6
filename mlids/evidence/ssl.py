"""TLS sessions that look like command and control, from ssl.log and x509.log.

Malware talks TLS to bare addresses: it names no server, nobody looked the address up, and the server's certificate is signed
by itself. Each of them is seldom in ordinary traffic to the outside. Inside a site printers, storage and hypervisors
do the same, so that only certificates of known tools count there.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import polars as pl

from mlids.evidence.base import Collector, Evidence, Kind, SiteView
from mlids.evidence.certificates import CERTIFICATES, certificates_of, judged_certificates
from mlids.evidence.labels import word_share
from mlids.evidence.published import PUBLIC_RESOLVERS, TOOL_FINGERPRINTS
from mlids.evidence.tables import columns, fold, joined, joined_uids, ramp, seen_agg, seen_fold
from mlids.features.ports import TLS, uses_of
from mlids.zeek.types import STRINGS, TIME

MAX_PAIRS = 200_000
# Mail servers, resolvers, and remote desktops answer TLS by address, and mostly with certificates of their own.
NAMELESS_PORTS = (25, 53, 110, 143, 389, 465, 587, 636, 853, 993, 995, 3389, 5061, 5349, 5986)
MANY_SOURCES = 5  # a server that so many hosts of the site use is a service of the site
YOUNG_DAYS, LONG_YEARS = 2.0, 20.0
LARGE_SITE = 3  # hosts with fingerprints, from which on one client program of one host is seldom

_COLUMNS = {
    "ts": TIME, "uid": pl.String(), "id.orig_h": pl.String(), "id.resp_h": pl.String(), "id.resp_p": pl.UInt32(), "version": pl.String(),
    "cipher": pl.String(), "server_name": pl.String(), "resumed": pl.Boolean(), "validation_status": pl.String(), "ssl_history": pl.String(),
    "ja3": pl.String(), "ja3s": pl.String(), "ja4": pl.String(),
}  # fmt: skip
# Who writes the certificate itself into ssl.log, and who only its fingerprint or id, depends on Zeek's version.
_OF_CERTIFICATE = {
    "subject": pl.String(), "issuer": pl.String(), "issuer_subject": pl.String(), "cert_hash": pl.String(), "cert_chain_fps": STRINGS,
    "cert_chain_fuids": STRINGS,
}  # fmt: skip
_PAIR = ["id.orig_h", "id.resp_h", "id.resp_p"]
_ADDRESS = r"^\[?([0-9]{1,3}(\.[0-9]{1,3}){3}|[0-9a-fA-F:]*:[0-9a-fA-F:]*:[0-9a-fA-F:.]*)\]?$"
_SELF_SIGNED = r"(?i)^self.signed certificate$"
_TOR_NAME = r"^www\.([a-z2-7]{8,20})\.(com|net)$"
_SUMS = ("answered", "nameless", "resumed", "self_signed", "tor_names")
_HOW: Mapping[str, pl.Expr] = {
    **{name: pl.col(name).sum() for name in _SUMS}, "sni": pl.col("sni").any(), "name": pl.col("name").drop_nulls().first(),
    "certs": joined("certs", 4), **seen_fold(),
}  # fmt: skip
_CLIENT = [*_PAIR, "ja3", "ja3s", "ja4"]

_TECHNIQUE = "T1573.002"
_NEXT = "find the process that opens the connections; compare the certificate and the address with threat intelligence"


class TlsEvidence(Collector):
    """TLS sessions by source, server and port, with the certificates and fingerprints seen. At most MAX_PAIRS of each are kept."""

    reads = {
        "ssl": (*_COLUMNS, *_OF_CERTIFICATE),
        "x509": (
            "id", "fingerprint",
            *(f"certificate{dot}{field}" for field in ("subject", "issuer", "not_valid_before", "not_valid_after") for dot in "._"),
        ),
    }  # fmt: skip
    kinds = (
        Kind(
            "tls_tool_certificate", title="certificate of an attack tool", technique=_TECHNIQUE,
            sentence="talks to {target}, whose certificate is that of {subject}", next_step=f"isolate the host; {_NEXT}",
        ),
        Kind(
            "tls_self_signed", title="self-signed certificate outside", technique=_TECHNIQUE,
            sentence="talks TLS to {target}, whose certificate is signed by itself", next_step=_NEXT,
        ),
        Kind(
            "tls_no_server_name", title="TLS without a server name", technique="T1573",
            sentence="talks TLS to the bare address {target}", next_step=_NEXT,
        ),
        Kind("tls_odd_port", title="TLS on an odd port", technique="T1571", sentence="talks TLS to {target} on a port where it is not usual", next_step=_NEXT),
        Kind(
            "tls_bare_servers", title="several servers with own certificates", technique="T1008",
            sentence="talks TLS to several bare addresses with self-signed certificates", next_step=f"isolate the host; {_NEXT}",
        ),
        Kind(
            "tls_young_certificate", title="new certificate", technique="T1588.004", sentence="talks to {target}, whose certificate is new",
            next_step="see when the domain was registered, and who else talks to it",
        ),
        Kind(
            "tls_tool_fingerprint", title="TLS fingerprint of an attack tool", technique=_TECHNIQUE,
            sentence="talks to {target} with TLS fingerprints published for {subject}", next_step=_NEXT,
        ),
        Kind(
            "tls_rare_client", title="rare TLS client", technique=_TECHNIQUE,
            sentence="talks to {target} with a TLS client that nobody else has", next_step="find the program that has this fingerprint",
        ),
        Kind(
            "tor_tls", title="Tor", technique="T1090.003", sentence="talks to Tor relays",
            next_step="ask whether Tor is allowed there; if not, find the program that uses it",
        ),
    )  # fmt: skip

    def add(self, log: str, rows: pl.DataFrame) -> None:
        """Take a batch of ssl.log or x509.log. Missing columns count as null; DTLS is skipped, as calls use it between peers."""
        if log == "x509":
            self._add_certificates(certificates_of(rows))
            return
        chains = pl.col("cert_chain_fps", "cert_chain_fuids").list.first()
        ssl = columns(rows, _COLUMNS | _OF_CERTIFICATE).with_columns(chain=pl.coalesce(chains).str.head(64))
        version = pl.col("version")
        ssl = ssl.drop_nulls(_PAIR).filter(~version.str.starts_with("DTLS").fill_null(False))
        if ssl.is_empty():
            return
        subject, issuer = pl.col("subject"), pl.coalesce("issuer", "issuer_subject")
        ssl = ssl.with_columns(
            issuer=issuer, cert=pl.coalesce("chain", "cert_hash", pl.when(subject.is_not_null()).then(pl.concat_str(subject, pl.lit("|"), issuer.fill_null("")))),
            name=pl.col("server_name").str.to_lowercase(),
        ).with_columns(no_name=pl.col("name").is_null() | (pl.col("name") == "") | pl.col("name").str.contains(_ADDRESS))  # fmt: skip
        described = ssl.filter(subject.is_not_null() & pl.col("cert").is_not_null())
        self._add_certificates(
            described.select(id="cert", subject="subject", issuer="issuer", begins=pl.lit(None, pl.Float64), ends=pl.lit(None, pl.Float64))
        )
        # Zeek logs a session also where it saw the server's half alone: then there was no name to be seen.
        hello = pl.coalesce(pl.col("ssl_history").str.contains("C", literal=True), version.is_not_null() | pl.col("cipher").is_not_null())
        answered = hello & (version.is_not_null() | pl.col("cipher").is_not_null())
        seen = ssl.with_columns(answered=answered, named=pl.when(~pl.col("no_name")).then("name")).group_by(_PAIR, maintain_order=True)
        fresh = seen.agg(
            answered=_count(pl.col("answered")), nameless=_count(pl.col("answered") & pl.col("no_name")),
            resumed=_count(pl.col("resumed")), self_signed=_count(pl.col("validation_status").str.contains(_SELF_SIGNED)),
            tor_names=_count(pl.col("named").str.contains(_TOR_NAME)),
            sni=pl.lit("server_name" in rows.columns), name=pl.col("named").drop_nulls().first(),
            certs=pl.col("cert").drop_nulls().unique(maintain_order=True).head(4), **seen_agg(),
        )  # fmt: skip
        self.tables["sessions"] = fold(self.tables.get("sessions"), fresh, _PAIR, _HOW, largest="n", most=MAX_PAIRS)
        clients = ssl.filter(pl.any_horizontal(pl.col("ja3", "ja4").is_not_null()))
        if not clients.is_empty():
            used = clients.group_by(_CLIENT, maintain_order=True).agg(n=pl.len().cast(pl.Int64))
            self.tables["clients"] = fold(self.tables.get("clients"), used, _CLIENT, {"n": pl.col("n").sum()}, largest="n", most=MAX_PAIRS)

    def _add_certificates(self, found: pl.DataFrame) -> None:
        if found.is_empty():
            return
        how = {name: pl.col(name).drop_nulls().first() for name in CERTIFICATES} | {"n": pl.col("n").sum()}
        fresh = found.with_columns(n=pl.lit(1, pl.Int64)).group_by("id", maintain_order=True).agg(e.alias(n) for n, e in how.items())
        self.tables["certificates"] = fold(self.tables.get("certificates"), fresh, ["id"], how, largest="n", most=MAX_PAIRS)

    def evidence(self, site: SiteView) -> list[Evidence]:
        """Return the evidence of each source, server and port, a kind each; the clearest first."""
        if "sessions" not in self.tables:
            return []
        pairs = self._judged(site)
        found = [
            *_tool_certificates(pairs), *_self_signed(pairs), *_no_names(pairs), *_odd_ports(pairs), *_bare_servers(pairs), *_young(pairs),
            *_tor(pairs), *self._fingerprints(pairs),
        ]  # fmt: skip
        return sorted(found, key=lambda e: -e.score)

    def _judged(self, site: SiteView) -> pl.DataFrame:
        """Return the sessions with what is known about their ends and certificates.

        `bare`: the target has no name. `sure` is 0 to 1: how much a missing name says, by the share of named servers that were looked up in dns.log.
        """
        pairs = self.tables["sessions"]
        known = site.names.of(pairs["id.resp_h"]).select("resolved", "sent", known="name")
        pairs = pl.concat([pairs, known], how="horizontal").with_columns(
            site.inside(pairs["id.orig_h"]).alias("from_inside"), site.inside(pairs["id.resp_h"]).alias("to_inside"),
            sources=pl.col("id.orig_h").n_unique().over("id.resp_h", "id.resp_p"), usual=pl.Series(uses_of(pairs["id.resp_p"]) & TLS > 0),
        )  # fmt: skip
        outward = pairs.filter(pl.col("from_inside") & ~pl.col("to_inside"))
        named = outward.filter(pl.col("name").is_not_null() & (pl.col("tor_names") == 0)).unique("id.resp_h")
        looked_up = (named["resolved"].sum() + 1) / (named.height + 1) if "dns" in site.names.judged else 0.0
        sni = bool(pairs["sni"].any())  # a log without the column has no names to miss
        pairs = pairs.join(
            judged_certificates(pairs.select(*_PAIR, "certs"), self.tables.get("certificates"), _PAIR),
            on=_PAIR,
            how="left",
            maintain_order="left",
        )
        return pairs.with_columns(
            outward=pl.col("from_inside") & ~pl.col("to_inside"),
            own=(pl.col("own").fill_null(False) | (pl.col("self_signed") > 0)) & ~pl.col("peers").fill_null(False),
            bare=pl.lit(sni) & (pl.col("nameless") >= 0.8 * pl.col("answered")) & (pl.col("nameless") > 0) & ~pl.col("resolved") & ~pl.col("sent"),
            sure=ramp(pl.lit(looked_up), 0.3, 0.8), shared=pl.when(pl.col("sources") >= MANY_SOURCES).then(0.6).otherwise(1.0),
            age_days=(pl.col("first").dt.epoch("s").cast(pl.Float64) - pl.col("begins")) / 86_400,
            years=(pl.col("ends") - pl.col("begins")) / 31_557_600,
        )  # fmt: skip

    def _fingerprints(self, pairs: pl.DataFrame) -> list[Evidence]:
        clients = self.tables.get("clients")
        if clients is None:
            return []
        known = pl.DataFrame(TOOL_FINGERPRINTS, schema=["tool", "ja3", "ja3s"], orient="row")
        used = clients.join(pairs.filter("outward").drop("n"), on=_PAIR, maintain_order="left")
        tools = used.join(known, on=["ja3", "ja3s"], maintain_order="left")
        tools = tools.with_columns(score=pl.when(pl.col("own") | pl.col("bare")).then(0.5).otherwise(0.25) * pl.col("shared"))
        found = [
            _piece("tls_tool_fingerprint", row, row["tool"], f"{_sessions(row['n'])} whose JA3 and JA3S were published for {row['tool']}")
            for row in _best(tools, row_key=[*_PAIR, "tool"]).iter_rows(named=True)
        ]
        mark = pl.coalesce("ja4", "ja3")  # JA3 differs from session to session where the client shuffles its extensions; JA4 sorts them
        alone = used.with_columns(mark=mark).join(
            clients.group_by(mark.alias("mark")).agg(users=pl.col("id.orig_h").n_unique(), servers=pl.col("id.resp_h").n_unique()), on="mark", maintain_order="left"
        )  # fmt: skip
        if clients["id.orig_h"].n_unique() < LARGE_SITE:
            return found
        alone = alone.filter((pl.col("users") == 1) & (pl.col("servers") == 1) & (pl.col("n") >= 10) & (pl.col("own") | pl.col("bare")))
        alone = _best(alone.with_columns(score=pl.lit(0.2)), row_key=_PAIR)
        return found + [
            _piece(
                "tls_rare_client",
                row,
                row["id.resp_h"],
                f"{_sessions(row['n'])} of a client program whose fingerprint is seen nowhere else",
            )
            for row in alone.iter_rows(named=True)
        ]


EVIDENCE = TlsEvidence


def _count(flag: pl.Expr) -> pl.Expr:
    return flag.fill_null(False).sum().cast(pl.Int64)


def _best(rows: pl.DataFrame, row_key: list[str] = _PAIR, most: int = 10_000) -> pl.DataFrame:
    """Return the rows that count as evidence, the highest score first: one per key."""
    return (
        rows.filter(pl.col("score") >= 0.1)
        .sort("score", "n", *_PAIR, descending=[True, True, False, False, False])
        .unique(row_key, keep="first", maintain_order=True)
        .head(most)
    )


def _piece(kind: str, row: dict[str, object], subject: object, text: str) -> Evidence:
    known = row["name"] or row["known"]
    text += _span(row) + (f"; the server is {str(known)[:80]}" if known else "")
    return Evidence(
        kind=kind, score=float(str(row["score"])), text=text, uids=tuple(row["uids"]), source=str(row["id.orig_h"]), subject=str(subject), target=str(row["id.resp_h"]),  # type: ignore[arg-type]
        port=row["id.resp_p"], proto="tcp", first=row["first"], last=row["last"], count=row["n"],  # type: ignore[arg-type]
    )  # fmt: skip


def _span(row: dict[str, object]) -> str:
    first, last, resumed = row["first"], row["last"], row["resumed"]
    seconds = (last - first).total_seconds() if isinstance(first, datetime) and isinstance(last, datetime) else 0.0
    span = f", within {seconds / 3600:.1f} h" if seconds >= 3600 else f", within {seconds / 60:.0f} min" if seconds >= 60 else ""
    return span + (f", {resumed:,} of them resumed" if resumed else "")


def _sessions(n: int, what: str = "session") -> str:
    return f"{n:,} {what}{'s' * (n != 1)}"


def _tool_certificates(pairs: pl.DataFrame) -> list[Evidence]:
    rows = _best(pairs.filter(pl.col("tool").is_not_null()).with_columns(score=pl.col("tool_score")))
    return [
        _piece("tls_tool_certificate", row, row["tool"], f"{_sessions(row['n'])} on port {row['id.resp_p']} with the certificate {row['subject'][:120]}, as {row['tool']} makes it")
        for row in rows.iter_rows(named=True)
    ]  # fmt: skip


def _self_signed(pairs: pl.DataFrame) -> list[Evidence]:
    young, endless = pl.col("age_days").is_between(-0.1, YOUNG_DAYS).fill_null(False), (pl.col("years") >= LONG_YEARS).fill_null(False)
    traits = 0.15 * pl.col("default").fill_null(False).cast(pl.Float64) + 0.1 * (young.cast(pl.Float64) + endless.cast(pl.Float64))
    base = pl.when("bare").then(0.35 + 0.1 * pl.col("sure")).otherwise(0.25)
    rows = pairs.filter(pl.col("outward") & pl.col("own") & ~pl.col("id.resp_p").is_in(NAMELESS_PORTS) & pl.col("tool").is_null())
    rows = rows.with_columns(young=young, endless=endless, score=(base + traits).clip(0.0, 0.75) * pl.col("shared"))
    found = []
    for row in _best(rows).iter_rows(named=True):
        text = f"{_sessions(row['n'])} on port {row['id.resp_p']} with a self-signed certificate"
        text += f" ({row['subject'][:100]})" if row["subject"] else ""
        text += ", a default that nobody filled in" if row["default"] else ""
        text += f", made {max(row['age_days'], 0):.1f} days before" if row["young"] else ""
        text += f", valid for {row['years']:.0f} years" if row["endless"] else ""
        found.append(_piece("tls_self_signed", row, row["id.resp_h"], text))
    return found


def _no_names(pairs: pl.DataFrame) -> list[Evidence]:
    rows = pairs.filter(
        pl.col("outward") & pl.col("bare") & ~pl.col("id.resp_p").is_in(NAMELESS_PORTS) & ~pl.col("id.resp_h").is_in(PUBLIC_RESOLVERS)
    )
    score = 0.2 + pl.col("sure") * (0.1 + 0.2 * ramp(pl.col("nameless").cast(pl.Float64), 1, 20))
    return [
        _piece("tls_no_server_name", row, row["id.resp_h"], f"{_sessions(row['nameless'])} on port {row['id.resp_p']} without a server name, to an address that nobody looked up")
        for row in _best(rows.with_columns(score=score * pl.col("shared"))).iter_rows(named=True)
    ]  # fmt: skip


def _odd_ports(pairs: pl.DataFrame) -> list[Evidence]:
    rows = pairs.filter(pl.col("outward") & pl.col("bare") & ~pl.col("usual") & ~pl.col("id.resp_h").is_in(PUBLIC_RESOLVERS))
    score = 0.2 + pl.col("sure") * (0.1 + 0.15 * ramp(pl.col("nameless").cast(pl.Float64), 1, 10))
    return [
        _piece(
            "tls_odd_port",
            row,
            row["id.resp_p"],
            f"{_sessions(row['n'], 'TLS session')} on port {row['id.resp_p']}, where TLS is not usual",
        )
        for row in _best(rows.with_columns(score=score * pl.col("shared"))).iter_rows(named=True)
    ]


def _bare_servers(pairs: pl.DataFrame) -> list[Evidence]:
    rows = pairs.filter(pl.col("outward") & pl.col("bare") & pl.col("own") & ~pl.col("id.resp_p").is_in(NAMELESS_PORTS))
    network = pl.col("id.resp_h").str.extract(r"^(\d+\.\d+|[0-9a-fA-F]*:[0-9a-fA-F]*)")
    sources = rows.sort("n", descending=True, maintain_order=True).group_by("id.orig_h", maintain_order=True).agg(
        pl.col("id.resp_h", "id.resp_p", "name", "known").first(), pl.col("n", "resumed").sum(), pl.col("first").min(), pl.col("last").max(),
        servers=pl.col("id.resp_h").n_unique(), networks=network.n_unique(), certificates=pl.col("identity").drop_nulls().n_unique(),
        uids=joined_uids(), sure=pl.col("sure").first(),
    )  # fmt: skip
    sources = sources.filter((pl.col("servers") >= 3) & (pl.col("networks") >= 3))
    score = 0.4 + pl.col("sure") * 0.2 + 0.2 * ramp(pl.col("servers").cast(pl.Float64), 3, 8)
    return [
        _piece(
            "tls_bare_servers", row, "TLS",
            f"{_sessions(row['n'])} to {row['servers']:,} bare addresses with self-signed certificates" + (", all with the same one" if row["certificates"] == 1 else ""),
        )
        for row in _best(sources.with_columns(score=score)).iter_rows(named=True)
    ]  # fmt: skip


def _young(pairs: pl.DataFrame) -> list[Evidence]:
    """A certificate that an authority made just now, of a server that one host alone talks to, often."""
    rows = pairs.filter(
        pl.col("outward")
        & ~pl.col("own")
        & (pl.col("sources") == 1)
        & (pl.col("n") >= 20)
        & pl.col("age_days").is_between(-0.1, YOUNG_DAYS)
    )
    return [
        _piece("tls_young_certificate", row, row["name"] or row["id.resp_h"], f"{_sessions(row['n'])} with a certificate made {max(row['age_days'], 0):.1f} days before the first")
        for row in _best(rows.with_columns(score=pl.lit(0.2))).iter_rows(named=True)
    ]  # fmt: skip


def _tor(pairs: pl.DataFrame) -> list[Evidence]:
    """Tor's own certificates, or names of its form that nobody looked up, by source."""
    rows = pairs.filter(pl.col("from_inside"))
    label = pl.Series("random", word_share(rows["name"].str.extract(_TOR_NAME)) < 0.4)
    named = (pl.col("tor_names") > 0) & pl.lit(label).fill_null(False) & ~pl.col("resolved")
    rows = rows.with_columns(relay=named, certified=pl.col("tor").fill_null(False)).filter(pl.col("relay") | pl.col("certified"))
    sources = rows.sort("n", descending=True, maintain_order=True).group_by("id.orig_h", maintain_order=True).agg(
        pl.col("id.resp_h", "id.resp_p", "name", "known").first(), pl.col("n", "resumed").sum(), pl.col("first").min(), pl.col("last").max(),
        servers=pl.col("id.resp_h").n_unique(), certified=pl.col("certified").sum(), relays=pl.col("relay").sum(), uids=joined_uids(), sure=pl.col("sure").first(),
    )  # fmt: skip
    few = pl.when(pl.col("relays") >= 2).then(0.35 + 0.2 * pl.col("sure")).otherwise(0.3 * pl.col("sure"))
    sources = sources.with_columns(score=pl.when(pl.col("certified") > 0).then(0.7).otherwise(few))
    return [
        _piece("tor_tls", row, "Tor", f"{_sessions(row['n'])} to {row['servers']:,} servers with names and certificates of the form that Tor makes up")
        for row in _best(sources).iter_rows(named=True)
    ]  # fmt: skip
