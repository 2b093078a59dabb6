"""The weekly report: whether to worry, what changed, the cases, alerts by behaviour and host, drift, metrics of the model, completeness. HTML and PDF."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlids.errors import StackError
from mlids.files import write_atomic
from mlids.reporting.week import NO_CASES, CaseWeek, answer, changes
from mlids.text import address_parts, safe
from mlids.window import Window

if TYPE_CHECKING:
    from mlids.alerts.stores.alerts import Summary


@dataclass(frozen=True)
class ReportFiles:
    """Files of a report; `pdf` is None when the PDF library is missing, with the reason in `why`."""

    html: Path
    pdf: Path | None
    why: str | None = None


def summarize(
    window: Window, alerts: Summary, ledger: Sequence[Mapping[str, Any]], drift: Mapping[str, Any] | None,
    model: Mapping[str, Any] | None, audit: Sequence[Mapping[str, Any]], week: CaseWeek = NO_CASES,
) -> dict[str, Any]:  # fmt: skip
    """Return the values that the template shows: days are counted, the cases summed up in a sentence, the others passed on."""
    days = max((window.end - window.start).days, 1)
    return {
        "window": window, "days": days, "made_at": datetime.now(UTC),
        "alerts": alerts.top, "alert_count": alerts.count, "per_day": alerts.count / days, "kinds": alerts.kinds, "hosts": alerts.hosts,
        "ledger": sorted(ledger, key=lambda r: (r["day"], r["sensor"])),
        "rows": sum(r["archived"] for r in ledger), "rejected": sum(r["rejected"] for r in ledger),
        "missing": days - len({r["day"] for r in ledger}),
        "answer": answer(week, days), "changes": changes(week), "week": week,
        "drift": drift, "model": model, "audit": list(audit)[:10],
    }  # fmt: skip


def write_report(folder: Path, templates: Path, content: Mapping[str, Any], name: str) -> ReportFiles:
    """Write the report to `folder` and return its files. Log contents are escaped.

    Raises StackError when jinja2 is not installed.
    """
    try:
        import jinja2
    except ImportError as error:
        raise StackError("reports need jinja2: install mlids[report]") from error
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["thousands"] = lambda n: f"{n:,}"
    environment.filters["printable"] = safe
    environment.filters["shown"] = _shown
    html = environment.get_template("weekly.html.j2").render(**content, css=(templates / "weekly.css").read_text(encoding="utf-8"))
    page = write_atomic(folder / f"{name}.html", html.encode())
    try:
        from weasyprint import HTML
    except (ImportError, OSError) as error:
        return ReportFiles(page, None, f"no PDF: {error}; install mlids[report] and libpango-1.0-0 libpangoft2-1.0-0")
    # The page includes its style, and nothing is fetched: an address in a log must not be opened.
    data = HTML(string=html, url_fetcher=_no_fetch).write_pdf()
    return ReportFiles(page, write_atomic(folder / f"{name}.pdf", data))


def _shown(text: object, characters: int = 1_000) -> Any:
    """Return a text escaped and printable, cut after so many characters, with addresses that no line breaks."""
    from markupsafe import Markup, escape

    whole = "" if text is None else str(text)
    parts = address_parts(safe(whole[:characters]) + ("…" if len(whole) > characters else ""))
    return Markup("").join(Markup('<span class="unbroken">{}</span>').format(p) if unbroken else escape(p) for p, unbroken in parts)


def _no_fetch(url: str, *_: object, **__: object) -> dict[str, Any]:
    raise ValueError(f"reports do not load addresses: {url[:80]}")
