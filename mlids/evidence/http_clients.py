"""Infected clients, from http.log: requests to bare addresses, steady polling, uploads, scripts, random paths.

Each of these is also done by some honest program, so that most are hints. What is seldom honest is their combination
towards one server: a bare address, polled steadily for hours, by no browser, with more sent than received.
"""

from __future__ import annotations

from typing import Any

import polars as pl

from mlids.evidence.base import Collector, Evidence, Kind, SiteView
from mlids.evidence.http_polling import steady
from mlids.evidence.http_requests import (
    ENDS,
    READ,
    clearest,
    counted,
    distinct,
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
    with_tool,
)  # fmt: skip
from mlids.evidence.http_services import CACHE, CERTIFICATES, IP_LOOKUPS, ROUTINE
from mlids.evidence.tables import ramp, seen_agg, seen_fold

MAX_SERVERS = 50_000
MAX_AGENTS = 20_000
TIMES = 128  # of requests to one server that are kept
HASHES = 32
FEW_BYTES, MANY_BYTES = 1e6, 1e8  # sent to one server
MANY_SOURCES = 5  # hosts of a site that use HTTP, from which on it says something that only one of them knows a server
_SERVER = [*ENDS, "host", "bare"]
KINDS = (
    Kind("http_bare_host", "requests to a bare address", "sends HTTP requests to the address {target}, without a host name", "T1071.001",
         "find the program that sends them, and look up who runs the address"),
    Kind("http_polling", "steady polling over HTTP", "asks {subject} at steady intervals", "T1071.001",
         "find the program that sends the requests, and compare its file with known software"),
    Kind("http_upload", "upload over HTTP", "uploads much over plain HTTP to {subject}", "T1048.003",
         "find out which files were read on the source at that time, and who runs the server"),
    Kind("http_script", "a script that uses HTTP", "sends HTTP requests to {subject} from a script or tool", "T1059",
         "look for the script in the process list and the scheduled tasks of the source"),
    Kind("ip_lookup", "look-up of its own address", "asks {subject} for the public address of the site", "T1016",
         "find the program that asked; on a server or a workstation without such a tool, scan the host for malware"),
    Kind("http_rare_agent", "user agent of one host only", "alone uses the user agent {subject}", "T1071.001",
         "find the program with this user agent on the source"),
)  # fmt: skip


class HttpClients(Collector):
    """Requests by source and server, and user agents by who uses them. State is bounded: the largest rows are kept.

    Tables: `servers`, a row per source, server and Host; `scripts`, the same by sort of agent; `agents`, a row per user agent.
    """

    reads = {"http": tuple(READ)}
    kinds = KINDS

    def add(self, log: str, rows: pl.DataFrame) -> None:
        """Take a batch of http.log. Rows whose request was not seen are skipped."""
        asked = requests(rows).filter(pl.col("method").is_not_null() & (pl.col("method") != "CONNECT"))
        asked = with_tool(asked.filter(~pl.col("mime").str.contains(CERTIFICATES).fill_null(value=False)))
        if asked.is_empty():
            return
        sums = {name: pl.col(name).sum() for name in ("posts", "sent", "got", "pages")}
        kept = {"path": pl.col("path").first(), "agent": pl.col("agent").first(), "tool": pl.col("tool").drop_nulls().first()}
        how = {**sums, **kept, "times": joined_few("times", TIMES), "paths": joined_few("paths", HASHES)}
        fold_requests(self.tables, "servers", _servers(asked), _SERVER, how, MAX_SERVERS)
        scripts = (
            asked.drop_nulls("tool").group_by([*_SERVER, "tool"], maintain_order=True).agg(pl.col("agent", "path").first(), **seen_agg())
        )
        fold_requests(self.tables, "scripts", scripts, [*_SERVER, "tool"], {n: pl.col(n).first() for n in ("agent", "path")}, MAX_SERVERS)
        agents = asked.filter(pl.col("agent") != "").group_by("agent", maintain_order=True).agg(
            sources=few("source", 2), targets=few("target", 2), port=pl.col("port").min(), **seen_agg()
        )  # fmt: skip
        used = {"sources": joined_few("sources", 2), "targets": joined_few("targets", 2), "port": pl.col("port").min()}
        fold_requests(self.tables, "agents", agents, ["agent"], used, MAX_AGENTS)

    def evidence(self, site: SiteView) -> list[Evidence]:
        """Return what clients did, the clearest first."""
        if "servers" not in self.tables:
            return []
        servers = _judged(with_sides(self.tables["servers"], site), site)
        scripts = with_sides(self.tables["scripts"], site)
        found = [
            *_polling(servers),
            *_uploads(servers),
            *_scripts(scripts),
            *_lookups(servers),
            *_rare_agents(self.tables["agents"], servers),
        ]
        known = {(e.source, e.target) for e in found}  # the same requests once more would count twice
        found += [e for e in _bare(servers) if (e.source, e.target) not in known]
        return sorted(found, key=lambda e: -e.score)


