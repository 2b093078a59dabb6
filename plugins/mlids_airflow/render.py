"""The page as HTML. It needs no Airflow, so that it can be tested with any content."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any


def render(base: str, facts: Mapping[str, Any]) -> str:
    """Return the page for the content of `pipeline.overview`; links start with `base`. All text is escaped and printable."""
    return _template().render(base=base, **facts)


@cache
def _template() -> Any:
    import jinja2

    from mlids import pipeline

    templates = jinja2.Environment(loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True)
    templates.filters["printable"] = pipeline.safe
    return templates.get_template("page.html.j2")
