"""Programs and scripts that were fetched, from http.log, files.log and pe.log.

What Zeek takes a file for by its first bytes is compared with what its name says, and with where it came from. What pe.log adds
(not signed, packed, an impossible time of compilation) is true of much honest software and counts only beside something else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from mlids.evidence.base import Collector, Evidence, Kind, SiteView
from mlids.evidence.file_patterns import (
    CODE_FOLDERS,
    DOUBLE,
    DYNAMIC,
    HARMLESS,
    MAKERS,
    PACKED,
    PROGRAM,
    SCRIPT_NAME,
    SCRIPT_TYPE,
    UPDATER,
)  # fmt: skip
from mlids.evidence.http_requests import (
    ENDS,
    READ,
    agent_class,
    clearest,
    counted,
    few,
    joined_few,
    piece,
    requests,
    size,
    with_sides,
)  # fmt: skip
from mlids.evidence.tables import columns, first_uids, fold, joined_uids, seen_agg, seen_fold
from mlids.zeek.types import TIME

MAX_FILES = 50_000
FUIDS = 10
_KEY = [*ENDS, "host", "bare", "sort", "tool"]
_FILES: Mapping[str, pl.DataType] = {
    "ts": TIME, "fuid": pl.String(), "uid": pl.String(), "conn_uids": pl.List(pl.String), "id.orig_h": pl.String(),
    "id.resp_h": pl.String(),
    "id.resp_p": pl.UInt32(), "tx_hosts": pl.List(pl.String), "rx_hosts": pl.List(pl.String), "source": pl.String(),
    "mime_type": pl.String(),
    "filename": pl.String(), "is_orig": pl.Boolean(), "seen_bytes": pl.Int64(), "total_bytes": pl.Int64(),
}  # fmt: skip
_PE: Mapping[str, pl.DataType] = {
    "ts": TIME, "id": pl.String(), "has_cert_table": pl.Boolean(), "section_names": pl.List(pl.String),
}  # fmt: skip
_HTTP_LISTS: Mapping[str, pl.DataType] = {
    "uri": pl.String(),
    "resp_mime_types": pl.List(pl.String),
    "id.orig_h": pl.String(),
    "id.resp_h": pl.String(),
    "resp_fuids": pl.List(pl.String),
    "resp_filenames": pl.List(pl.String),
    "filename": pl.String(),
}

KINDS = (
    Kind("program_disguised", "program under another name", "fetched a program that {target} calls something else", "T1036.008",
         "take the file from the host or the capture, look up its hash, and find what started the download"),
    Kind("program_bare_host", "program from a bare address", "fetched a program from the address {target}, without a host name", "T1105",
         "take the file from the host, look up its hash, and find what started the download"),
    Kind("program_rare_host", "program from an unusual place", "fetched a program over plain HTTP from {subject}", "T1105",
         "look up the file's hash and who runs the server"),
    Kind("script_bare_host", "script from a bare address", "fetched a script from the address {target}, without a host name", "T1105",
         "read the script on the host, and look for what it fetched and started"),
    Kind("program_by_mail", "program by mail", "sent or got a program by mail: {subject}", "T1566.001",
         "find the mail in the mail server's log, and whether the attachment was opened"),
    Kind("program_transfer", "program by another protocol", "moved a program by {subject}", "T1105",
         "look up the file's hash, and ask the owner of the host why it was moved"),
)  # fmt: skip


class FetchedFiles(Collector):
    """Programs and scripts by source and server. State is bounded: the largest rows are kept.

    Tables: `fetched`, a row per source, server and sort, from http.log; `files` and `pe`, a row per program, from those logs.
    """

    reads = {"http": (*READ, "resp_fuids", "resp_filenames", "filename"), "files": tuple(_FILES), "pe": (*_PE, "compile_ts")}
    kinds = KINDS

    def add(self, log: str, rows: pl.DataFrame) -> None:
        """Take a batch of one of the three logs. Rows without an id or without ends are skipped."""
        if log == "http":
            fresh = _fetched(rows)
            how = {
                **{n: pl.col(n).first() for n in ("path", "filename", "agent", "mime")},
                "fuids": joined_few("fuids", FUIDS),
                **seen_fold(),
            }
            self._fold("fetched", fresh, _KEY, how)
        elif log == "files" and "fuid" in rows.columns:
            fresh = _programs(rows)
            self._fold(
                "files",
                fresh,
                ["fuid"],
                {n: pl.col(n).drop_nulls().first() for n in fresh.columns if n not in ("fuid", "uids")} | {"uids": joined_uids()},
            )
        elif log == "pe" and "id" in rows.columns:
            fresh = _facts(rows)
            self._fold("pe", fresh, ["fuid"], {n: pl.col(n).first() for n in fresh.columns if n != "fuid"})

    def _fold(self, name: str, fresh: pl.DataFrame, keys: list[str], how: dict[str, pl.Expr]) -> None:
        if fresh.height:
            largest = next(c for c in ("n", "bytes", "fuid") if c in fresh.columns)
            self.tables[name] = fold(self.tables.get(name), fresh, keys, how, largest=largest, most=MAX_FILES)

    def evidence(self, site: SiteView) -> list[Evidence]:
        """Return programs and scripts that were fetched, the clearest first."""
        found: list[Evidence] = []
        if "fetched" in self.tables:
            found += _from_http(with_sides(self.tables["fetched"], site), self.tables.get("files"), self.tables.get("pe"))
        if "files" in self.tables:
            found += _from_files(with_sides(self.tables["files"], site))
        return sorted(found, key=lambda e: -e.score)


EVIDENCE = FetchedFiles


def _fetched(rows: pl.DataFrame) -> pl.DataFrame:
    """Return one row per source, server, sort and tool: programs by what Zeek saw in them, scripts by name or type."""
    sent = pl.coalesce(pl.col("resp_filenames").list.first(), "filename").fill_null("").alias("filename")
    lists = columns(rows, _HTTP_LISTS)
    typed = pl.col("resp_mime_types").list.first().str.contains(f"{PROGRAM}|{SCRIPT_TYPE}").fill_null(value=False)
    ends = pl.col("id.orig_h").is_not_null() & pl.col("id.resp_h").is_not_null()  # those that `requests` keeps
    wanted = lists.select(ends & (typed | pl.col("uri").str.contains(SCRIPT_NAME).fill_null(value=False))).to_series()
    if lists.height != rows.height or not wanted.any():
        return pl.DataFrame()
    rows, kept = rows.filter(wanted), lists.filter(wanted)
    got = requests(rows).with_columns(kept.select(pl.col("resp_fuids").list.first().alias("fuid"), sent))
    name = pl.when(pl.col("filename") != "").then("filename").otherwise("path")
    script = pl.col("path").str.contains(SCRIPT_NAME) | pl.col("mime").str.contains(SCRIPT_TYPE).fill_null(value=False)
    got = got.drop_nulls("method").filter(pl.col("status").is_null() | pl.col("status").is_between(200, 299)).with_columns(
        sort=pl.when(pl.col("mime").str.contains(PROGRAM)).then(
            pl.when(name.str.contains(DOUBLE)).then(pl.lit("double")).when(name.str.contains(HARMLESS)).then(pl.lit("disguised"))
            .when(pl.col("path").str.contains(CODE_FOLDERS)).then(pl.lit("code folder")).otherwise(pl.lit("program"))
        ).when(script & pl.col("bare") & (pl.col("got") > 0)).then(pl.lit("script"))
    )  # fmt: skip
    got = got.drop_nulls("sort")
    return (
        got.with_columns(tool=agent_class().fill_null(""))
        .group_by(_KEY, maintain_order=True)
        .agg(pl.col("path", "filename", "agent", "mime").first(), fuids=few("fuid", FUIDS), **seen_agg())
    )


def _programs(rows: pl.DataFrame) -> pl.DataFrame:
    """Return one row per program of files.log. Older versions of Zeek name who sent and who got it, newer ones the conn's ends."""
    found = columns(rows, _FILES)
    mail = pl.col("filename").str.contains(DOUBLE + "|" + r"(?i)\.(?:exe|scr|com|pif|vbs|js|jse|hta|lnk|ps1)$").fill_null(value=False) & (
        pl.col("source") == "SMTP"
    )
    found = found.filter(pl.col("fuid").is_not_null() & (pl.col("mime_type").str.contains(PROGRAM).fill_null(value=False) | mail))
    tx, rx = pl.col("tx_hosts").list.first(), pl.col("rx_hosts").list.first()
    from_orig = pl.col("is_orig").fill_null(value=False)
    return found.select(
        "fuid", pl.coalesce("uid", pl.col("conn_uids").list.first()).alias("uid"),
        pl.coalesce("id.orig_h", pl.when(from_orig).then(tx).otherwise(rx)).alias("source"), pl.coalesce("id.resp_h", pl.when(from_orig)
        .then(rx).otherwise(tx)).alias("target"),
        pl.col("id.resp_p").alias("port"), pl.col("source").fill_null("").alias("protocol"), pl.col("filename").fill_null(""),
        pl.col("mime_type").fill_null("").alias("mime"),
        pl.max_horizontal("total_bytes", "seen_bytes").alias("bytes"), pl.col("ts").alias("first"), pl.col("ts").alias("last"),
    ).group_by("fuid", maintain_order=True).agg(
        *(pl.col(n).drop_nulls().first() for n in ("source", "target", "port", "protocol", "filename", "mime", "bytes", "first", "last")),
        uids=first_uids()
    )  # fmt: skip


