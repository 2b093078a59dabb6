"""Paths that programs make up, from http.log: long random ones, those of published stagers, and one path asked of many hosts.

Stagers of Metasploit and Cobalt Strike choose random letters until the sum of their bytes, modulo 256, is a number that
their server knows. One such path is chance (one in 50); with a program as its answer, or several times, it is not.
"""

from __future__ import annotations

from typing import Any

import polars as pl

from mlids.evidence.base import Collector, Evidence, Kind, SiteView
from mlids.evidence.http_requests import (
    ENDS,
    READ,
    clearest,
    counted,
    few,
    fold_requests,
    hashed,
    joined_few,
    length,
    piece,
    requests,
    size,
    span,
    with_sides,
)  # fmt: skip
from mlids.evidence.tables import ramp, seen_agg, seen_fold

MAX_PATHS = 50_000
HASHES = 64
LONG = 40  # characters
STAGE_BYTES = 50_000  # a stage is a program of 100 KB and more; a stager asks for it first
_PATH = [*ENDS, "host", "bare", "path"]
_SERVER = [*ENDS, "host", "bare"]
# Sums of Metasploit's URIs (init of Windows, native, Java; connect, init and connect) and of Cobalt Strike's (x86, x64).
METERPRETER_SUMS = (92, 80, 88, 98, 95)
STAGER_SUMS = (92, 93)
_RANDOM = r"^/[A-Za-z0-9_/+=-]{40,}(?:\.[a-z]{2,5})?$"
_STAGER = r"^/[A-Za-z0-9]{4}$"
_GATE = r"(?i)/(?:gate|fre|panel/(?:gate|tasks?|post))\.php$"
_MEDIA = r"^(?:image|video|audio|font)/|ocsp|pkix|x-509|javascript|css"
# What every site has, and what pages of one author share.
_SHARED = r"(?i)^/(?:index|default|home|wp-|robots|xmlrpc|search|api|rss|feed|ads?|pixel|track|sync|match|collect|count)"

KINDS = (
    Kind("http_random_paths", "random paths of a remote control program", "asks {subject} for random paths", "T1071.001",
         "find the program that sends the requests, and isolate the source until it is known"),
    Kind("http_stager", "path of a stager", "fetched what looks like the stage of a remote control program from {subject}", "T1105",
         "isolate the source, and look in its memory for what was fetched"),
    Kind("http_many_hosts", "one path of many hosts", "asks many host names for the same path", "T1568.002",
         "look up when the names were registered, and find the program that asks them"),
    Kind("http_gate", "reports to a gate", "posts to {subject} under a path that many bots report to", "T1071.001",
         "compare the server's name with threat lists, and scan the source for malware"),
)  # fmt: skip


