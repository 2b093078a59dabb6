"""`mlids drift`, `report`: what changed, and the weekly report."""

from __future__ import annotations

from typing import Annotated

import typer

from mlids.cli.options import End, Json, Start, needs_home
from mlids.cli.output import show
from mlids.errors import InputError

Week = Annotated[str | None, typer.Option(help="ISO week, as 2026-W48, instead of --start and --end.")]
FirstDay = Annotated[str | None, typer.Option(help="First day, YYYY-MM-DD.")]
EndDay = Annotated[str | None, typer.Option(help="The day after the last one.")]
Mail = Annotated[bool, typer.Option("--mail", help="Mail it to MLIDS_REPORT_TO as well.")]


@needs_home
def drift(start: Start, end: End, as_json: Json = False) -> None:
    """Compare days with the same number of days before them."""
    from mlids import pipeline

    show(pipeline.drift(start, end), as_json)


@needs_home
def report(week: Week = None, start: FirstDay = None, end: EndDay = None, mail: Mail = False, as_json: Json = False) -> None:
    """Write the report over a week, or other days, as HTML and PDF."""
    from mlids import pipeline

    if week is not None and start is None and end is None:
        start, end = pipeline.week_days(week)
    elif week is not None or start is None or end is None:
        raise InputError("give --week, or --start and --end")
    written = pipeline.report(start, end)
    if mail:
        sent = pipeline.mail_report(written["name"])
        if not sent["to"]:
            raise InputError(f"the report is written to {written['html']}, and not mailed: {sent['why']}")
        written["mailed_to"] = sent["to"]
    show(written, as_json)


COMMANDS = (drift, report)
