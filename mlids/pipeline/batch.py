"""Batch scoring, evaluation and synthetic logs: commands that need no home and no sensor."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from mlids.errors import InputError
from mlids.files import write_atomic
from mlids.pipeline.stores import check_networks, open_model
from mlids.window import parse_day

if TYPE_CHECKING:
    from mlids.scoring.batch import Scored
    from mlids.training.cross_capture.captures import Capture


def score_logs(
    paths: Sequence[Path | BinaryIO], *, model: str | None = None, networks: Sequence[str] = (),
    progress: Callable[[str], None] = lambda _: None, **options: Any,
) -> Scored:  # fmt: skip
    """Score every conn of `paths` and return the ranked findings; `model` is a file, a folder or a `models:/…` URI.

    `options` are the other fields of `mlids.scoring.batch.ScoreOptions`. Raises InputError for a network that is not
    CIDR notation, ModelError for a model that cannot be used, and what `mlids.scoring.batch.score_logs` raises.
    """
    from mlids.scoring.batch import ScoreOptions
    from mlids.scoring.batch import score_logs as run

    checked = check_networks(networks)
    return run(paths, ScoreOptions(model=open_model(model) if model else None, networks=checked, **options), progress)


def evaluate(
    train: Sequence[Path], calibrate: Sequence[Path], test: Sequence[Path], *, leave_one_out: bool = False, seeds: int = 5,
    budget: float = 20.0, out: Path | None = None, progress: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:  # fmt: skip
    """Return the metrics of both forests on labelled captures that they were not trained on, and write them to `out` as JSON.

    `seeds` is the number of trainings. Raises InputError without captures to train or test on, NoRowsError for a capture
    without labels.
    """
    from mlids.training.cross_capture.captures import load_capture
    from mlids.training.cross_capture.evaluate import EvaluateOptions
    from mlids.training.cross_capture.evaluate import evaluate as run

    if not train or not (test or leave_one_out):
        raise InputError("give --train with labelled logs, and --test with others or --leave-one-out")

    def load(paths: Sequence[Path]) -> list[Capture]:
        found = []
        for path in paths:
            progress(f"reading {path}")
            found.append(load_capture(path))
        return found

    options = EvaluateOptions(leave_one_out, range(seeds), budget)
    metrics = run(load(train), load(calibrate), load(test), options, progress)
    if out is not None:
        write_atomic(out, json.dumps(metrics, indent=1) + "\n")
    return metrics


def write_synthetic_logs(
    out: Path, *, first: str, days: int, flows: int, attacks_per_day: float, form: str = "tsv", seed: int = 7, zone: str = "UTC"
) -> Iterator[dict[str, Any]]:
    """Write days of a synthetic site below `out`, and the labels of its attacks to OUT-labels.jsonl; yield day, conns and attacks.

    Raises InputError for another form than tsv or json, or a day that is not a date.
    """
    from mlids.synth.archive import save_labels, write_days
    from mlids.synth.site import Site

    if form not in {"tsv", "json"}:
        raise InputError(f"--format {form}: use tsv or json")
    start = parse_day(first)
    labels = out.with_name(f"{out.name}-labels.jsonl")
    labels.unlink(missing_ok=True)
    span = [start + timedelta(days=n) for n in range(days)]
    for day, rows, implanted in write_days(out, Site(seed), span, flows=flows, attacks_per_day=attacks_per_day, form=form, zone=zone):
        save_labels(labels, implanted)
        yield {"day": day.isoformat(), "conns": rows, "attacks": [p.attack for p in implanted]}
