"""Environment variables: which ones are settings, misspelt ones, and those that MLDetection used."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from mlids.errors import SettingsError
from mlids.settings.sensors import Sensor, first_fault, unknown

log = logging.getLogger(__name__)

PREFIX = "MLIDS_"
# Variables that no setting has: of the command line, the Makefile and the set-up.
_OTHERS = {
    "MLIDS_DEBUG", "MLIDS_APT", "MLIDS_FAULTS", "MLIDS_FAULT_TABLE", "MLIDS_HOSTILE", "MLIDS_HOSTILE_TABLE",
    "MLIDS_BENCH_DATA", "MLIDS_BENCH_FLOWS", "MLIDS_SOAK_MINUTES",
}  # fmt: skip
# The sensor's field for each variable of MLDetection.
ZEEK = {"ZEEK_HOST": "host", "ZEEK_PORT": "port", "ZEEK_USER": "user", "ZEEK_PASS": "password", "ZEEK_REMOTE_ROOT": "logs"}


def variables_of(model: type[BaseModel], name: str) -> list[str]:
    """Return the variables that set a setting, the preferred one first."""
    choices = getattr(model.model_fields[name].validation_alias, "choices", None)
    return [str(c) for c in choices] if choices else [f"{PREFIX}{name}".upper()]


def set_variable(model: type[BaseModel], name: str, secrets: Path | str) -> str | None:
    """Return which variable, or which file of the folder of secrets, sets a setting; None when neither does."""
    present = {n.upper(): n for n in os.environ}
    names = variables_of(model, name)
    for variable in names:
        if variable in present and not (variable == "IDS_THRESHOLD" and threshold_note() is not None):
            return present[variable]
    files = (Path(secrets) / variable.lower() for variable in names)
    return next((str(f) for f in files if f.is_file()), None)


def check_variables(model: type[BaseModel]) -> None:
    """Raise SettingsError for a variable MLIDS_… that is no setting, with the nearest one and all of them.

    A sink of another package has its own: MLIDS_, the sink's name and more.
    """
    names = [v for n in model.model_fields for v in variables_of(model, n) if v.startswith(PREFIX)]
    for variable in sorted(os.environ):
        upper = variable.upper()
        if upper.startswith(PREFIX) and upper not in names and upper not in _OTHERS and not upper.startswith(_of_packages()):
            raise SettingsError(unknown("variable", variable, names))
    note = threshold_note()
    if note is not None:
        _warn_once(note)


def _of_packages() -> tuple[str, ...]:
    """Return how variables of other packages' sinks begin: MLIDS_ and the sink's name."""
    return tuple(f"{PREFIX}{name}_".upper() for name in _package_sinks(os.environ.get("MLIDS_SINKS", "")))


@cache
def _package_sinks(configured: str) -> frozenset[str]:
    from importlib.metadata import entry_points

    named = {n.strip() for n in configured.split(",") if n.strip()} - {"sqlite", "jsonl", "csv", "elasticsearch"}
    return frozenset({e.name for e in entry_points(group="mlids.sinks")} | named)


@cache
def _warn_once(note: str) -> None:
    log.warning(note)


def threshold_note(environment: Mapping[str, str] | None = None) -> str | None:
    """Return why IDS_THRESHOLD is not used, when it has the scale of MLDetection: below 0; else None."""
    text = (os.environ if environment is None else environment).get("IDS_THRESHOLD", "")
    try:
        value = float(text)
    except ValueError:
        return None
    if value >= 0:
        return None
    return (
        f"IDS_THRESHOLD is {text}, on MLDetection's scale (score of the IsolationForest, below 0 is unusual), which has no counterpart "
        "among risk scores (0 to 100, higher is worse): it is not used, and the threshold comes from the alert budget. "
        "Remove it, or set MLIDS_THRESHOLD"
    )


def sets_elasticsearch() -> bool:
    """Return whether ES_URL and ES_API_KEY, the variables of MLDetection, ask for the sink elasticsearch."""
    return bool(os.environ.get("ES_URL") and os.environ.get("ES_API_KEY"))


def sensor_of_environment() -> Sensor | None:
    """Return the sensor `zeek` that ZEEK_HOST and the other variables of MLDetection describe; None without ZEEK_HOST.

    Raises SettingsError for a value out of its range.
    """
    given: dict[str, Any] = {field: os.environ[name] for name, field in ZEEK.items() if os.environ.get(name)}
    if "host" not in given:
        return None
    try:
        return Sensor.model_validate({"name": "zeek"} | given)
    except ValidationError as error:
        raise SettingsError(f"environment (ZEEK_…): {first_fault(error)}") from error
