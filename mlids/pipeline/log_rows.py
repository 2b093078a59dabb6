"""The rows of an alert or a case as the lake has them, and what was usual for a host before."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from mlids.errors import MlidsError
from mlids.pipeline.alert_views import alert_facts
from mlids.pipeline.case_views import case_facts
from mlids.pipeline.stores import open_lake
from mlids.settings import load_settings
from mlids.text import redact

if TYPE_CHECKING:
    import polars as pl

    from mlids.ingest.lake import Lake

USUAL_DAYS = 7
_MOST_DAYS = 8  # of the lake that are searched
_MOST_ROWS, _MOST_OTHERS = 200, 40  # that are shown
_LONGEST_CELL = 300  # characters of one
_MOST_NEIGHBOURS = 10
_CONN = (
    "ts", "uid", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "proto", "service", "duration", "orig_bytes", "resp_bytes",
    "conn_state", "history", "orig_pkts", "resp_pkts",
)  # fmt: skip
# Of other logs: the conn has them already, and where the lake has the row from.
_BESIDE = {"uid", "ts", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "line", "file"}
_MEASURES = {
    "conns": "connections an hour", "hosts": "hosts contacted an hour", "ports": "ports used an hour",
    "failed": "failed connections an hour", "sent": "bytes sent an hour", "received": "bytes received an hour",
}  # fmt: skip


def alert_rows(alert_id: str) -> dict[str, Any] | None:
    """Return the rows of an alert's uids, what is usual for its host, and who else contacts the destination that all its conns share; None when there is no alert."""
    facts = alert_facts(alert_id)
    if facts is None:
        return None
    alert = facts["alert"]
    return rows_of(
        alert["observer"]["name"],
        alert["mlids"]["uids"],
        alert["ts"],
        alert["event"]["end"],
        alert["src"],
        facts["conditions"].get("dst") or "",
    )


def case_rows(case_id: str) -> dict[str, Any] | None:
    """Return the same of a case's uids and host; None when there is no case."""
    facts = case_facts(case_id)
    if facts is None:
        return None
    case = facts["case"]
    first = case["first"] or case["updated_at"]
    return rows_of(case["sensor"], case["uids"], first, case["last"] or first, case["host"])


def rows_of(sensor: str, uids: Sequence[str], first: str, last: str, host: str, target: str = "") -> dict[str, Any]:
    """Return the rows with these uids between two stamps, in order of time: `conns` with their `columns`, and `others` of other logs.

    `named` is the number of uids; `neighbours` are the others that contact `target`, see there. A day that cannot be read is named in `problem`.
    """
    begin, end = datetime.fromisoformat(first), datetime.fromisoformat(last)
    out: dict[str, Any] = {
        "conns": [],
        "others": [],
        "columns": [],
        "named": len(uids),
        "usual": None,
        "problem": None,
        "host": host,
        "others_found": 0,
        "neighbours": None,
        "target": target,
    }
    try:
        with open_lake(load_settings()).pinned() as lake:
            days = _days(begin.date(), end.date())
            out["conns"] = _in_time(_rows(lake, "conn", sensor, days, uids, _CONN))
            for log in sorted(p.name for p in lake.root.glob("*") if p.is_dir() and p.name != "conn"):
                out["others"] += [r | {"log": log} for r in _rows(lake, log, sensor, days, uids)]
            out["others_found"] = len(out["others"])
            out["others"] = _in_time(out["others"])[:_MOST_OTHERS]
            out["columns"] = [c for c in _CONN if any(r.get(c) is not None for r in out["conns"])]
            out["neighbours"] = neighbours(lake, sensor, target, days) if target else None
            out["usual"] = host_usual(lake, sensor, host, begin, end)
    except MlidsError as error:
        out["problem"] = redact(str(error))
    return out


def _days(first: date, last: date) -> list[date]:
    """Return the days that rows may be filed under: a sensor's day may be in another zone, and a conn is filed when it ends."""
    span = min((last - first).days, _MOST_DAYS - 3)
    return [first + timedelta(days=n) for n in range(-1, span + 2)]


def _in_time(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda r: (r.get("ts") or "", r.get("uid") or ""))[:_MOST_ROWS]


