"""Options and arguments that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Day = Annotated[str, typer.Argument(help="Day of the sensor, YYYY-MM-DD.")]
Start = Annotated[str, typer.Option(help="First day, YYYY-MM-DD.")]
End = Annotated[str, typer.Option(help="The day after the last one.")]
Name = Annotated[str, typer.Argument(help="Name of the sensor in sensors.toml.")]