EVIDENCE = HttpClients


def _servers(asked: pl.DataFrame) -> pl.DataFrame:
    page = pl.col("referred") | pl.col("mime").str.contains(
        r"^(?:image/(?!gif)|text/css|font|application/(?:font|javascript))".replace("(?!gif)", "")
    ).fill_null(value=False)
    return asked.with_columns(hashed=hashed("path"), us=pl.col("ts").dt.epoch("us")).group_by(_SERVER, maintain_order=True).agg(
        posts=(pl.col("method").is_in(["POST", "PUT"])).sum().cast(pl.Int64), sent=pl.col("sent").sum(), got=pl.col("got").sum(),
        pages=page.sum().cast(pl.Int64),
        times=few("us", TIMES), paths=few("hashed", HASHES), path=pl.col("path").first(), agent=pl.col("agent").first(),
        tool=pl.col("tool").drop_nulls().first(), **seen_agg(),
    )  # fmt: skip


def _judged(servers: pl.DataFrame, site: SiteView) -> pl.DataFrame:
    """Add what is known about the server.

    `resolved`: its name was looked up (null: not known); `users`: sources that ask it; `hosts`: sources of the site that use HTTP;
    `called`: its Host, or its address.
    """
    resolved = pl.Series("resolved", site.names.of(servers["target"])["resolved"])
    known = servers.with_columns(resolved).with_columns(inner=pl.col("source").filter("from_inside").n_unique().over(pl.lit(1)))
    # A source whose look-ups the sensor does not see resolves nothing: then nothing is known.
    seen = (pl.col("resolved") & ~pl.col("bare")).sum().over("source") >= 0.5 * (~pl.col("bare") & ~pl.col("to_inside")).sum().over(
        "source"
    )
    judged = pl.lit("dns" in site.names.judged) & seen & ((pl.col("resolved").sum().over("source")) > 0)
    users = pl.when(pl.col("bare")).then(pl.col("source").n_unique().over("target")).otherwise(pl.col("source").n_unique().over("host"))
    called = pl.when(pl.col("host") == "").then(pl.col("target")).otherwise(pl.col("host"))
    return known.with_columns(resolved=pl.when(judged).then("resolved"), users=users, hosts=pl.col("inner"), called=called)


def _bare(servers: pl.DataFrame) -> list[Evidence]:
    asked = servers.filter(pl.col("bare") & pl.col("from_inside") & ~pl.col("to_inside") & (pl.col("n") >= 2))
    cache = pl.col("agent").str.to_lowercase().str.contains(CACHE)
    score = pl.when(cache).then(0.1).when(pl.col("posts") >= 3).then(0.3).otherwise(0.2)
    return [piece("http_bare_host", r, _describe_bare(r), r["called"][:80]) for r in clearest(asked.with_columns(score=score))]


def _describe_bare(row: dict[str, Any]) -> str:
    host = "an address as Host" if row["host"] else "no Host"
    return f"{_asked(row)} to port {row['port']} with {host}, such as {row['path'][:60]}; {_agent(row)}"


