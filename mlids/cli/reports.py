"""`mlids drift`, `report`: what changed, and the weekly report."""

from __future__ import annotations

from mlids.cli.options import End, Json, Start, needs_home
from mlids.cli.output import show


@needs_home
def drift(start: Start, end: End, as_json: Json = False) -> None:
    """Compare days with the same number of days before them."""
    from mlids import pipeline

    show(pipeline.drift(start, end), as_json)


@needs_home
def report(start: Start, end: End, as_json: Json = False) -> None:
    """Write the report over days, as HTML and PDF."""
    from mlids import pipeline

    show(pipeline.report(start, end), as_json)


COMMANDS = (drift, report)
