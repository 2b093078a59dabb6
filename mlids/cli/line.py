"""The steps of the line as commands: what the DAGs do, one at a time, by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from mlids.cli.output import Progress, console, safe

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Day = Annotated[str, typer.Argument(help="Day of the sensor, YYYY-MM-DD.")]
Start = Annotated[str, typer.Option(help="First day, YYYY-MM-DD.")]
End = Annotated[str, typer.Option(help="The day after the last one.")]
Name = Annotated[str, typer.Argument(help="Name of the sensor in sensors.toml.")]


def show(facts: Any, as_json: bool) -> None:
    """Print an outcome: JSON, or one `name: value` a line."""
    if as_json:
        print(json.dumps(facts, indent=1, default=str))
        return
    for name, value in facts.items() if isinstance(facts, dict) else enumerate(facts):
        shown = json.dumps(value, default=str) if isinstance(value, (dict, list)) else value
        print(f"{safe(name)}: {safe(shown)}")


def pull(sensor: Name, day: Day, as_json: Json = False) -> None:
    """Pull one day of a sensor's logs into landing."""
    from mlids import pipeline

    with Progress() as progress:
        done = pipeline.pull(sensor, day, progress)
    show(done, as_json)


def ingest(
    sensor: Name, day: Day,
    paths: Annotated[list[Path] | None, typer.Argument(help="Log files or folders instead of the landed day.")] = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Turn a landed day, or loose logs, into the lake's Parquet."""
    from mlids import pipeline

    show(pipeline.ingest_paths(sensor, day, paths) if paths else pipeline.build_lake(sensor, day), as_json)


def trust(sensor: Name, fingerprint: Annotated[str, typer.Option(help="SHA256:… as the sensor itself shows it.")]) -> None:
    """Add a sensor's host key after you compared its fingerprint."""
    from mlids import pipeline

    done = pipeline.trust(sensor, fingerprint)
    print(f"{sensor}: {done['fingerprint']} is trusted now ({done['known_hosts']})")


def snapshot(start: Start, end: End, as_json: Json = False) -> None:
    """Freeze days of the lake for training."""
    from mlids import pipeline

    with Progress() as progress:
        facts = pipeline.snapshot(start, end, progress)
    show(facts, as_json)


def train(
    start: Annotated[str | None, typer.Option(help="First day; with --end takes a snapshot first.")] = None,
    end: Annotated[str | None, typer.Option(help="The day after the last one.")] = None,
    snapshot_id: Annotated[str | None, typer.Option("--snapshot", help="A snapshot that was taken before.")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    promote: Annotated[bool, typer.Option("--promote/--no-promote", help="Let the gate decide on promotion.")] = True,
    as_json: Json = False,
) -> None:
    """Train both forests, register the bundle, and promote it when it is not worse."""
    from mlids import pipeline
    from mlids.errors import InputError

    if snapshot_id is None:
        if not (start and end):
            raise InputError("give --start and --end, or --snapshot")
        snapshot_id = pipeline.snapshot(start, end)["id"]
    done = pipeline.train(snapshot_id, seed=seed)
    if promote:
        done["gate"] = pipeline.evaluate_and_promote(done["version"], snapshot_id, who="command line")
    show(done, as_json)


def promote(
    version: Annotated[str, typer.Argument(help="Version of the registered model.")],
    snapshot_id: Annotated[str, typer.Option("--snapshot", help="Snapshot whose held-out rows judge it.")],
    force: Annotated[bool, typer.Option("--force", help="Promote even when the gate refuses; the audit says so.")] = False,
    as_json: Json = False,
) -> None:
    """Judge a version against production and promote it when it is not worse."""
    from mlids import pipeline

    show(pipeline.evaluate_and_promote(version, snapshot_id, who="command line", force=force), as_json)


def rollback(
    why: Annotated[str, typer.Option(help="Why, for the audit.")],
    to: Annotated[str | None, typer.Option(help="Version; default: the previous one.")] = None,
    as_json: Json = False,
) -> None:
    """Put the previous model back into production."""
    from mlids import pipeline

    show(pipeline.rollback(to=to, why=why, who="command line"), as_json)


def drift(start: Start, end: End, as_json: Json = False) -> None:
    """Compare days with as many before them."""
    from mlids import pipeline

    show(pipeline.drift(start, end), as_json)


def report(start: Start, end: End, as_json: Json = False) -> None:
    """Write the report over days, as HTML and PDF."""
    from mlids import pipeline

    show(pipeline.report(start, end), as_json)


def serve(
    sensors: Annotated[list[str] | None, typer.Argument(help="Sensors of sensors.toml; default: all of them.")] = None,
    seconds: Annotated[float | None, typer.Option(min=1, help="Stop after this long; default: run until told to stop.")] = None,
    metrics_port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port of /metrics and /healthz; 0: none.")] = None,
    as_json: Json = False,
) -> None:
    """Follow the growing conn.log of sensors and alert within a second or so."""
    import logging

    from mlids import pipeline

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("paramiko").setLevel(logging.WARNING)
    done = pipeline.serve(sensors or (), seconds, metrics_port=metrics_port)
    if as_json:
        show(done, True)
    else:
        for status in done:
            show(status, False)


def reconcile(sensor: Name, day: Day, as_json: Json = False) -> None:
    """Hold a day of the lake against what was scored live; score the rest late."""
    from mlids import pipeline

    with Progress() as progress:
        done = pipeline.reconcile(sensor, day, progress)
    show(done, as_json)


def doctor(as_json: Json = False) -> None:
    """Look at every part; say what to do about each that is not well. Exit code 1 when one is not."""
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


def status(as_json: Json = False) -> None:
    """Show scorers, the model in production and the last days."""
    from mlids import pipeline

    facts = pipeline.overview(limit=5)
    shown = {
        "model": facts["model"]["version"] if facts["model"] else None,
        "scorers": [{k: s[k] for k in ("sensor", "state", "rows", "lag_s", "last_error", "updated_at")} for s in facts["scorers"]],
        "days": [
            {k: r[k] for k in ("day", "sensor", "archived", "rejected", "live", "late", "missing", "alerts", "problems")}
            for r in facts["ledger"][:14]
        ],
        "reports": facts["reports"][:6],
    }
    show(shown, as_json)


def synth(
    out: Annotated[Path, typer.Argument(help="Folder for the log archive (zeekctl's layout).")],
    days: Annotated[int, typer.Option(min=1, max=400)] = 1,
    first: Annotated[str, typer.Option(help="First day, YYYY-MM-DD.")] = "2026-11-02",
    flows: Annotated[int, typer.Option(min=100, max=50_000_000, help="Flows on a working day.")] = 20_000,
    attacks: Annotated[float, typer.Option(min=0, max=50, help="Attacks a day.")] = 1.0,
    form: Annotated[str, typer.Option("--format", help="tsv or json.")] = "tsv",
    seed: Annotated[int, typer.Option(min=0)] = 7,
    zone: Annotated[str, typer.Option(help="The sensor's time zone.")] = "UTC",
) -> None:
    """Write a made-up site's logs; the planted attacks' labels go to OUT-labels.jsonl."""
    from mlids import pipeline

    for day in pipeline.write_synthetic_logs(
        out, first=first, days=days, flows=flows, attacks_per_day=attacks, form=form, seed=seed, zone=zone
    ):
        print(f"{day['day']}: {day['conns']:,} conns, {len(day['attacks'])} attacks ({', '.join(day['attacks']) or 'none'})")


COMMANDS = (pull, ingest, trust, snapshot, train, promote, rollback, drift, report, serve, reconcile, status, doctor, synth)