def _polling(servers: pl.DataFrame) -> list[Evidence]:
    """Return steady polling where something else speaks against the server: bare, never resolved, or known to one host only."""
    outside = ~pl.col("to_inside") & (pl.col("pages") <= 0.1 * pl.col("n")) & ~pl.col("host").str.contains(ROUTINE)
    paths = distinct("paths", HASHES)
    asked = steady(servers.filter(outside & (pl.col("n") >= 12)).with_columns(paths_n=paths), "times")
    post = pl.when(pl.col("posts") >= 0.5 * pl.col("n")).then(0.1).otherwise(0.0)
    tool = pl.when(pl.col("tool").is_not_null()).then(0.1).otherwise(0.0)
    cache = pl.col("agent").str.to_lowercase().str.contains(CACHE)
    alone = (pl.col("users") == 1) & (pl.col("hosts") >= MANY_SOURCES)
    base = (
        pl.when(cache).then(0.1).when("bare").then(0.4 + post + tool)
        .when(~pl.col("resolved").fill_null(value=True)).then(0.3 + post + tool * 0.5).when(alone & (post > 0)).then(0.2 + tool * 0.5)
            .otherwise(0.0)
    )  # fmt: skip
    few_paths = 1.0 - 0.5 * ramp(pl.col("paths_n") / pl.col("n"), 0.3, 0.8)
    long = 0.7 + 0.3 * ramp(pl.col("n"), 12, 60)
    score = base * few_paths * long * ramp(pl.col("steadiness"), 0.5, 0.75) * pl.when("from_inside").then(1.0).otherwise(0.6)
    return [piece("http_polling", r, _describe_polling(r), r["called"][:80]) for r in clearest(asked.with_columns(score=score))]


def _describe_polling(row: dict[str, Any]) -> str:
    gaps = f"{row['steadiness']:.0%} of them about {row['gap_s']:.0f} seconds apart"
    return f"{_asked(row)}, {gaps}, for {counted(row['paths_n'], 'different path')}{_why(row)}; {_agent(row)}"


def _asked(row: dict[str, Any]) -> str:
    return f"{counted(row['n'], 'request')} ({row['posts']:,} POST){span(row['first'], row['last'])}"


def _agent(row: dict[str, Any]) -> str:
    return f"user agent {row['agent'][:60] or 'none'}"


def _why(row: dict[str, Any]) -> str:
    if row["bare"]:
        return ", with no host name"
    return ", of a name that was never looked up" if row["resolved"] is False else ", by this host only"


def _uploads(servers: pl.DataFrame) -> list[Evidence]:
    asked = servers.filter(
        pl.col("from_inside") & ~pl.col("to_inside") & (pl.col("sent") >= FEW_BYTES) & (pl.col("sent") >= 3 * pl.col("got"))
    )
    amount = 0.2 + 0.2 * ramp(pl.col("sent").log10(), 6.0, 8.0)  # FEW_BYTES to MANY_BYTES
    score = (
        amount + pl.when("bare").then(0.15).otherwise(0.0) + pl.when(pl.col("bare") & pl.col("tool").is_not_null()).then(0.1).otherwise(0.0)
    )
    return [piece("http_upload", r, _describe_upload(r), r["called"][:80]) for r in clearest(asked.with_columns(score=score))]


def _describe_upload(row: dict[str, Any]) -> str:
    amount = f"{size(row['sent'])} sent in {counted(row['posts'], 'POST or PUT request')}{span(row['first'], row['last'])}"
    bare = ", with no host name" if row["bare"] else ""
    return f"{amount}, {size(row['got'])} received{bare}; such as {row['path'][:60]}"


def _scripts(scripts: pl.DataFrame) -> list[Evidence]:
    outside = ~pl.col("to_inside")
    tool = pl.col("tool")
    routine = pl.col("host").str.contains(ROUTINE) | pl.col("path").str.contains(r"(?i)/filestreamingservice/|/msdownload/")
    bare = pl.col("bare")
    score = (
        pl.when(routine).then(0.0)
        .when(tool == "PowerShell").then(pl.when(bare & outside).then(0.45).when(outside).then(0.3).when(bare).then(0.25).otherwise(0.1))
        .when(tool.is_in(["certutil", "BITS"])).then(pl.when(bare & outside).then(0.45).when(outside & (tool == "certutil")).then(0.35)
            .otherwise(0.0))
        .when(tool == "WebDAV").then(pl.when(bare & outside).then(0.5).when(outside).then(0.35).when(bare).then(0.2).otherwise(0.0))
        .when(tool == "no real browser").then(pl.when(outside & bare).then(0.35).when(outside).then(0.25).otherwise(0.0))
        .when(tool == "none").then(pl.when(bare & outside & (pl.col("host") != "")).then(0.15).otherwise(0.0))
        .otherwise(pl.when(bare & outside).then(0.25).otherwise(0.0))
    )  # fmt: skip
    named = scripts.filter("from_inside").with_columns(
        score=score, called=pl.when(pl.col("host") == "").then(pl.col("target")).otherwise(pl.col("host"))
    )
    # One piece for all servers that score the same: a program that asks a hundred names is one program.
    asked = named.filter(pl.col("score") > 0).sort("n", descending=True, maintain_order=True).group_by("source", "tool", "score",
    maintain_order=True).agg(
        pl.col("target", "port", "bare", "path", "agent", "called").first(), servers=pl.col("called").n_unique(), **seen_fold(),
    )  # fmt: skip
    return [
        piece("http_script", r, _describe_script(r), r["called"][:80] if r["servers"] == 1 else counted(r["servers"], "server"))
        for r in clearest(
            asked.with_columns(
                score=pl.col("score") + pl.when((pl.col("tool") == "no real browser") & (pl.col("servers") >= 10)).then(0.15).otherwise(0.0)
            )
        )
    ]


