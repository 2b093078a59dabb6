"""Requests in http.log in the form that all its evidence is judged in: host without port, path without query, agent, sizes.

What a request lacks is told from what the sensor did not see: where Zeek missed the client's packets there is no method, and
neither is the Host known to be missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import polars as pl

from mlids.evidence.base import Evidence, SiteView
from mlids.evidence.tables import columns, fold, once_per_batch, seen_fold
from mlids.zeek.types import TIME

MAX_SIZE = 10**12  # bytes of one body; larger lengths are a header's claim
MAX_FOUND = 1_000  # pieces of evidence of one kind; the highest scores are kept
ENDS = ("source", "target", "port")

READ: Mapping[str, pl.DataType] = {
    "ts": TIME, "uid": pl.String(), "id.orig_h": pl.String(), "id.resp_h": pl.String(), "id.resp_p": pl.UInt32(), "method": pl.String(),
    "host": pl.String(), "uri": pl.String(), "referrer": pl.String(), "user_agent": pl.String(), "request_body_len": pl.Int64(),
    "response_body_len": pl.Int64(), "status_code": pl.Int64(), "username": pl.String(), "resp_mime_types": pl.List(pl.String),
}  # fmt: skip
# A Host that is an address, also one written as a number.
_ADDRESS = r"^(?:\d{1,3}(?:\.\d{1,3}){3}|\d+|0x[0-9a-f]+|\[.*\]|[0-9a-f]*:[0-9a-f.]*:[0-9a-f:.]*)$"
# Agents that are scripts and tools, by the word that names them; the order decides.
AGENTS = (
    ("PowerShell", r"powershell"),
    ("certutil", r"certutil"),
    ("BITS", r"microsoft bits|bitsadmin"),
    ("WebDAV", r"webdav-miniredir|davclnt"),
    ("WinHTTP", r"winhttp"),
    ("curl", r"^curl/"),
    ("wget", r"^wget"),
    ("Python", r"^python|aiohttp|urllib"),
    ("Go", r"^go-http-client|^go .*package http|^fasthttp"),
    ("a script", r"^(?:lua|perl|libwww-perl|lwp|ruby|php|axios|node|okhttp|java/)"),
    # No browser ever sent these: the bare word Mozilla, and versions of 1999 and before.
    ("no real browser", r"^mozilla(?:/[45]\.0)?$|compatible; msie [1-4]\.|^(?:user-?agent|test|agent)\b"),
)  # fmt: skip


@once_per_batch
def requests(rows: pl.DataFrame) -> pl.DataFrame:
    """Return one row per row of http.log that has an originator and a responder.

    `source`, `target` and `port` are the ends. `host` is lower case and has no port; "" where the request had none. `bare`: that
    host is an address or "". `method`, `path`, `host` and `bare` are null where the request was not seen. `sent` and `got` are
    the bytes of the bodies, `mime` what Zeek took the answer for, `agent` the user agent.
    """
    found = columns(rows, READ).filter(pl.col("id.orig_h").is_not_null() & pl.col("id.resp_h").is_not_null())
    host = pl.col("host").fill_null("").str.to_lowercase()
    numbered = pl.when(host.str.contains(r"^(?:\[.*\]|[^:]*):\d*$")).then(host.str.replace(r":\d*$", "")).otherwise(host)
    seen = pl.col("method").is_not_null() & (pl.col("method") != "")
    path = pl.col("uri").fill_null("").str.replace(r"^https?://[^/]*", "").str.replace(r"[?#].*$", "")
    return found.select(
        "ts", "uid", pl.col("id.orig_h").alias("source"), pl.col("id.resp_h").alias("target"), pl.col("id.resp_p").alias("port"),
        pl.when(seen).then(pl.col("method").str.to_uppercase()).alias("method"), pl.when(seen).then(numbered).alias("host"),
        pl.col("uri").fill_null(""),
        path.alias("path"), pl.col("user_agent").fill_null("").alias("agent"), (pl.col("referrer").fill_null("") != "").alias("referred"),
        pl.col("referrer"), pl.col("request_body_len").clip(0, MAX_SIZE).fill_null(0).alias("sent"),
        pl.col("response_body_len").clip(0, MAX_SIZE).fill_null(0).alias("got"), pl.col("status_code").alias("status"),
        pl.col("username"), pl.col("resp_mime_types").list.first().alias("mime"),
    ).with_columns(bare=(pl.col("host") == "") | pl.col("host").str.contains(_ADDRESS))  # fmt: skip


def agent_class() -> pl.Expr:
    """Return the name of the script or tool that sent a request, by `agent`; "none" without one, null for everything else."""
    agent = pl.col("agent").str.to_lowercase()
    named: Any = pl.when(pl.col("agent").str.contains(r"^[\s-]*$")).then(pl.lit("none"))
    for name, pattern in AGENTS:
        named = named.when(agent.str.contains(pattern)).then(pl.lit(name))
    misspelt = agent.str.contains(r"^mo[dz][a-z]*l[a-z]*a/") & ~agent.str.starts_with("mozilla/")
    named = named.when(misspelt).then(pl.lit("no real browser"))
    browser = r"^Mozilla/[45]\.0 \((?:Windows NT [\d.]+; (?:W|rv)|Macintosh|X11|Linux|iP)[^;]*(?:;|\))"
    ordinary = pl.col("agent").str.contains(browser) & ~agent.str.contains("powershell")
    return pl.when(ordinary).then(pl.lit(None, pl.String)).otherwise(named.otherwise(pl.lit(None, pl.String)))


def with_tool(asked: pl.DataFrame) -> pl.DataFrame:
    """Add `tool`, the `agent_class` of each request; each different agent is judged once."""
    agents = asked.select(pl.col("agent").unique()).with_columns(tool=agent_class())
    return asked.join(agents, on="agent", how="left", maintain_order="left")


def fold_requests(
    tables: dict[str, pl.DataFrame], name: str, fresh: pl.DataFrame, keys: Sequence[str], how: Mapping[str, pl.Expr], most: int
) -> None:
    """Fold rows with the columns of `seen_agg` into a table of a collector; those of the most requests are kept."""
    if fresh.height or name not in tables:
        tables[name] = fold(tables.get(name), fresh, keys, {**how, **seen_fold()}, largest="n", most=most)


def few(name: str, most: int) -> pl.Expr:
    """Return an aggregation: at most `most` different values, the smallest, so that the order of rows and batches does not matter."""
    return pl.col(name).drop_nulls().unique().sort().head(most)


def joined_few(name: str, most: int) -> pl.Expr:
    """Return an aggregation for `fold` of the lists that `few` returned."""
    return pl.col(name).explode(empty_as_null=False, keep_nulls=False).unique().sort().head(most)


def hashed(name: str) -> pl.Expr:
    """Return a hash of a text: of 52 bits, so that `distinct` can estimate how many different ones there are."""
    return pl.when(pl.col(name).is_not_null()).then(pl.col(name).hash(seed=11) // 2**12)


def distinct(name: str, most: int) -> pl.Expr:
    """Return how many different values a list of the `most` smallest hashes stands for: exact below `most`, an estimate from there."""
    estimate = (most - 1) * float(2**52) / pl.col(name).list.max().cast(pl.Float64)
    return pl.when(length(name) < most).then(length(name)).otherwise(estimate).cast(pl.Int64)


def length(name: str) -> pl.Expr:
    """Return the length of a list as a signed number."""
    return pl.col(name).list.len().cast(pl.Int64)


def with_sides(table: pl.DataFrame, site: SiteView) -> pl.DataFrame:
    """Add `from_inside` and `to_inside`. A target whose Host is an outside address is outside: it is a proxy's request."""
    to_inside = site.inside(table["target"])
    if "bare" in table.columns:
        named_inside = site.inside(table["host"])
        elsewhere = table["host"].str.contains(r"^\d{1,3}(?:\.\d{1,3}){3}$").fill_null(value=False) & ~named_inside
        to_inside = to_inside & ~elsewhere
    return table.with_columns(from_inside=site.inside(table["source"]), to_inside=to_inside)


