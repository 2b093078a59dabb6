"""`mlids evaluate`: metrics on labelled logs of other networks, as a table and as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from mlids.cli.output import Progress, console, safe

MANY = {"--train", "--calibrate", "--test", "--laboratory"}


def spread_out(arguments: list[str]) -> list[str]:
    """Return arguments with `--train A B` as `--train A --train B`, so that a shell's * can be used."""
    out: list[str] = []
    option = None
    for argument in arguments:
        if argument.startswith("-"):
            option = argument if argument in MANY else None
            if option is None:
                out.append(argument)
        elif option is not None:
            out += [option, argument]
        else:
            out.append(argument)
    return out


_WIDTH = 190  # a narrow terminal wraps whole lines
Logs = Annotated[list[Path] | None, typer.Option(help="Labelled logs or folders, one capture each; several may follow.")]


def evaluate(
    train: Logs = None, calibrate: Logs = None, test: Logs = None,
    captures: Annotated[Path | None, typer.Option(help="TOML or JSON file that lists captures to train on, with their laboratories and labels.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder that the paths in --captures are relative to; default: the folder of that file.")] = None,
    laboratory: Annotated[list[str] | None, typer.Option(help="NAME=PATTERN: captures whose path matches belong to one laboratory.")] = None,
    leave_one_out: Annotated[bool, typer.Option("--leave-one-out", help="Test each capture with a model trained on those of all other laboratories.")] = False,
    seeds: Annotated[int, typer.Option(min=1, max=20, help="Trainings to average over.")] = 5,
    budget: Annotated[float, typer.Option(min=0.1, help="Alerts a day that the site's own threshold allows.")] = 20.0,
    out: Annotated[Path | None, typer.Option(help="Write the metrics to this file, as JSON.")] = None,
    track: Annotated[bool, typer.Option("--track", help="Log the metrics to MLflow too, in the experiment for evaluations.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:  # fmt: skip
    """Measure how well the two forests find attacks on labelled networks that they were not trained on."""
    from mlids import pipeline

    with Progress(lines=True) as progress:
        metrics = pipeline.evaluate(
            train or (), calibrate or (), test or (), captures=captures, data=data, laboratories=laboratory or (),
            leave_one_out=leave_one_out, seeds=seeds, budget=budget, out=out, track=track, progress=progress,
        )  # fmt: skip
    if as_json:
        print(json.dumps(metrics, indent=1))
    else:
        _print(metrics)
        if out is not None:
            print(f"all metrics: {out}")
        if track:
            print(f"MLflow run: {metrics['run_id']}")


def _print(metrics: dict[str, Any]) -> None:
    from rich.table import Table

    from mlids import pipeline

    screen = console()
    screen.width = max(screen.width, _WIDTH)
    for found in pipeline.evaluation_tables(metrics):
        table = Table(title=found.title, box=None, header_style="bold", title_justify="left")
        for at, column in enumerate(found.columns):
            table.add_column(column, justify="right" if at else "left", no_wrap=not at)
        for row in found.rows:
            table.add_row(*(safe(cell) for cell in row))
        screen.print(table)
        print()
    about = metrics["about"]
    split = metrics["random_split"].get("forest_pr_auc_at_1pct")
    if split is not None:
        print(f"for comparison only, flattering: a random split of the training rows gives PR-AUC at 1 % {split:.3f}")
    for name, n in about["sorted"].items():
        print(f"{safe(name)}: {n:,} rows were out of order; its rows were sorted by their end, as Zeek writes them")
    for name, n in about["artefacts_dropped"].items():
        print(f"{safe(name)}: {n:,} rows without a packet are artefacts of the capture and are not used, whatever their label")
    for name, n in about["contradictions"].items():
        print(f"{safe(name)}: {n:,} rows share all features with a row of the other label")