class HttpPaths(Collector):
    """Random paths by source and server, and scripts' paths by the hosts they are asked of. State is bounded.

    Tables: `paths`, a row per source, server and random path; `hosts`, a row per source and path of a script.
    """

    reads = {"http": tuple(READ)}
    kinds = KINDS

    def add(self, log: str, rows: pl.DataFrame) -> None:
        """Take a batch of http.log. Rows whose request was not seen are skipped."""
        asked = requests(rows).drop_nulls("method").filter(pl.col("method") != "CONNECT")
        plain = ~pl.col("mime").str.contains(_MEDIA).fill_null(value=False)
        path = pl.col("path")
        stager = path.str.contains(_STAGER) & (pl.col("got") >= STAGE_BYTES)
        gate = (pl.col("method") == "POST") & path.str.contains(_GATE)
        odd = asked.filter(
            plain & ~pl.col("referred") & ((~pl.col("uri").str.contains("?", literal=True) & path.str.contains(_RANDOM)) | stager | gate)
        )
        if odd.height:
            fresh = odd.group_by(_PATH, maintain_order=True).agg(
                most=pl.col("got").max(),
                posts=(pl.col("method") == "POST").sum().cast(pl.Int64),
                agent=pl.col("agent").first(),
                **seen_agg(),
            )
            how = {"most": pl.col("most").max(), "posts": pl.col("posts").sum(), "agent": pl.col("agent").first()}
            fold_requests(self.tables, "paths", fresh, _PATH, how, MAX_PATHS)
        scripts = asked.filter(plain & ~pl.col("bare") & path.str.contains(r"(?i)\.(?:php|aspx?|jsp|cgi)$") & ~path.str.contains(_SHARED))
        if scripts.height:
            failed = pl.col("status").is_null() | (pl.col("status") >= 400)
            fresh = scripts.with_columns(name=hashed("host")).group_by(["source", "path"], maintain_order=True).agg(
                pl.col("target", "port", "agent").first(), hosts=few("name", HASHES), host=pl.col("host").first(),
                failed=failed.sum().cast(pl.Int64), linked=pl.col("referred").sum().cast(pl.Int64), **seen_agg()
            )  # fmt: skip
            firsts = {n: pl.col(n).first() for n in ("target", "port", "agent", "host")}
            sums = {n: pl.col(n).sum() for n in ("failed", "linked")}
            how = {**firsts, **sums, "hosts": joined_few("hosts", HASHES)}
            fold_requests(self.tables, "hosts", fresh, ["source", "path"], how, MAX_PATHS)

    def evidence(self, site: SiteView) -> list[Evidence]:
        """Return what paths show, the clearest first."""
        found: list[Evidence] = []
        if "paths" in self.tables:
            paths = with_sides(self.tables["paths"], site).filter("from_inside")
            paths = paths.with_columns(_sums(paths["path"]))
            called = pl.when(pl.col("host") == "").then(pl.col("target")).otherwise(pl.col("host")).str.head(80)
            paths = paths.with_columns(called=called, users=pl.col("source").n_unique().over("host", "target"))
            found += [*_random(paths), *_stagers(paths), *_gates(paths)]
        if "hosts" in self.tables:
            found += _many_hosts(with_sides(self.tables["hosts"], site))
        return sorted(found, key=lambda e: -e.score)


EVIDENCE = HttpPaths


def _sums(paths: pl.Series) -> pl.Series:
    """Return `sum`: the sum of the bytes of each path without its outer slashes, modulo 256."""
    return pl.Series("sum", [sum(p.strip("/").encode()) % 256 for p in paths.to_list()], dtype=pl.Int64)


def _random(paths: pl.DataFrame) -> list[Evidence]:
    """Return long random paths: one server, all different or one polled again and again, and no page around them."""
    text = pl.col("path").str.replace_all(r"(?i)[0-9a-f-]{16,}", "")  # hashes and GUIDs name files
    mixed = (
        text.str.contains(r"[A-Z]")
        & text.str.contains(r"[a-z]")
        & (text.str.count_matches(r"[0-9]") >= 3)
        & (text.str.count_matches(r"[A-Z]") >= 5)
    )
    # Words between slashes and dashes are an address of a page; OCSP sends its question as base64 of DER.
    worded = text.str.contains(r"[a-z]{8,}") | text.str.contains(r"^(?:/[\w-]+)?/M[A-Z][A-Za-z0-9+/=]")
    whole = pl.col("path").str.contains(r"^/[A-Za-z0-9_-]+/?$")
    odd = paths.filter(text.str.contains(_RANDOM) & mixed & ~worded).with_columns(
        summed=pl.col("sum").is_in(list(METERPRETER_SUMS)) & whole
    )
    by_server = odd.sort("n", descending=True, maintain_order=True).group_by([*_SERVER, "called"], maintain_order=True).agg(
        pl.col("path", "agent", "to_inside").first(), paths=pl.len().cast(pl.Int64), summed=pl.col("summed").sum().cast(pl.Int64),
        most_n=pl.col("n").max(),
        posts=pl.col("posts").sum(), users=pl.col("users").max(), **seen_fold(),
    )  # fmt: skip
    by_sum = (
        pl.when((pl.col("summed") == pl.col("paths")) & (pl.col("summed") >= 2))
        .then(0.8)
        .when((pl.col("summed") == pl.col("paths")) & (pl.col("n") >= 20))
        .then(0.5)
        .otherwise(0.0)
    )
    many = pl.max_horizontal(ramp(pl.col("paths"), 3, 10), ramp(pl.col("most_n"), 10, 50) * pl.col("posts").gt(0).cast(pl.Float64))
    other = many * pl.when("bare").then(0.5).otherwise(0.35) * pl.when(pl.col("users") <= 1).then(1.0).otherwise(0.5)
    return [
        piece("http_random_paths", r, _describe_random(r), r["called"])
        for r in clearest(by_server.with_columns(score=pl.max_horizontal(by_sum, other)))
    ]