def span(first: Any, last: Any) -> str:
    """Return a duration in words, with a leading " in "; "" where it is not known or under a second."""
    seconds = (last - first).total_seconds() if first is not None and last is not None else 0.0
    if seconds < 1:
        return ""
    for size, word in ((86_400.0, "days"), (3_600.0, "hours"), (60.0, "minutes")):
        if seconds >= 2 * size:
            return f" in {seconds / size:.0f} {word}"
    return f" in {seconds:.0f} seconds"


def counted(n: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def size(count: float) -> str:
    """Return bytes in words."""
    for unit, word in ((1e9, "GB"), (1e6, "MB"), (1e3, "KB")):
        if count >= unit:
            return f"{count / unit:.1f} {word}"
    return f"{count:.0f} bytes"


def piece(kind: str, row: Mapping[str, Any], text: str, subject: str, log: str = "") -> Evidence:
    """Return evidence of a row with `score` and the columns of ENDS and `seen_agg`."""
    return Evidence(
        kind=kind, score=round(min(max(row["score"], 0.0), 1.0), 3), text=text, uids=tuple(row["uids"] or ()), source=row["source"],
        subject=subject, target=row["target"] or "", port=row["port"], proto="tcp", first=row["first"], last=row["last"], count=row["n"],
        log=log,
    )  # fmt: skip


def clearest(table: pl.DataFrame) -> Iterable[dict[str, Any]]:
    """Yield the rows with a score of 0.1 or more, the highest first; MAX_FOUND of them."""
    kept = table.filter(pl.col("score") >= 0.1).sort(["score", "n"], descending=True, nulls_last=True, maintain_order=True)
    return kept.head(MAX_FOUND).iter_rows(named=True)
