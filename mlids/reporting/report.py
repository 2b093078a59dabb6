"""The weekly report as one HTML file and one tagged PDF: a page for a manager, and behind it what it rests on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlids.cases.severity import Severity
from mlids.cases.words import words_of
from mlids.errors import StackError
from mlids.evidence.attack import tactics
from mlids.files import write_atomic
from mlids.reporting import model_words, page_one, sections
from mlids.reporting.facts import WeekFacts
from mlids.reporting.week import answer, changes
from mlids.text import address_parts, safe

_SHOWN_ALERTS = 10
_LONGEST_ADDRESS = 60  # characters that are looked at for one that begins before the end


@dataclass(frozen=True)
class ReportFiles:
    """Files of a report; `pdf` is None when the PDF library is missing, with the reason in `why`."""

    html: Path
    pdf: Path | None
    why: str | None = None


def content(facts: WeekFacts) -> dict[str, Any]:
    """Return the values that the template shows."""
    first = {
        "facts": facts, "answer": answer(facts.cases, len(facts.days)), "to_do": page_one.to_do(facts), "meaning": page_one.meaning_of_case,
        "changes": changes(facts.cases), "blind_spots": sections.blind_spots(facts), "completeness": sections.completeness(facts),
    }  # fmt: skip
    if facts.is_empty:
        return first | {"why_empty": page_one.why_empty(facts)}
    return first | {
        "happened": page_one.happened(facts), "changed": page_one.changed(facts), "worst": facts.cases.cases[: page_one.SHOWN_CASES],
        "charts": _charts(facts), "in_short": sections.in_short(facts) if facts.is_quiet else [],
        "kinds": [dict(k) | {"title": words_of(k["kind"]).title, "meaning": _meaning(k["kind"])} for k in facts.kinds],
        "anomalies": sections.anomalies(facts), "drift": sections.drift(facts), "moved": sections.changes_of_hosts(facts),
        "model": sections.model(facts), "measures": model_words.measures(facts), "verdicts": sections.verdicts(facts),
        "suppressions": sections.suppressions(facts), "top_alerts": facts.alerts.top[:_SHOWN_ALERTS], "in_time": in_time, "sections_of_cases": _by_weight(facts),
    }  # fmt: skip


def _by_weight(facts: WeekFacts) -> list[tuple[str, list[Mapping[str, Any]]]]:
    """Return the cases under two headings: severe ones, and those of medium severity, many of which turn out to be harmless."""
    medium = [c for c in facts.cases.cases if c["severity"] == Severity.MEDIUM]
    severe = [c for c in facts.cases.cases if c["severity"] != Severity.MEDIUM]
    headings = (("The severe cases", severe), ("Cases of medium severity: worth a look, and often harmless", medium))
    return [(heading, cases) for heading, cases in headings if cases]


def in_time(case: Mapping[str, Any], most: int = 6) -> list[Mapping[str, Any]]:
    """Return the strongest evidence of a case in order of time; evidence without a time comes last."""
    return sorted(case["evidence"][:most], key=lambda e: e["first"] or "9")


def _meaning(kind: str) -> str:
    technique = words_of(kind).technique
    return page_one.meaning(tactics(technique) if technique else ())


def _charts(facts: WeekFacts) -> dict[str, str]:
    from mlids.reporting.charts import against_last_week, alerts_a_day, hosts_by_risk

    return {
        "day": alerts_a_day(facts.by_day), "hosts": hosts_by_risk(facts.hosts), "weeks": against_last_week(changes(facts.cases)),
    }  # fmt: skip


def write_report(folder: Path, templates: Path, content: Mapping[str, Any], name: str) -> ReportFiles:
    """Write the report to `folder` and return its files. Log contents are escaped; the same content gives the same bytes.

    Raises StackError when jinja2 is not installed.
    """
    html = render(templates, content)
    page = write_atomic(folder / f"{name}.html", html.encode())
    try:
        from weasyprint import HTML
    except (ImportError, OSError) as error:
        return ReportFiles(page, None, f"no PDF: {error}; install mlids[report] and libpango-1.0-0 libpangoft2-1.0-0")
    # The page includes its style, and nothing is fetched: an address in a log must not be opened.
    data = HTML(string=html, url_fetcher=_no_fetch).write_pdf(pdf_variant="pdf/ua-1")
    return ReportFiles(page, write_atomic(folder / f"{name}.pdf", data))


def render(templates: Path, content: Mapping[str, Any]) -> str:
    """Return the report as HTML. Raises StackError when jinja2 is not installed."""
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
    environment.filters["said"] = _said
    environment.filters["minute"] = lambda when: str(when)[:16].replace("T", " ") if when else "–"
    return environment.get_template("weekly.html.j2").render(**content, css=(templates / "weekly.css").read_text(encoding="utf-8"))


def as_text(content: Mapping[str, Any]) -> str:
    """Return the first page as text, for the body of a mail."""
    parts = [("Should I worry?", [content["answer"]])]
    if "why_empty" in content:
        parts[0][1].append(content["why_empty"])
    else:
        worst = [f"{c['severity']}: {_cut(c['title'], 160)}: {page_one.meaning_of_case(c)}." for c in content["worst"]]
        parts += [("What happened", [" ".join(content["happened"]), *worst]), ("What changed", [" ".join(content["changed"])])]
    steps = [f"{n}. {_cut(s['about'], 160)}{': ' if s['about'] else ''}{s['what']}" for n, s in enumerate(content["to_do"], 1)]
    blocks = [[head, "-" * len(head), *(safe(line) for line in lines)] for head, lines in [*parts, ("What to do", steps)]]
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def _shown(text: object, characters: int = 1_000) -> Any:
    """Return a text escaped and printable, cut after so many characters, with addresses that no line breaks."""
    from markupsafe import Markup, escape

    parts = address_parts(safe(_cut("" if text is None else str(text), characters)))
    return Markup("").join(Markup('<span class="unbroken">{}</span>').format(p) if unbroken else escape(p) for p, unbroken in parts)


def _cut(text: str, characters: int) -> str:
    """Return a text of at most so many characters and `…` for the rest; an address is left out whole."""
    if len(text) <= characters:
        return text
    out = ""
    for part, unbroken in address_parts(text[: characters + _LONGEST_ADDRESS]):
        if len(out) + len(part) > characters:
            out += "" if unbroken else part[: characters - len(out)]
            break
        out += part
    return out.rstrip() + "…"


def _said(text: object, characters: int = 1_000) -> Any:
    """Return a sentence as `_shown` does, with what stands between backquotes as code."""
    from markupsafe import Markup

    parts = _cut(str(text), characters).split("`")
    if len(parts) % 2 == 0:  # one of them is a log's
        return _shown(text, characters)
    return Markup("").join(Markup("<code>{}</code>").format(_shown(p)) if n % 2 else _shown(p) for n, p in enumerate(parts))


def _no_fetch(url: str, *_: object, **__: object) -> dict[str, Any]:
    raise ValueError(f"reports do not load addresses: {url[:80]}")