def _describe_script(row: dict[str, Any]) -> str:
    tool = "a program without a user agent" if row["tool"] == "none" else row["tool"]
    asked = f"{counted(row['n'], 'request')}{span(row['first'], row['last'])} to {counted(row['servers'], 'server')} by {tool}"
    return f"{asked}{', with no host name' if row['bare'] else ''}, such as {row['path'][:60]}; {_agent(row)}"


def _lookups(servers: pl.DataFrame) -> list[Evidence]:
    asked = servers.filter(pl.col("from_inside") & pl.col("host").is_in(list(IP_LOOKUPS)))
    one = asked.sort("n", descending=True, maintain_order=True).group_by("source", "host", maintain_order=True).agg(
        pl.col("target", "port", "tool", "agent").first(), pages=pl.col("pages").sum(), **seen_fold(),
    ).with_columns(services=pl.col("host").n_unique().over("source"))  # fmt: skip
    hours = (pl.col("last") - pl.col("first")).dt.total_seconds().fill_null(0) / 3600
    again = pl.when((pl.col("n") >= 4) & (hours >= 1)).then(0.1).otherwise(0.0)
    several = pl.when(pl.col("services") >= 2).then(0.1).otherwise(0.0)
    score = (pl.lit(0.2) + again + several) * pl.when(pl.col("pages") >= 2).then(0.5).otherwise(
        1.0
    )  # a person looks at a page with pictures
    return [piece("ip_lookup", r, _describe_lookup(r), r["host"]) for r in clearest(one.with_columns(score=score))]


def _describe_lookup(row: dict[str, Any]) -> str:
    asked = f"{counted(row['n'], 'request')}{span(row['first'], row['last'])} to {row['host']}, which answers with the asking address"
    more = f", one of {row['services']} such services that it asked" if row["services"] > 1 else ""
    return f"{asked}{more}; {_agent(row)}"


def _rare_agents(agents: pl.DataFrame, servers: pl.DataFrame) -> list[Evidence]:
    """Return user agents that one source uses towards one server that nobody else knows; on a site of few hosts that says nothing."""
    known = servers.group_by("target").agg(users=pl.col("source").n_unique(), hosts=pl.col("hosts").max(), bare=pl.col("bare").any(),
    pages=pl.col("pages").sum(), host=pl.col("host").first(),
    inside=pl.col("from_inside").all() & ~pl.col("to_inside").any())  # fmt: skip
    one = agents.filter((length("sources") == 1) & (length("targets") == 1) & (pl.col("n") >= 10))
    one = one.with_columns(source=pl.col("sources").list.first(), target=pl.col("targets").list.first())
    rare = one.join(known, on="target", how="inner", maintain_order="left").filter(
        (pl.col("users") == 1) & (pl.col("hosts") >= MANY_SOURCES) & pl.col("inside") & (pl.col("pages") == 0)
            & ~pl.col("host").str.contains(ROUTINE)
    )  # fmt: skip
    score = pl.when("bare").then(0.3).otherwise(0.2)
    return [piece("http_rare_agent", r, _describe_rare_agent(r), r["agent"][:80]) for r in clearest(rare.with_columns(score=score))]


def _describe_rare_agent(row: dict[str, Any]) -> str:
    asked = f"{counted(row['n'], 'request')}{span(row['first'], row['last'])} with the user agent {row['agent'][:80]}"
    server = (row["host"] or row["target"])[:80]
    return f"{asked}, which none of {row['hosts']:,} hosts uses but this one, and for {server} only"
