"""The pages as HTML. They need no Airflow, so that they can be tested with any content."""

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

_LONGEST_TEXT = 2_000  # characters of a log's text that a page shows
# Which entry of the navigation a page belongs to, where it is not its own.
_PART_OF = {"case": "cases", "alert": "alerts", "suppress": "alerts", "host": "hosts", "reader": "reports"}


def render(page: str, base: str, facts: Mapping[str, Any]) -> str:
    """Return a page (`overview`, `alert`, `message`, …), or a part of one (`week.part`), for its facts; links start with `base`.

    All text is escaped and printable.
    """
    from markupsafe import Markup

    about = {"base": base, "airflow": base.removesuffix("mlids/") or "/", "part_of": _PART_OF.get(page, page), "script": Markup(_script())}  # noqa: S704 - our own file
    return str(_templates().get_template(f"{page}.html.j2").render(**{**about, **facts}))


@cache
def script_digest() -> str:
    """Return the digest of the pages' script, as a content security policy names it."""
    return "sha256-" + base64.b64encode(hashlib.sha256(_script().encode()).digest()).decode()


@cache
def _script() -> str:
    return Path(__file__).with_name("pages.js").read_text(encoding="utf-8")


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
