"""Rows of http.log for tests, and collectors fed with them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from mlids.evidence.base import Collector, Evidence, SiteView
from mlids.evidence.names import Names
from mlids.zeek.log_types import log_type_of
from mlids.zeek.reader import LogReader, find_logs

START = datetime(2026, 11, 4, 9, tzinfo=UTC)
INSIDE, OUTSIDE, SERVER = "10.0.0.5", "203.0.113.9", "10.0.9.80"
BROWSER = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:128.0) Gecko/20100101 Firefox/128.0"


def request(n: int = 0, *, seconds: float = 1.0, **cells: Any) -> dict[str, Any]:
    """Return one row, cells overridden by name (two underscores for a dot)."""
    row: dict[str, Any] = {
        "ts": START + timedelta(seconds=n * seconds), "uid": f"C{n}", "id.orig_h": INSIDE, "id.resp_h": OUTSIDE, "id.resp_p": 80,
            "method": "GET",
        "host": "www.example.com", "uri": "/", "referrer": None, "user_agent": BROWSER, "request_body_len": 0, "response_body_len": 500,
        "status_code": 200, "username": None, "resp_mime_types": ["text/html"], "resp_fuids": [f"F{n}"], "resp_filenames": None,
    }  # fmt: skip
    return row | {name.replace("__", "."): value for name, value in cells.items()}


def log(rows: Iterable[dict[str, Any]]) -> pl.DataFrame:
    schema: dict[str, Any] = {
        "ts": pl.Datetime("us", "UTC"), "resp_mime_types": pl.List(pl.String), "resp_fuids": pl.List(pl.String),
            "resp_filenames": pl.List(pl.String),
        "referrer": pl.String, "username": pl.String, "user_agent": pl.String, "host": pl.String,
    }  # fmt: skip
    return pl.DataFrame(list(rows), schema_overrides=schema, infer_schema_length=None)


def found(collector: type[Collector], rows: Iterable[dict[str, Any]], kind: str = "", *, networks: Sequence[str] = ()) -> list[Evidence]:
    """Return the evidence of rows, of one kind if it is given."""
    by_http = collector()
    by_http.add("http", log(rows))
    return [e for e in by_http.evidence(SiteView(networks)) if kind in ("", e.kind)]


def batches(folder: Path, *logs: str) -> list[tuple[str, pl.DataFrame]]:
    """Return the batches of the named logs of a folder."""
    paths = [(log_type_of(p.name), p) for p in find_logs(folder)]
    return [(name, b.frame) for name, p in paths if name in logs for b in LogReader(p, log=name)]


def of_folder(collector: type[Collector], folder: Path) -> list[Evidence]:
    """Return the evidence of a folder of logs, with the names of its addresses."""
    by_log, names = collector(), Names()
    for name, rows in batches(folder, *collector.reads, "dns", "ssl", "http"):
        names.add(name, rows)
        if name in collector.reads:
            by_log.add(name, rows)
    return by_log.evidence(SiteView(names=names))
