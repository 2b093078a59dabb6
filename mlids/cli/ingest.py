"""`mlids pull`, `ingest`, `trust`: logs of a sensor, to the lake."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlids.cli.options import Day, Json, Name
from mlids.cli.output import Progress, show


def pull(sensor: Name, day: Day, as_json: Json = False) -> None:
    """Copy one day of a sensor's logs to the landing folder."""
    from mlids import pipeline

    with Progress() as progress:
        done = pipeline.pull(sensor, day, progress)
    show(done, as_json)


def ingest(
    sensor: Name, day: Day,
    paths: Annotated[list[Path] | None, typer.Argument(help="Log files or folders to ingest instead of the landed day.")] = None,
    accept_shrunk: Annotated[
        bool, typer.Option("--accept-shrunk", help="Let files and logs that became smaller replace what is held.")
    ] = False,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Write a landed day, or the given log files, to the lake as Parquet.

    A log that would have fewer rows than the lake holds stays as it is, and the exit code is 1.
    """
    from mlids import pipeline

    if paths:
        done = pipeline.ingest_paths(sensor, day, paths, accept_shrunk=accept_shrunk)
    else:
        done = pipeline.build_lake(sensor, day, accept_shrunk=accept_shrunk)
    show(done, as_json)
    if done["kept"]:
        raise typer.Exit(1)


def trust(sensor: Name, fingerprint: Annotated[str, typer.Option(help="SHA256:… as shown on the sensor itself.")]) -> None:
    """Add a sensor's host key to the known hosts, if it has this fingerprint."""
    from mlids import pipeline

    done = pipeline.trust(sensor, fingerprint)
    print(f"{sensor}: {done['fingerprint']} is now trusted ({done['known_hosts']})")


COMMANDS = (pull, ingest, trust)
