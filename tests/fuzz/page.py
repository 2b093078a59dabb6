"""The pages: whatever text their facts hold, their elements stay those of the templates, and all text is printable."""

from __future__ import annotations

import sys
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import mlids.pipeline  # noqa: F401 - loaded here, so that its coverage counts
from tests.conftest import ROOT

sys.path.insert(0, str(ROOT / "plugins"))
from mlids_airflow.render import render

FIELDS = 12
URL_ATTRIBUTES = {"href", "src", "action"}


class Elements(HTMLParser):
    """Notes the elements of a page, the names of their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.seen: list[tuple[str, tuple[str, ...]]] = []
        self.text: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if (tag, attrs) != ("span", [("class", "address")]):  # texts with and without an address have other numbers of them
            self.seen.append((tag, tuple(name for name, _ in attrs)))
        assert not [v for name, v in attrs if name in URL_ATTRIBUTES and not str(v).startswith(("/mlids/", "/plugin/mlids"))]

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data!r}")


def check(data: bytes) -> None:
    """Put parts of the bytes into all facts that are text."""
    texts = [part.decode("utf-8", errors="surrogateescape") or "x" for part in data.split(b"\x00")[:FIELDS]]
    texts += ["x"] * (FIELDS - len(texts))
    for page, content in PAGES.items():
        hostile, plain = Elements(render(page, "/mlids/", content(texts))), Elements(render(page, "/mlids/", content(["x"] * FIELDS)))
        assert hostile.seen == plain.seen, page
        odd = [text for text in hostile.text if not text.replace("\n", "").isprintable()]
        assert odd == [], odd


def alert(t: list[str]) -> dict[str, Any]:
    """Return the document of an alert with twelve texts of others, as the pages get it."""
    return {
        "id": "0" * 32, "ts": "2026-11-20T12:00:00Z", "score": 90.0, "severity": "high", "src": t[0], "dst": t[1], "verdict": None, "suppressed_by": 3,
        "observer": {"name": t[2]}, "destination": {"port": 443}, "network": {"transport": t[6]}, "event": {"end": "2026-11-20T12:00:00Z"},
        "rule": {"description": t[7]}, "threat": {"technique": {"id": t[8], "name": t[3]}},
        "mlids": {"kind": t[3], "count": 3, "reasons": t[4], "model_version": t[9], "uids": ["C1", t[6]]},
    }  # fmt: skip


def day(t: list[str]) -> dict[str, Any]:
    """Return a day of the ledger."""
    counts = {"files": 1, "archived": 2, "rejected": 0, "live": 1, "late": 1, "missing": 0, "alerts": 1}
    return {"day": "2026-11-20", "sensor": t[2], "problems": [t[5]], **counts}


def scorer(t: list[str]) -> dict[str, Any]:
    """Return a scorer as overview and health show it."""
    status = {"state": t[6], "rows": 1, "lag_s": 0.5, "rows_per_s": 1.0, "model_version": t[9]}
    return {"sensor": t[2], "status": status, "problem": t[9], "age": "3 s", "stale": True, "last_row": "2026-11-20T12:00:00Z"}


def facts(t: list[str]) -> dict[str, Any]:
    """Return the content of the overview with twelve texts of others."""
    return {
        "alerts": [alert(t)], "alert_count": 1, "last_day": 30, "budget": 20.0, "scorers": [scorer(t)],
        "model": {"version": t[9], "at": "2026-11-20T12:00:00", "who": t[10], "action": "promoted"},
        "warm_up": [{"learning": True, "days": 1, "of": 7, "sensor": t[2]}], "rules": [{"id": 1, "conns": 2, "why": t[8]}],
        "cases": [case(t)], "case_counts": {"critical": 1, "high": 2, "medium": 0, "low": 9},
    }  # fmt: skip


def alert_facts(t: list[str]) -> dict[str, Any]:
    """Return the content of an alert's page."""
    judged = {"who": t[10], "at": "2026-11-21T08:00:00+00:00", "note": t[11]}
    conditions = {"kind": t[3], "sensor": t[2], "src": t[0], "dst": t[1], "port": 443}
    return {
        "alert": alert(t), "why": [t[4], t[5]], "judged": judged, "conditions": conditions, "command": f"zcat *.gz | grep {t[6]}",
        "kibana": None, "covered_days": 7, "token": t[0],
    }  # fmt: skip


