"""`mlids evaluate`: metrics on labelled logs of other networks, as a table and as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from mlids.cli.output import Progress, console, safe

MANY = {"--train", "--calibrate", "--test"}


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


Logs = Annotated[list[Path] | None, typer.Option(help="Labelled logs or folders, one capture each; several may follow.")]


def evaluate(
    train: Logs = None, calibrate: Logs = None, test: Logs = None,
    leave_one_out: Annotated[bool, typer.Option("--leave-one-out", help="Test each capture with a model trained on all the others.")] = False,
    seeds: Annotated[int, typer.Option(min=1, max=20, help="Trainings to average over.")] = 5,
    budget: Annotated[float, typer.Option(min=0.1, help="Alerts a day that the site's own threshold allows.")] = 20.0,
    out: Annotated[Path | None, typer.Option(help="Write the metrics to this file, as JSON.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:  # fmt: skip
    """Measure how well the two forests find attacks on labelled networks that they were not trained on."""
    from mlids import pipeline

    with Progress() as progress:
        metrics = pipeline.evaluate(
            train or (), calibrate or (), test or (), leave_one_out=leave_one_out, seeds=seeds, budget=budget, out=out, progress=progress
        )
    if as_json:
        print(json.dumps(metrics, indent=1))
    else:
        _print(metrics)
        if out is not None:
            print(f"all metrics: {out}")


_NAME, _WIDTH = 36, 190  # a narrow terminal wraps whole lines
_COLUMNS = {
    "pr_auc_at_1pct": "PR-AUC at 1 %", "recall_at_fpr_1pct": "recall at 1 %", "recall_at_fpr_0_1pct": "at 0.1 %",
    "recall_carried_1pct": "1 % carried", "actual_fpr_carried_1pct": "its FPR", "recall_site": "site's threshold",
    "actual_fpr_site": "its FPR", "alerts_per_day": "alerts/day",
}  # fmt: skip


def _print(metrics: dict[str, Any]) -> None:
    from rich.table import Table

    everything = tuple(metrics["about"]["detectors"])
    table = Table(title="captures that the model was not trained on", box=None, header_style="bold")
    for name in ("capture", "detector", "attacks", "benign", *_COLUMNS.values()):
        table.add_column(name, justify="left" if name in {"capture", "detector"} else "right", no_wrap=True)
    blocks: list[tuple[str, Any, tuple[str, ...]]] = [(name, c["all"], ("hybrid",)) for name, c in metrics["captures"].items()]
    blocks += [("pooled", metrics["pooled"], everything), ("mean over captures", metrics["macro"], everything)]
    blocks += [("pooled, only implanted attacks", metrics["implanted_only"]["pooled"], ("forest", "hybrid"))]
    for name, entry, detectors in blocks:
        for detector in detectors:
            if detector in entry:
                counts = [f"{entry[k]:,}" if k in entry else "" for k in ("n_attack", "n_benign")]
                shown = safe(name if len(name) <= _NAME else f"{name[: _NAME - 1]}…")
                first = shown if detector == detectors[0] else ""
                table.add_row(first, detector, *counts, *(_shown(entry[detector][m]) for m in _COLUMNS))
    screen = console()
    screen.width = max(screen.width, _WIDTH)
    screen.print(table)
    split = metrics["random_split"].get("forest_pr_auc_at_1pct")
    if split is not None:
        print(f"for comparison only, flattering: a random split of the training rows gives PR-AUC at 1 % {split:.3f}")
    for name, n in metrics["about"]["artefacts_dropped"].items():
        print(f"{safe(name)}: {n:,} rows without a packet are artefacts of the capture and are not used, whatever their label")
    for name, n in metrics["about"]["contradictions"].items():
        print(f"{safe(name)}: {n:,} rows share all features with a row of the other label")


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}" if value >= 2 else f"{value:.3f}"
