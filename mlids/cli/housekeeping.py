"""`mlids housekeeping`: remove what is older than its setting."""

from __future__ import annotations

from typing import Annotated

import typer

from mlids.cli.options import Json, needs_home
from mlids.cli.output import console, safe, show


@needs_home
def housekeeping(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Remove nothing; list what would go and what stays.")] = False,
    clock_is_right: Annotated[
        bool, typer.Option("--clock-is-right", help="Go on although the clock has moved by more than 30 days since the last run.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Remove what is older than its MLIDS_KEEP_ setting. Exit code 1 if a store could not be cleaned; the others are."""
    from mlids import pipeline

    done = pipeline.housekeeping(dry_run=dry_run, clock_is_right=clock_is_right)
    if as_json:
        show(done, True)
    else:
        for store in done["stores"]:
            _print(store, dry_run)
        console().print(f"{'would go' if dry_run else 'removed'}: {done['removed']:,} things, {done['bytes']:,} bytes")
    if done["failed"]:
        raise typer.Exit(1)


def _print(store: dict[str, object], dry_run: bool) -> None:
    if dry_run:
        for item in store["items"]:  # type: ignore[attr-defined]
            print(safe(f"{item['what']}: {item['count']:,}, {item['bytes']:,} bytes{', stays: ' + item['kept'] if item['kept'] else ''}"))
    print(safe(f"{store['store']}: {store['removed']:,} {'would go' if dry_run else 'removed'}, {store['bytes']:,} bytes"))
    for reason, count in store["kept"].items():  # type: ignore[attr-defined]
        print(safe(f"  {count:,} stay: {reason}"))
    if store["error"]:
        print(safe(f"  failed: {store['error']}"))


COMMANDS = (housekeeping,)
