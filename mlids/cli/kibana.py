"""`mlids kibana`: dashboards, saved searches and the rule in Kibana."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mlids.cli.options import Json
from mlids.cli.output import safe, show

app = typer.Typer(help="Put dashboards, saved searches and a rule into Kibana, and check what is there.", no_args_is_help=True)


@app.command()
def install(
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there, with what was changed in Kibana.")] = False,
    rule: Annotated[bool, typer.Option("--rule/--no-rule", help="Make the rule for alerts with a risk of 80 or more.")] = True,
    as_json: Json = False,
) -> None:
    """Import the dashboards and make the rule.

    Data views and saved searches come with them. Exit code 1 when a part is refused, with the reason.

    The login is MLIDS_KIBANA_API_KEY, or MLIDS_KIBANA_USER and MLIDS_KIBANA_PASSWORD.
    """
    from mlids import pipeline

    _show(pipeline.kibana_install(overwrite=overwrite, with_rule=rule), as_json)


@app.command()
def check(as_json: Json = False) -> None:
    """Say what Kibana has of it.

    Each part is asked for: in this version, and with all it refers to. Exit code 1 when one is missing. Nothing is written.
    """
    from mlids import pipeline

    _show(pipeline.kibana_check(), as_json)


def _show(parts: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        show(parts, True)
    else:
        for part in parts:
            print(f"{safe(part['name'])}: {safe(part['done'])}")
    if not all(part["well"] for part in parts):
        raise typer.Exit(1)
