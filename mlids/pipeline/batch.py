"""Batch scoring, evaluation and synthetic logs: commands that need no home and no sensor."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, BinaryIO

from mlids.errors import InputError
from mlids.files import write_atomic
from mlids.pipeline.stores import check_networks, open_model, open_registry
from mlids.window import parse_day

if TYPE_CHECKING:
    from mlids.detectors.record_forests import RecordForest
    from mlids.scoring.batch import Scored
    from mlids.training.cross_capture.captures import Capture
    from mlids.training.cross_capture.tables import Table


def score_logs(
    paths: Sequence[Path | BinaryIO], *, model: str | None = None, train: Sequence[Path] = (), fit: bool = False,
    networks: Sequence[str] = (), logs: str | None = None, out: Path | None = None, sensor: str = "zeek",
    progress: Callable[[str], None] = lambda _: None, **options: Any,
) -> Scored:  # fmt: skip
    """Score every conn of `paths` and return the ranked findings, and every record of http, dns, ssh and ssl beside it.

    The model is `model` (a file, a folder or a `models:/…` URI), or learned from the logs `train`, or with `fit` from the
    scored rows; without any of the three it is the reference model, which has no forests of other logs: these are then fitted
    on the scored rows. `logs` is a comma list of the logs to score. `options` are the other fields of
    `mlids.scoring.batch.ScoreOptions`. Raises InputError for more than one of the three, a network that is not CIDR
    notation or a log that is not scored, ModelError for a model that cannot be used, and what `mlids.scoring.batch.score_logs` raises.
    """
    from mlids.detectors.bundle import Bundle
    from mlids.detectors.reference import load_reference
    from mlids.scoring.batch import ScoreOptions
    from mlids.scoring.batch import score_logs as run
    from mlids.scoring.records import RecordScoring, parse_logs

    if (model is not None) + bool(train) + fit > 1:
        raise InputError("use one of --model, --train and --fit")
    wanted = parse_logs(logs)
    how: dict[str, Any] = {"train": train, "networks": check_networks(networks), "out": out, "sensor": sensor, "conns": "conn" in wanted}
    forests: dict[str, RecordForest] = {}
    trained_on = ""
    if model is not None:
        how |= {"model": (used := open_model(model)), "trained_on": (trained_on := "a trained model")}
        forests = used.record_forests() if isinstance(used, Bundle) else {}
    elif train:
        forests, trained_on = _learn_records(train, wanted), "other days given with --train"
    elif not fit:
        how |= {"model": (used := load_reference()), "trained_on": f"synthetic networks only (the reference model, {used.version})"}
    checked = ScoreOptions(**how, **options)
    checked.check()
    with TemporaryDirectory(prefix="mlids-records-") as folder:
        records = RecordScoring(Path(folder), wanted, sensor=sensor, forests=forests, trained_on=trained_on)
        scored = run(paths, replace(checked, records=records), progress)
        return replace(scored, records=records.finish(out))


def _learn_records(train: Sequence[Path], logs: Sequence[str]) -> dict[str, RecordForest]:
    """Return the forests of those of `logs` beside conn that `train` holds; a file that cannot be read is left out."""
    from mlids.ingest.conns import Reading
    from mlids.scoring.records import RecordSamples, read_records

    samples = RecordSamples(logs)
    read_records(train, samples, Reading())
    return samples.forests()


def evaluate(
    train: Sequence[Path], calibrate: Sequence[Path], test: Sequence[Path], *, captures: Path | None = None, data: Path | None = None,
    laboratories: Sequence[str] = (), leave_one_out: bool = False, seeds: int = 5, budget: float = 20.0, out: Path | None = None,
    track: bool = False, progress: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:  # fmt: skip
    """Return the metrics of both forests on labelled captures that they were not trained on, and write them to `out` as JSON.

    `track` logs them to MLflow as well, and adds `run_id` to what is returned; that needs the settings of a home.
    `captures` is a file that lists captures to train on, with paths below `data`; `laboratories` are texts NAME=PATTERN for
    the other paths. `seeds` is the number of trainings. Raises InputError without captures to train or test on, or for a
    file of captures that cannot be used; NoRowsError for a capture without labels.
    """
    from mlids.training.cross_capture.captures import load_capture
    from mlids.training.cross_capture.evaluate import EvaluateOptions
    from mlids.training.cross_capture.evaluate import evaluate as run
    from mlids.training.cross_capture.listing import ListedCapture, by_pattern, read_listing

    listed = read_listing(captures, data) if captures is not None else []
    if not (train or listed) or not (test or leave_one_out):
        raise InputError("give --train with labelled logs (or --captures), and --test with others or --leave-one-out")

    def load(sources: Sequence[ListedCapture]) -> list[Capture]:
        found = []
        for source in sources:
            progress(f"reading {source.name}")
            found.append(load_capture(source))
        return found

    options = EvaluateOptions(leave_one_out, range(seeds), budget)
    trained, calibrated, tested = (by_pattern(paths, laboratories) for paths in (train, calibrate, test))
    metrics = run(load([*listed, *trained]), load(calibrated), load(tested), options, progress)
    if out is not None:
        write_atomic(out, json.dumps(metrics, indent=1) + "\n")
    if track:
        return metrics | {"run_id": log_evaluation(metrics)}
    return metrics


def log_evaluation(metrics: dict[str, Any]) -> str:
    """Log metrics of `evaluate` to MLflow, and return the id of the run. Raises StoreError when MLflow does not take them."""
    from mlids.features.spec import FEATURES_VERSION
    from mlids.settings import load_settings
    from mlids.training.experiments import evaluation_tags

    return open_registry(load_settings()).runs.log_evaluation(metrics, evaluation_tags(FEATURES_VERSION))


def evaluation_tables(metrics: dict[str, Any]) -> list[Table]:
    """Return the tables of the metrics that `evaluate` returned: a title, column names and rows of text."""
    from mlids.training.cross_capture.tables import tables

    return tables(metrics)


def write_synthetic_logs(
    out: Path, *, first: str, days: int, flows: int, attacks_per_day: float, intrusions_per_day: float | None = None,
    logs: str = "all", form: str = "tsv", seed: int = 7, zone: str = "UTC",
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """Write days of a synthetic site below `out`, and the labels of its attacks to OUT-labels.jsonl; yield day, conns and attacks.

    `logs` is a comma list of logs, conn.log always among those written, or `all`. Raises InputError for another form than
    tsv or json, a log that synthetic sites do not have, or a day that is not a date.
    """
    from mlids.synth.archive import save_labels, write_days
    from mlids.synth.ordinary.day import OTHER_LOGS
    from mlids.synth.site import Site

    if form not in {"tsv", "json"}:
        raise InputError(f"--format {form}: use tsv or json")
    chosen = set(OTHER_LOGS) if logs == "all" else {log.strip() for log in logs.split(",")} - {"conn", ""}
    if unknown := sorted(chosen - set(OTHER_LOGS)):
        raise InputError(f"--logs {','.join(unknown)}: a synthetic site has {', '.join(('conn', *OTHER_LOGS))}")
    start = parse_day(first)
    labels = out.with_name(f"{out.name}-labels.jsonl")
    labels.unlink(missing_ok=True)
    span = [start + timedelta(days=n) for n in range(days)]
    for day, rows, implanted in write_days(
        out, Site(seed), span, flows=flows, attacks_per_day=attacks_per_day, intrusions_per_day=intrusions_per_day, form=form, zone=zone,
        logs=chosen,
    ):  # fmt: skip
        save_labels(labels, implanted)
        yield {"day": day.isoformat(), "conns": rows, "attacks": [p.attack for p in implanted]}
