"""Options and arguments that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Annotated, ParamSpec, TypeVar

import typer

P = ParamSpec("P")
R = TypeVar("R")

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Day = Annotated[str, typer.Argument(help="Day of the sensor, YYYY-MM-DD.")]
Start = Annotated[str, typer.Option(help="First day, YYYY-MM-DD.")]
End = Annotated[str, typer.Option(help="The day after the last one.")]
Name = Annotated[str, typer.Argument(help="Name of the sensor in sensors.toml.")]


def needs_home(command: Callable[P, R]) -> Callable[P, R]:
    """Return a command that first asks for a home that is there, so that it makes none. It raises SettingsError without one."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        from mlids import pipeline

        pipeline.need_home()
        return command(*args, **kwargs)

    return run
