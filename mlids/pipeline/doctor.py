"""`mlids doctor`: checks every part that the pipeline needs, and says what to do about each that is faulty."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mlids.errors import MlidsError, ModelError, StoreError, os_fault
from mlids.pipeline.live import watch_live
from mlids.pipeline.stores import open_archive, open_registry, open_sinks, open_stores, sensor_names
from mlids.settings import Sensor, Settings, load_settings

_LOW_BYTES = 5 << 30


@dataclass(frozen=True)
class Finding:
    """The check of one part: its name, whether it is well, and details or the error."""

    part: str
    well: bool
    text: str


def doctor() -> Iterator[Finding]:
    """Yield one finding per part. Raises SettingsError when the settings are invalid."""
    settings = load_settings()
    sensors = settings.sensors()
    yield _check("home", lambda: _home(settings))
    yield _check("database", lambda: f"{len(open_stores(settings).ledger.days())} sensor days in the ledger")
    yield _check("sinks", lambda: ", ".join(["the database", *(sink.name for sink in open_sinks(settings))]))
    yield _check("model", lambda: _model(settings))
    yield _check("sensors", lambda: ", ".join(sensor_names(settings)))
    for sensor in sensors:
        yield _check(f"sensor {sensor.name}", lambda sensor=sensor: _sensor(settings, sensor))  # type: ignore[misc]
    if sensors:
        yield _check("live scoring", lambda: ", ".join(f"{s['sensor']}: {s['state']}, {s['rows']:,} conns" for s in watch_live()))


def _check(part: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(part, True, check())
    except MlidsError as error:
        return Finding(part, False, str(error))
    except OSError as error:
        return Finding(part, False, os_fault(error))


def _home(settings: Settings) -> str:
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(settings.home).free
    except OSError as error:
        raise StoreError(os_fault(error, settings.home)) from error
    if free < _LOW_BYTES:
        raise StoreError(f"{settings.home}: only {free / 2**30:.1f} GiB are free; a day of six million conns needs about one")
    return f"{settings.home.resolve()}, {free / 2**30:,.0f} GiB free"


def _model(settings: Settings) -> str:
    registry = open_registry(settings)
    found = registry.version("production")
    if found is None:
        raise ModelError("no model is in production yet: run train_weekly or `mlids train`")
    registry.load("production")
    return f"version {found.version} is in production and passes its own test"


def _sensor(settings: Settings, sensor: Sensor) -> str:
    archive = open_archive(settings, sensor)
    try:
        days = archive.days()
    finally:
        archive.close()
    return f"reachable; days {days[0]} to {days[-1]}" if days else f"reachable; no day folder in {sensor.logs} yet"