def _rows(
    lake: Lake, log: str, sensor: str, days: Sequence[date], uids: Sequence[str], columns: Sequence[str] = ()
) -> list[dict[str, Any]]:
    import polars as pl

    out: list[dict[str, Any]] = []
    for day in days:
        manifest = lake.manifest(log, sensor, day)
        if manifest is None or "uid" not in manifest.columns or not uids:
            continue
        wanted = [c for c in columns or manifest.columns if c in manifest.columns]
        for rows in lake.batches(log, sensor, [day], wanted):
            out += [_plain(r, bool(columns)) for r in rows.filter(pl.col("uid").is_in(list(uids))).iter_rows(named=True)]
    return out


def _plain(row: dict[str, Any], is_conn: bool) -> dict[str, Any]:
    """Return a row as text by column; of another log `ts`, `uid`, and what is set of the rest as `cells`."""
    texts = {name: _text(value) for name, value in row.items() if name not in {"sensor", "row_nr"}}
    if is_conn:
        return texts
    cells = [(n, v) for n, v in texts.items() if n not in _BESIDE and v not in (None, "", "[]")]
    return {"ts": texts.get("ts"), "uid": texts.get("uid"), "cells": cells}


def _text(value: Any) -> str | None:
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="milliseconds")[:23]
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, float):
        return f"{value:.3f}"
    return None if value is None else str(value)[:_LONGEST_CELL]


def neighbours(lake: Lake, sensor: str, target: str, days: Sequence[date]) -> dict[str, Any]:
    """Return how many of a sensor's hosts (`of`) contacted `target` on some days (`hosts`), and those with the most conns: `host`, `conns`."""
    import polars as pl

    everyone = pl.Series("id.orig_h", [], pl.String)
    counts: dict[str, int] = {}
    for rows in lake.batches("conn", sensor, list(days), ["id.orig_h", "id.resp_h"]):
        everyone = pl.concat([everyone, rows["id.orig_h"].drop_nulls()]).unique()
        there = rows.filter(pl.col("id.resp_h") == target).group_by("id.orig_h").len()
        for host, conns in there.drop_nulls().iter_rows():
            counts[host] = counts.get(host, 0) + conns
    most = sorted(counts.items(), key=lambda c: (-c[1], c[0]))[:_MOST_NEIGHBOURS]
    return {"of": len(everyone), "hosts": len(counts), "most": [{"host": h, "conns": n} for h, n in most]}


def host_usual(lake: Lake, sensor: str, host: str, start: datetime, end: datetime) -> list[dict[str, Any]] | None:
    """Return `what`, `usual` and `now` of a host's hours: the median hour of the USUAL_DAYS days before `start`, and the highest one up to `end`.

    Only hours in which the host began conns count. None when the lake has no such hour before, or none now.
    """
    import polars as pl

    before = _host_hours(lake, sensor, host, [start.date() - timedelta(days=n) for n in range(USUAL_DAYS, 0, -1)])
    now = _host_hours(lake, sensor, host, _days(start.date(), end.date()))
    if before is None or now is None:
        return None
    before = before.filter(pl.col("hour") < start.replace(minute=0, second=0, microsecond=0))
    now = now.filter(pl.col("hour").is_between(start.replace(minute=0, second=0, microsecond=0), end))
    if before.is_empty() or now.is_empty():
        return None
    return [
        {"what": words, "usual": float(before[name].median() or 0), "now": float(now[name].max() or 0)}  # type: ignore[arg-type]
        for name, words in _MEASURES.items()
    ]


def _host_hours(lake: Lake, sensor: str, host: str, days: Sequence[date]) -> pl.DataFrame | None:
    import polars as pl

    from mlids.features.context import FAILED_STATES

    columns = ["ts", "id.orig_h", "id.resp_h", "id.resp_p", "conn_state", "orig_ip_bytes", "resp_ip_bytes"]
    parts = [rows.filter(pl.col("id.orig_h") == host) for rows in lake.batches("conn", sensor, list(days), columns)]
    if not parts:
        return None
    return pl.concat(parts).group_by(pl.col("ts").dt.truncate("1h").alias("hour")).agg(
        conns=pl.len(), hosts=pl.col("id.resp_h").n_unique(), ports=pl.col("id.resp_p").n_unique(),
        failed=pl.col("conn_state").is_in(FAILED_STATES).sum(), sent=pl.col("orig_ip_bytes").sum(), received=pl.col("resp_ip_bytes").sum(),
    )  # fmt: skip