def _describe_random(row: dict[str, Any]) -> str:
    asked = f"{counted(row['n'], 'request')} ({row['posts']:,} POST){span(row['first'], row['last'])}"
    paths = f"{counted(row['paths'], 'random path')} of {LONG} characters or more"
    return f"{asked} for {paths}{_summed(row)}, such as {row['path'][:60]}; user agent {row['agent'][:50] or 'none'}"


def _summed(row: dict[str, Any]) -> str:
    return f", {row['summed']:,} of them with the checksum of Meterpreter" if row["summed"] == row["paths"] else ""


def _stagers(paths: pl.DataFrame) -> list[Evidence]:
    odd = paths.filter(pl.col("path").str.contains(_STAGER) & pl.col("sum").is_in(list(STAGER_SUMS)) & (pl.col("most") >= STAGE_BYTES))
    score = pl.when("bare").then(pl.when("to_inside").then(0.4).otherwise(0.5)).otherwise(0.3)
    return [piece("http_stager", r, _describe_stager(r), r["called"]) for r in clearest(odd.with_columns(score=score))]


def _describe_stager(row: dict[str, Any]) -> str:
    sums = "whose checksum is that of a stager of Cobalt Strike or Metasploit"
    bare = ", with no host name" if row["bare"] else ""
    answer = f"answered with {size(row['most'])}{bare}; user agent {row['agent'][:50] or 'none'}"
    return f"{counted(row['n'], 'request')} for {row['path']}, {sums}, {answer}"


def _gates(paths: pl.DataFrame) -> list[Evidence]:
    odd = paths.filter(pl.col("path").str.contains(_GATE) & ~pl.col("to_inside"))
    score = pl.when(pl.col("n") >= 3).then(0.45).otherwise(0.3)
    return [piece("http_gate", r, _describe_gate(r), r["called"]) for r in clearest(odd.with_columns(score=score))]


def _describe_gate(row: dict[str, Any]) -> str:
    asked = f"{counted(row['posts'], 'POST request')}{span(row['first'], row['last'])} to {row['called']}{row['path'][:60]}"
    return f"{asked}, a path that bots report to; user agent {row['agent'][:50] or 'none'}"


def _many_hosts(table: pl.DataFrame) -> list[Evidence]:
    """Return scripts' paths that one source asked of many host names: most answer with errors, or no page led there."""
    share = pl.col("failed") / pl.col("n")
    asked = table.filter(pl.col("from_inside")).with_columns(names=length("hosts"))
    score = ramp(pl.col("names"), 6, 16) * (
        pl.when(pl.col("linked") < 0.5 * pl.col("n")).then(0.3).otherwise(0.0) + 0.6 * ramp(share, 0.2, 0.6)
    ).clip(0.0, 0.6)
    return [piece("http_many_hosts", r, _describe_hosts(r), r["path"][:60]) for r in clearest(asked.with_columns(score=score))]


def _describe_hosts(row: dict[str, Any]) -> str:
    asked = f"{counted(row['n'], 'request')}{span(row['first'], row['last'])} for {row['path'][:60]}"
    names = f"{row['names']:,}{' or more' if row['names'] >= HASHES else ''} host names, such as {row['host'][:60]}"
    return f"{asked} on {names}; {row['failed']:,} failed; user agent {row['agent'][:50] or 'none'}"
