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
        assert not [v for name, v in attrs if name in URL_ATTRIBUTES and not str(v).startswith("/mlids/")]

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


def facts(t: list[str]) -> dict[str, Any]:
    """Return the content of the overview with twelve texts of others."""
    alert = {
        "ts": "2026-11-20T12:00:00Z", "score": 90.0, "src": t[0], "dst": t[1], "observer": {"name": t[2]},
        "destination": {"port": 443}, "mlids": {"kind": t[3], "count": 3, "reasons": t[4]},
    }  # fmt: skip
    day = {
        "day": "2026-11-20",
        "sensor": t[2],
        "files": 1,
        "archived": 2,
        "rejected": 0,
        "live": 1,
        "late": 1,
        "missing": 0,
        "alerts": 1,
        "problems": [t[5]],
    }
    scorer = {"state": t[6], "sensor": t[2], "rows": 1, "lag_s": 0.5, "stopped_sinks": {t[7]: t[8]}, "last_error": t[9]}
    hour = {"hour": "2026-11-20T12", "sensor": t[2], "archived": 1, "live": 1, "late": 0, "missing": 0, "rejected": 0}
    return {
        "alerts": [alert], "alert_count": 1, "model": {"version": "1", "error": t[9], "metrics": {}}, "ledger": [day], "scorers": [scorer],
        "audit": [{"at": "2026-11-20T12:00:00", "who": t[10], "action": "promote", "from_version": None, "to_version": "1", "why": t[11]}],
        "warm_up": [{"learning": True, "days": 1, "of": 7, "sensor": t[2]}], "reports": [name for name in t[11:] if name.isascii() and name.isprintable()] or ["x"], "gaps": [hour],
        "rules": [{"id": 1, "conns": 2, "why": t[8]}],
        "cases": [case(t)], "case_counts": {"critical": 1, "high": 2, "medium": 0, "low": 9},
    }  # fmt: skip


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
    "message": lambda t: {"text": t[0], "case_id": t[1]},
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