def _facts(rows: pl.DataFrame) -> pl.DataFrame:
    """Return one row per program of pe.log: whether it is not signed, packed, or of an impossible time. Null: not known."""
    found = columns(rows, _PE)
    kind = rows.schema.get("compile_ts")
    compiled = (
        pl.col("compile_ts").dt.epoch("s") if kind == TIME
        else pl.lit(None, pl.Int64) if kind is None or kind.is_nested() or kind.is_temporal() else pl.col("compile_ts").cast(pl.Float64,
        strict=False)
    )  # fmt: skip
    seconds = rows.select(compiled.cast(pl.Float64).alias("compiled"))["compiled"]
    return found.with_columns(seconds).filter(pl.col("id").is_not_null()).group_by(pl.col("id").alias("fuid"), maintain_order=True).agg(
        unsigned=(~pl.col("has_cert_table")).first(), packed=pl.col("section_names").list.join(",").str.contains(PACKED).first(),
        # Zero, or later than its download. Reproducible builds have a hash there, so that it is no more than an addition.
        odd_time=((pl.col("compiled") <= 0) | (pl.col("compiled") > pl.col("ts").dt.epoch("s") + 86_400)).first(),
    )  # fmt: skip


def _from_http(fetched: pl.DataFrame, files: pl.DataFrame | None, facts: pl.DataFrame | None) -> list[Evidence]:
    rows = fetched.filter("from_inside").with_row_index("row")
    by_file = rows.select("row", pl.col("fuids").alias("fuid")).explode("fuid", empty_as_null=False, keep_nulls=False)
    by_file = (
        by_file.join(facts, on="fuid", how="left")
        if facts is not None
        else by_file.with_columns(pl.lit(None, pl.Boolean).alias(n) for n in ("unsigned", "packed", "odd_time"))
    )
    by_file = (
        by_file.join(files.select("fuid", "bytes"), on="fuid", how="left")
        if files is not None
        else by_file.with_columns(bytes=pl.lit(None, pl.Int64))
    )
    rows = rows.join(
        by_file.group_by("row").agg(pl.col("unsigned", "packed", "odd_time").any(), pl.col("bytes").max()),
        on="row",
        how="left",
        maintain_order="left",
    )
    rows = rows.with_columns(
        called=pl.when(pl.col("host") == "").then(pl.col("target")).otherwise(pl.col("host")),
        users=pl.col("source").n_unique().over("host", "target"),
    )
    bare, sort, outside = pl.col("bare"), pl.col("sort"), ~pl.col("to_inside")
    script_tool = pl.col("tool").is_in(
        ["PowerShell", "certutil", "BITS", "curl", "wget", "Python", "none", "no real browser", "a script", "WinHTTP"]
    )
    maker = pl.col("host").str.contains(MAKERS)
    cache = pl.col("agent").str.contains(UPDATER)
    odd = pl.when("packed").then(0.1).otherwise(0.0) + pl.when(
        pl.col("odd_time").fill_null(value=False) & pl.col("unsigned").fill_null(value=False)
    ).then(0.1).otherwise(0.0)
    known = pl.when(pl.col("users") >= 5).then(0.5).otherwise(1.0)  # what many hosts fetch is the site's own software
    from_bare = (
        pl.when(cache).then(0.15).when(outside).then(pl.when(script_tool).then(0.75).otherwise(0.6))
        .when(pl.col("tool").is_in(["PowerShell", "certutil"])).then(0.5).when(script_tool).then(0.35).otherwise(0.25)
    )  # fmt: skip
    score = (
        pl.when(sort == "double").then(0.8)
        .when(sort == "disguised").then(pl.when(bare).then(pl.when(outside).then(0.85).otherwise(0.6)).when(maker).then(0.2)
            .otherwise(0.65))
        .when(sort == "script").then(pl.when(outside).then(pl.when(script_tool).then(0.5).otherwise(0.35))
            .otherwise(pl.when(pl.col("tool") == "PowerShell").then(0.3).otherwise(0.0)))
        .when(bare).then(from_bare)
        .when(sort == "code folder").then(0.55)
        .when(maker | ~outside).then(0.0)
        .when(pl.col("host").str.contains(DYNAMIC)).then(0.5)
        .otherwise(0.15 + odd + pl.when(pl.col("unsigned").fill_null(value=False)).then(0.1).otherwise(0.0))
    )  # fmt: skip
    score = score * known + pl.when((score > 0) & sort.is_in(["program", "disguised"]) & bare & ~cache).then(odd / 2).otherwise(0.0)
    kinds = {
        "double": "program_disguised",
        "disguised": "program_disguised",
        "script": "script_bare_host",
        "code folder": "program_rare_host",
    }
    return [
        piece("program_bare_host" if r["sort"] in ("program", "code folder") and r["bare"] else kinds.get(r["sort"], "program_rare_host"),
            r, _describe(r), r["called"][:80])
        for r in clearest(rows.with_columns(score=score))
    ]  # fmt: skip