def alert_list(t: list[str]) -> dict[str, Any]:
    """Return the content of the page with the list of alerts."""
    chosen = {"search": t[0], "src": t[1], "kind": t[3], "since": "7d", "hour": "", "min_risk": "0", "unjudged": "yes", "sort": "risk"}
    return {
        "alerts": [alert(t)], "count": 120, "page_now": 2, "pages": 3, "filter": chosen, "kinds": [t[3]], "sorts": ["risk"], "spans": ["7d"],
    }  # fmt: skip


def rule_facts(t: list[str]) -> dict[str, Any]:
    """Return the content of the page that shows what a rule would have hidden."""
    coverage = {"alerts": 9, "covered": 3, "true": 1, "ever_true": 2}
    rule = {"kind": t[3], "sensor": t[2], "src": t[0], "dst": t[1], "port": None, "coverage": coverage, "refusal": None}
    return {"rule": rule, "form": {"src": t[0], "days": t[4], "why": t[8]}, "alert_id": "0" * 32, "token": t[9], "covered_days": 7}


def row_facts(t: list[str]) -> dict[str, Any]:
    """Return the rows of a log, and what is usual for a host."""
    other = {"ts": t[4], "uid": t[6], "log": t[3], "cells": [(t[5], t[7])]}
    usual = [{"what": "connections an hour", "usual": 1.0, "now": 9.0}]
    neighbours = {"of": 9, "hosts": 2, "most": [{"host": t[1], "conns": 3}]}
    return {
        "conns": [{"ts": t[4], "uid": t[6], "service": None}], "columns": ["ts", "uid", "service"], "others": [other], "others_found": 9,
        "named": 2, "usual": usual, "problem": t[8], "host": t[0], "neighbours": neighbours, "target": t[2],
    }  # fmt: skip


def host_facts(t: list[str]) -> dict[str, Any]:
    """Return the content of a host's page."""
    return {"host": t[0], "alerts": [alert(t)], "alert_count": 9, "cases": [case(t)], "moved": {"words": t[4], "change": 1.5}}


def hosts_facts(t: list[str]) -> dict[str, Any]:
    """Return the content of the page of hosts."""
    hosts = [{"host": t[0], "risk": 90.0, "alerts": 3, "severity": "high", "hours": 2}]
    moved = [{"host": t[1], "words": t[4], "change": -2.0}]
    return {"hosts": hosts, "moved": moved, "moved_age": "3 days", "start": "2026-11-20", "end": "2026-11-27", "stale": True}


def model_facts(t: list[str]) -> dict[str, Any]:
    """Return the content of the page of models."""
    gate = {"decision": "promoted", "why": t[4], "at": "2026-11-20T12:00:00", "against": t[1], "rows": [(t[3], "1", "2")]}
    version = {"version": "7", "aliases": [t[5]], "gate": gate, "snapshot": t[2], "trained": t[6], "served": True}
    moved = {"at": "2026-11-20T12:00:00", "who": t[10], "action": "promote", "from_version": None, "to_version": "1", "why": t[11]}
    return {
        "versions": [version], "metrics": [("PR-AUC", ["0.5"])], "production": {"version": t[9], "error": t[8]}, "error": t[7],
        "audit": [moved], "tokens": {"7": t[0]},
    }  # fmt: skip


