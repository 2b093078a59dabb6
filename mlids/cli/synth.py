"""`mlids synth`: logs of a synthetic site."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def synth(
    out: Annotated[Path, typer.Argument(help="Folder for the log archive, in zeekctl's layout.")],
    days: Annotated[int, typer.Option(min=1, max=400, help="Days to write.")] = 1,
    first: Annotated[str, typer.Option(help="First day, YYYY-MM-DD.")] = "2026-11-02",
    flows: Annotated[int, typer.Option(min=100, max=50_000_000, help="Flows on a working day.")] = 20_000,
    attacks: Annotated[float, typer.Option(min=0, max=50, help="Attacks a day.")] = 1.0,
    intrusions: Annotated[
        float | None,
        typer.Option(
            min=0, max=50, help="Intrusions a day, which show in several logs; with this option the site has devices that resemble them."
        ),
    ] = None,
    logs: Annotated[str, typer.Option(help="Logs to write, a comma list; `all` for every one.")] = "all",
    form: Annotated[str, typer.Option("--format", help="Format of the logs: tsv or json.")] = "tsv",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the synthetic site.")] = 7,
    zone: Annotated[str, typer.Option(help="The sensor's time zone.")] = "UTC",
) -> None:
    """Write the logs of a synthetic site; labels of the implanted attacks go to OUT-labels.jsonl."""
    from mlids import pipeline

    for day in pipeline.write_synthetic_logs(
        out,
        first=first,
        days=days,
        flows=flows,
        attacks_per_day=attacks,
        intrusions_per_day=intrusions,
        logs=logs,
        form=form,
        seed=seed,
        zone=zone,
    ):
        print(f"{day['day']}: {day['conns']:,} conns, {len(day['attacks'])} attacks ({', '.join(day['attacks']) or 'none'})")


COMMANDS = (synth,)
