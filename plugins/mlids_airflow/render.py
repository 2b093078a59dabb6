"""The pages as HTML. They need no Airflow, so that they can be tested with any content."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

_LONGEST_TEXT = 2_000  # characters of a log's text that a page shows


def render(page: str, base: str, facts: Mapping[str, Any]) -> str:
    """Return a page (`overview`, `cases`, `case`, `message`) for its facts; links start with `base`. All text is escaped and printable."""
    return str(_templates().get_template(f"{page}.html.j2").render(base=base, page=page, **facts))


@cache
def _templates() -> Any:
    import jinja2

    from mlids import pipeline

    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    templates.filters["printable"] = pipeline.safe
    templates.filters["shown"] = _shown
    templates.filters["minute"] = lambda when: when[:16].replace("T", " ") if when else "–"
    return templates


def _shown(text: object, characters: int = _LONGEST_TEXT) -> Any:
    """Return a text escaped and printable, cut after so many characters, with addresses that no line breaks."""
    from markupsafe import Markup, escape

    from mlids import pipeline

    whole = "" if text is None else str(text)
    parts = pipeline.address_parts(pipeline.safe(whole[:characters]) + ("…" if len(whole) > characters else ""))
    return Markup("").join(Markup('<span class="address">{}</span>').format(p) if unbroken else escape(p) for p, unbroken in parts)