def _describe(row: dict[str, Any]) -> str:
    what = "script" if row["sort"] == "script" else f"program ({row['mime']})"
    length = f" of {size(row['bytes'])}" if row["bytes"] else ""
    named = f", sent with the name {row['filename'][:60]}" if row["filename"] else ""
    found = [
        words
        for fact, words in (
            ("unsigned", "it is not signed"),
            ("packed", "its sections are those of a packer"),
            ("odd_time", "its time of compilation is impossible"),
        )
        if row[fact]
    ]
    place = f"{'the bare address ' if row['bare'] else ''}{row['called'][:80]}"
    return (
        f"{what}{length} from {place}{row['path'][-80:]}{named}; {counted(row['n'], 'request')} with the user agent "
        f"{row['agent'][:50] or 'none'}"
        f"{''.join('; ' + words for words in found)}"
    )


def _from_files(files: pl.DataFrame) -> list[Evidence]:
    """Return programs that came by mail, FTP or chat; those of HTTP are judged by their requests, those of SMB by smb_files.log."""
    rows = files.filter(pl.col("source").is_not_null() & ~pl.col("protocol").is_in(["HTTP", "SMB", ""])).with_columns(n=pl.lit(1, pl.Int64))
    outside_in = ~pl.col("from_inside")
    score = (
        pl.when(pl.col("protocol") == "SMTP").then(pl.when(pl.col("filename").str.contains(DOUBLE)).then(0.45).when(outside_in)
            .then(0.25).otherwise(0.35))
        .when(pl.col("protocol") == "IRC_DATA").then(0.5)
        .when(pl.col("filename").str.contains(HARMLESS)).then(0.4)
        .when(pl.col("from_inside") & ~pl.col("to_inside")).then(0.3).when(outside_in & pl.col("to_inside")).then(0.3).otherwise(0.0)
    )  # fmt: skip
    return [
        piece("program_by_mail" if r["protocol"] == "SMTP" else "program_transfer", r,
              _describe_file(r),
              (r["filename"][:80] or "an unnamed program") if r["protocol"] == "SMTP" else r["protocol"].removesuffix("_DATA"), log="files")
        for r in clearest(rows.with_columns(score=score))
    ]  # fmt: skip


def _describe_file(row: dict[str, Any]) -> str:
    length = f" of {size(row['bytes'])}" if row["bytes"] else ""
    named = f", named {row['filename'][:80]}" if row["filename"] else ""
    return f"program ({row['mime'] or 'by its name'}){length} by {row['protocol']}{named}"
