"""`mlids serve`, `reconcile`, `status`, `doctor`: live scoring, its gaps and its health."""

from __future__ import annotations

from typing import Annotated

import typer

from mlids.cli.options import Day, Json, Name, needs_home
from mlids.cli.output import Progress, console, safe, show
from mlids.cli.status_output import print_status


def serve(
    sensors: Annotated[list[str] | None, typer.Argument(help="Sensors of sensors.toml; default: all of them.")] = None,
    seconds: Annotated[float | None, typer.Option(min=1, help="Stop after this long; default: run until stopped.")] = None,
    metrics_port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port of /metrics and /healthz; 0: none.")] = None,
    as_json: Json = False,
) -> None:
    """Follow the growing conn.log of sensors and send alerts within about a second. Each sensor has a process of its own."""
    from mlids import pipeline
    from mlids.text import log_to_stderr

    log_to_stderr()
    done = pipeline.serve(sensors or (), seconds, metrics_port=metrics_port)
    if as_json:
        show(done, True)
    else:
        for status in done:
            show(status, False)


@needs_home
def reconcile(sensor: Name, day: Day, as_json: Json = False) -> None:
    """Compare a day of the lake with the conns scored live, and score the missing ones."""
    from mlids import pipeline

    with Progress() as progress:
        done = pipeline.reconcile(sensor, day, progress)
    show(done, as_json)


@needs_home
def status(as_json: Json = False) -> None:
    """Show the model in production, open cases, the scorers, the latest days and reports. --json has all numbers."""
    from mlids import pipeline

    facts = pipeline.overview(limit=5)
    shown = {
        "model": facts["model"]["version"] if facts["model"] else None,
        "model_error": facts["model"].get("error") if facts["model"] else None,
        "cases": facts["case_counts"],
        "scorers": [
            {k: s[k] for k in ("sensor", "state", "rows", "lag_s", "last_error", "updated_at", "stopped_sinks", "other_logs")}
            for s in facts["scorers"]
        ],
        "days": [
            {k: r[k] for k in ("day", "sensor", "archived", "rejected", "live", "late", "missing", "alerts", "problems", "logs")}
            for r in facts["ledger"][:14]
        ],
        "reports": facts["reports"][:6],
    }
    if as_json:
        show(shown, True)
    else:
        print_status(shown)


def doctor(as_json: Json = False) -> None:
    """Check every part and print what to do about each that has a problem. Exit code 1 if there is one."""
    from dataclasses import asdict

    from rich.markup import escape

    from mlids import pipeline

    found = []
    for finding in pipeline.doctor():
        found.append(finding)
        if not as_json:
            mark = "[green]well[/]" if finding.well else "[bold red]not well[/]"
            console().print(f"{mark:<20} [bold]{escape(safe(finding.part))}[/]: {escape(safe(finding.text))}", soft_wrap=True)
    if as_json:
        show([asdict(f) for f in found], True)
    if not all(f.well for f in found):
        raise typer.Exit(1)


COMMANDS = (serve, reconcile, status, doctor)
