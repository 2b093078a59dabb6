"""`mlids cases`: list and show cases, acknowledge, close with a verdict, open again, gather a day anew."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer

from mlids.cli.alerts import Verdict
from mlids.cli.case_output import print_case, print_cases
from mlids.cli.options import Json, needs_home
from mlids.cli.output import Progress, console, show

app = typer.Typer(help="List and show cases, acknowledge and close them.")
CaseId = Annotated[str, typer.Argument(help="The case's id, or its beginning.")]
Note = Annotated[str | None, typer.Option(help="What the next analyst should know.")]


@app.callback(invoke_without_command=True)
def open_cases(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Number of cases to list.")] = 20,
    severity: Annotated[str, typer.Option(help="List cases from this severity on: low, medium, high, critical.")] = "medium",
    closed: Annotated[bool, typer.Option("--closed", help="List the closed cases instead.")] = False,
    as_json: Json = False,
) -> None:
    """List the cases that are not closed, the most severe first; the commands below work on one case."""
    if context.invoked_subcommand is not None:
        return
    from mlids import pipeline

    pipeline.need_home()
    found = pipeline.list_cases(closed=closed, severity=severity, limit=limit)
    if as_json:
        show(found, True)
        return
    if found:
        print_cases(found, low=limit)
    else:
        console().print(f"No case of {severity} severity or more is {'closed' if closed else 'open'}.")


@app.command("show")
@needs_home
def show_one(case_id: CaseId, as_json: Json = False) -> None:
    """Show one case with all its evidence, in order of time."""
    from mlids import pipeline

    case = pipeline.find_case(case_id)
    if as_json:
        show(case, True)
        return
    print_case(console(), case, whole=True)


@app.command()
@needs_home
def acknowledge(case_id: CaseId, note: Note = None) -> None:
    """Say that you look at a case; others see your name."""
    _judge(case_id, "acknowledged", note)


@app.command()
@needs_home
def close(case_id: CaseId, verdict: Annotated[Verdict, typer.Argument(help="What it was.")], note: Note = None) -> None:
    """Close a case with a verdict; the conns that it names get a label for the next training."""
    _judge(case_id, "closed", note, str(verdict).replace("-", " "))


@app.command("open")
@needs_home
def open_again(case_id: CaseId, note: Note = None) -> None:
    """Open a case again; its verdict is withdrawn."""
    _judge(case_id, "open", note)


@app.command()
def gather(
    sensor: Annotated[str, typer.Argument(help="Name of the sensor.")],
    day: Annotated[str, typer.Argument(help="A day of the lake, YYYY-MM-DD.")],
    as_json: Json = False,
) -> None:
    """Gather the cases of a day of the lake anew; the nightly DAG does this by itself."""
    from mlids import pipeline

    with Progress() as progress:
        found = pipeline.gather_day(sensor, day, progress)
    show(found, as_json)


def _judge(case_id: str, state: str, note: str | None, verdict: str | None = None) -> None:
    from mlids import pipeline

    case = pipeline.judge_case(case_id, state, who=getpass.getuser(), verdict=verdict, note=note)
    console().print(f"Case {case['id'][:8]} is {case['state']}" + (f": {case['verdict']}." if case["verdict"] else "."))
