"""`mlids config`: what is set and where, what is wrong with it, and files to begin with."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from mlids.cli.options import Json
from mlids.cli.output import console, fail, safe, show

app = typer.Typer(help="Show and check the settings, and write commented files to begin with.", no_args_is_help=True)


@app.command("show")
def show_all(
    only_set: Annotated[bool, typer.Option("--set", help="Only what is set; defaults are left out.")] = False, as_json: Json = False
) -> None:
    """Show every setting, its value, and where it is set: a variable, a file, or by default. Secrets are hidden."""
    from mlids import pipeline

    facts = pipeline.configuration()
    if only_set:
        facts["settings"] = [s for s in facts["settings"] if s["source"] != "default"]
    if as_json:
        show(facts, True)
        return
    from rich import box
    from rich.table import Table
    from rich.text import Text

    screen = console()
    screen.print(f"home: {safe(facts['home'])}", soft_wrap=True, markup=False)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("setting", no_wrap=True)
    table.add_column("value", overflow="fold")
    table.add_column("from", overflow="fold")
    for s in facts["settings"]:
        table.add_row(Text(s["name"]), Text(_text(s["value"])), Text(safe(s["source"])))
    for sensor in facts["sensors"]:
        where = sensor["logs"] if sensor["kind"] == "folder" else f"{sensor['user']}@{sensor['host']}:{sensor['port']} {sensor['logs']}"
        table.add_row(Text(f"sensor {safe(sensor['name'])}"), Text(safe(where)), Text(safe(sensor["source"])))
    screen.print(table)
    for note in facts["notes"]:
        screen.print(f"Note: {safe(note)}.", markup=False)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return safe(",".join(str(v) for v in value))
    return safe(value if value is None or isinstance(value, str) else json.dumps(value))


@app.command()
def check(as_json: Json = False) -> None:
    """Check all variables, settings.toml, sensors.toml and the files that they name. Exit code 2 if something is wrong."""
    from mlids import pipeline

    found = pipeline.check_configuration()
    if as_json:
        show(found, True)
    else:
        for fault in found:
            fail(fault, 2)
    if found:
        raise typer.Exit(2)
    if not as_json:
        facts = pipeline.configuration()
        names = ", ".join(s["name"] for s in facts["sensors"]) or "none"
        print(safe(f"The settings are right. Home: {facts['home']}; sensors: {names}."))
        for note in facts["notes"]:
            print(safe(f"Note: {note}."))


@app.command()
def init(as_json: Json = False) -> None:
    """Write a commented sensors.toml and settings.toml into the home, which is made. Files that are there stay as they are."""
    from mlids import pipeline

    done = pipeline.write_configuration()
    if as_json:
        show(done, True)
        return
    for file in done:
        print(safe(f"{file['file']}: {'written' if file['written'] else 'is there already and stays as it is'}"))
    print("Describe your sensor in sensors.toml, then run `mlids config check` and `mlids doctor`.")