def health(t: list[str]) -> dict[str, Any]:
    """Return the content of the page Health."""
    hours = [{"kind": "late", "text": t[4]}] * 24
    drift = {"name": "drift-2026-11-20_2026-11-27.html", "age": "9 days", "stale": True, "share": 0.5}
    return {
        "scorers": [scorer(t), {"sensor": t[2], "problem": t[9], "stale": False, "age": None}], "ledger": [day(t)], "ledger_age": {"age": "3 days", "stale": True},
        "strips": [{"sensor": t[2], "days": [{"day": "2026-11-20", "known": False, "hours": hours}]}], "rejected": 3,
        "drift": {**drift, "measures": [{"what": t[5], "effect": 0.3, "drifted": True}]},
        "sinks": [{"name": t[7], "stopped": [t[8]]}], "dead_letters": {t[7]: 3},
    }  # fmt: skip


def report_names(t: list[str]) -> list[str]:
    """Return names of files."""
    return [name for name in t[11:] if name.isascii() and name.isprintable()] or ["x"]


def report_facts(t: list[str]) -> dict[str, Any]:
    """Return the content of the page of reports."""
    made = {"days": t[4], "bytes": 9, "written_at": "2026-11-20T12:00:00"}
    return {"reports": [{"name": name, "kind": t[3], **made} for name in report_names(t)]}


def case(t: list[str]) -> dict[str, Any]:
    """Return the document of a case with twelve texts of others."""
    evidence = {
        "kind": "beacon", "log": t[3], "score": 0.8, "sentence": t[4], "text": t[5], "source": t[0], "target": t[1], "count": 3,
        "first": "2026-11-20T12:00:00.000000Z", "last": "2026-11-20T13:00:00.000000Z", "uids": ["C1", t[6]],
    }  # fmt: skip
    return {
        "id": "0123456789abcdef", "sensor": t[2], "host": t[0], "service": t[6], "severity": "high", "score": 80.0, "title": t[7],
        "first": "2026-11-20T12:00:00.000000Z", "last": None, "techniques": [t[8]], "attack": [{"id": t[8], "name": t[3], "tactics": []}], "uids": ["C1", t[6]], "next_steps": [t[9]],
        "others": [{"address": t[1], "name": t[10], "hosts": None}], "evidence": [evidence], "state": "closed",
        "verdict": "false positive", "who": t[11], "note": t[4], "state_at": "2026-11-21T08:00:00+00:00", "updated_at": "",
    }  # fmt: skip


def case_facts(t: list[str]) -> dict[str, Any]:
    """Return the content of a case's page."""
    found = case(t)
    return {"case": found, "evidence": found["evidence"], "command": f"zcat *.gz | grep {t[6]}", "names": {}, "token": t[0]}


def list_facts(t: list[str]) -> dict[str, Any]:
    """Return the content of the page with the list of cases."""
    return {
        "cases": [case(t)], "count": 120, "page_now": 2, "pages": 3, "severity": "low", "state": "all", "host": t[0],
        "severities": ["low"], "states": ["all"],
    }  # fmt: skip


PAGES: dict[str, Callable[[list[str]], dict[str, Any]]] = {
    "overview": facts,
    "case": case_facts,
    "cases": list_facts,
    "alert": alert_facts,
    "alerts": alert_list,
    "suppress": rule_facts,
    "rows.part": row_facts,
    "host": host_facts,
    "hosts": hosts_facts,
    "models": model_facts,
    "model.part": lambda t: {"model": {"version": t[9], "error": t[8]}},
    "health": health,
    "reports": report_facts,
    "reader": lambda t: {"name": report_names(t)[0]},
    "message": lambda t: {"text": t[0], "back": t[1]},
}


def seeds() -> dict[str, bytes]:
    """Return texts that would be markup, scripts, templates or steering characters."""
    texts = [
        b"<script>alert(1)</script>",
        b"'\"><img src=x onerror=alert(1)>",
        b"{{ 7*7 }}{% raw %}",
        b"<!-- ",
        b"]]><![CDATA[",
        b"\xe2\x80\xae\xff\x1b[2J",
        b"&lt;&#60;",
        b"javascript:alert(1)",
    ]
    return {f"text-{n}": b"\x00".join([text] * FIELDS) for n, text in enumerate(texts)} | {"all": b"\x00".join(texts)}
