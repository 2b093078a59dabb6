"""`mlids notify`: sends severe alerts and cases, and what stands still, to people."""

from __future__ import annotations

from typing import Annotated

import typer

from mlids.cli.options import Json, needs_home
from mlids.cli.output import show
from mlids.errors import InputError

DryRun = Annotated[bool, typer.Option("--dry-run", help="Send nothing; count what would be sent.")]
Test = Annotated[bool, typer.Option("--test", help="Send one message that says that it is a test.")]


@needs_home
def notify(dry_run: DryRun = False, test: Test = False, as_json: Json = False) -> None:
    """Send what is severe, or stands still, by mail and webhook: each thing once."""
    from mlids import pipeline

    done = pipeline.notify(dry_run=dry_run, test=test)
    if not done["channels"]:
        raise InputError(f"nobody is notified: {done['why']}")
    show(done, as_json)


COMMANDS = (notify,)
