"""`mlids snapshot`, `train`, `promote`, `rollback`, `accept`: models from the lake, to production."""

from __future__ import annotations

from typing import Annotated

import typer

from mlids.cli.options import End, Json, Start, needs_home
from mlids.cli.output import Progress, show


@needs_home
def snapshot(start: Start, end: End, as_json: Json = False) -> None:
    """Store days of the lake as a snapshot for training."""
    from mlids import pipeline

    with Progress() as progress:
        facts = pipeline.snapshot(start, end, progress)
    show(facts, as_json)


@needs_home
def train(
    start: Annotated[str | None, typer.Option(help="First day; with --end, takes a snapshot of these days.")] = None,
    end: Annotated[str | None, typer.Option(help="The day after the last one.")] = None,
    snapshot_id: Annotated[str | None, typer.Option("--snapshot", help="Train on a snapshot taken earlier.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of both forests.")] = 0,
    promote: Annotated[bool, typer.Option("--promote/--no-promote", help="Let the gate decide on promotion.")] = True,
    as_json: Json = False,
) -> None:
    """Train both forests, register the model, and promote it unless it is worse than the model in production."""
    from mlids import pipeline
    from mlids.errors import InputError

    if snapshot_id is None:
        if not (start and end):
            raise InputError("no snapshot to train on: give --start and --end, or --snapshot")
        snapshot_id = pipeline.snapshot(start, end)["id"]
    done = pipeline.train(snapshot_id, seed=seed)
    if promote:
        done["gate"] = pipeline.evaluate_and_promote(done["version"], snapshot_id, who="command line")
    show(done, as_json)


@needs_home
def promote(
    version: Annotated[str, typer.Argument(help="Version of the registered model.")],
    snapshot_id: Annotated[str, typer.Option("--snapshot", help="Snapshot whose held-out rows are scored to compare the models.")],
    force: Annotated[bool, typer.Option("--force", help="Promote even if the gate refuses; recorded in the audit.")] = False,
    why: Annotated[str, typer.Option(help="Why, for the audit, beside what the gate says.")] = "",
    as_json: Json = False,
) -> None:
    """Compare a version with production and promote it unless it is worse. A week older than production's is never promoted."""
    from mlids import pipeline

    show(pipeline.evaluate_and_promote(version, snapshot_id, who="command line", force=force, reason=why), as_json)


@needs_home
def rollback(
    why: Annotated[str, typer.Option(help="Why, for the audit.")],
    to: Annotated[str | None, typer.Option(help="Version; default: the previous one.")] = None,
    as_json: Json = False,
) -> None:
    """Put the previous model back into production."""
    from mlids import pipeline

    show(pipeline.rollback(to=to, why=why, who="command line"), as_json)


@needs_home
def accept(
    version: Annotated[str, typer.Argument(help="Version of the registered model.")],
    sha256: Annotated[str, typer.Option(help="SHA-256 of the file that you trust (`sha256sum model.onnx`).")],
    why: Annotated[str, typer.Option(help="Why, for the audit.")],
    as_json: Json = False,
) -> None:
    """Seal a version that was not trained here, so that it can be promoted and scored with."""
    from mlids import pipeline

    show(pipeline.accept(version, sha256=sha256, why=why, who="command line"), as_json)


COMMANDS = (snapshot, train, promote, rollback, accept)
