"""Entry point of `mlids`. Commands import what they need when they run, so that each starts fast."""

from __future__ import annotations

import os
import sys

import typer

from mlids.cli import housekeeping, ingest, live, models, notification, reports, synth
from mlids.cli.alerts import app as alerts
from mlids.cli.cases import app as cases
from mlids.cli.config import app as config
from mlids.cli.demo import demo
from mlids.cli.elastic import app as elastic
from mlids.cli.evaluate import evaluate, spread_out
from mlids.cli.kibana import app as kibana
from mlids.cli.output import fail
from mlids.cli.score import score
from mlids.errors import MlidsError, StoreError, os_fault

app = typer.Typer(
    name="mlids", help="Turns a Zeek sensor into an intrusion detection system that retrains itself.",
    no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None,
)  # fmt: skip
app.command()(score)
app.command()(demo)
app.command()(evaluate)
for command in (
    *ingest.COMMANDS, *models.COMMANDS, *reports.COMMANDS, *live.COMMANDS, *notification.COMMANDS, *housekeeping.COMMANDS, *synth.COMMANDS,
):  # fmt: skip
    app.command()(command)
app.add_typer(alerts, name="alerts")
app.add_typer(cases, name="cases")
app.add_typer(elastic, name="elastic")
app.add_typer(kibana, name="kibana")
app.add_typer(config, name="config")


def _version(value: bool) -> None:
    if value:
        from mlids import __version__

        print(f"mlids {__version__}")
        raise typer.Exit


@app.callback()
def root(version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version.")) -> None:
    """Turns a Zeek sensor into an intrusion detection system that retrains itself."""


def main() -> None:
    """Run the command line. A MlidsError is printed as one line and sets the exit code."""
    try:
        app(args=spread_out(sys.argv[1:]) if sys.argv[1:2] == ["evaluate"] else None)
    except MlidsError as error:
        sys.exit(fail(str(error), error.exit_code))
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)
    except KeyboardInterrupt:
        sys.exit(fail("interrupted", 130))
    except OSError as error:  # of the machine, not of mlids: what and where is enough
        if os.environ.get("MLIDS_DEBUG"):
            raise
        sys.exit(fail(os_fault(error), StoreError.exit_code))
    except Exception as error:
        if os.environ.get("MLIDS_DEBUG"):
            raise
        sys.exit(fail(f"unexpected {type(error).__name__}: {error} (MLIDS_DEBUG=1 shows where; please report it)", 70))


if __name__ == "__main__":
    main()
