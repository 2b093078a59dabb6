"""`mlids doctor`: checks every part that the pipeline needs, and says what to do about each that is faulty."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass

from mlids.errors import MlidsError, ModelError, OtherFeaturesError, SourceError, StoreError, os_fault
from mlids.pipeline.production import find_production
from mlids.pipeline.stores import dead_letters_file, home_fault, open_archive, open_registry, open_sinks, open_stores, sensor_names
from mlids.pipeline.views import scorer_statuses
from mlids.pipeline.watch import check_live
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
    fault = home_fault(settings)
    if fault is not None:  # the other checks would make one
        yield Finding("home", False, fault)
        yield _check("sinks", lambda: _sinks(settings))
        yield _check("sensors", lambda: ", ".join(sensor_names(settings)))
        return
    yield _check("home", lambda: _home(settings))
    yield _check("database", lambda: f"{len(open_stores(settings).ledger.days())} sensor days in the ledger")
    yield _check("sinks", lambda: _sinks(settings))
    if "elasticsearch" in settings.sinks:
        yield _check("index templates", lambda: _templates(settings))
    yield _check("model", lambda: _model(settings))
    yield _check("sensors", lambda: ", ".join(sensor_names(settings)))
    for sensor in sensors:
        yield _check(f"sensor {sensor.name}", lambda sensor=sensor: _sensor(settings, sensor))  # type: ignore[misc]
    if sensors:
        yield _check("put aside", lambda: _put_aside(settings))
        yield _check("other logs", lambda: _other_logs(settings))
        yield _check("live scoring", lambda: ", ".join(f"{s['sensor']}: {s['state']}, {s['rows']:,} conns" for s in check_live()))


def _check(part: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(part, True, check())
    except MlidsError as error:
        return Finding(part, False, str(error))
    except OSError as error:
        return Finding(part, False, os_fault(error))


def _home(settings: Settings) -> str:
    try:
        settings.home.mkdir(parents=True, exist_ok=True)  # the database may be elsewhere
        free = shutil.disk_usage(settings.home).free
    except OSError as error:
        raise StoreError(os_fault(error, settings.home)) from error
    if free < _LOW_BYTES:
        raise StoreError(f"{settings.home}: only {free / 2**30:.1f} GiB are free; a day of six million conns needs about one")
    return f"{settings.home.resolve()}, {free / 2**30:,.0f} GiB free"


def _sinks(settings: Settings) -> str:
    from mlids.alerts.dead_letters import DeadLetters
    from mlids.alerts.sinks.base import Checked

    texts = ["the database"]
    for sink in open_sinks(settings):
        with closing(sink):
            texts.append(f"{sink.name} ({sink.check()})" if isinstance(sink, Checked) else sink.name)
    letters = sum(DeadLetters(dead_letters_file(settings)).count().values())
    waiting = f"; {letters:,} dead letters wait for `mlids alerts resend`" if letters else ""
    return ", ".join(texts) + waiting


def _templates(settings: Settings) -> str:
    """Name the templates that a sink's server lacks, or has in an older version."""
    from mlids.alerts.sinks.base import Templated

    found = []
    for sink in open_sinks(settings):
        with closing(sink):
            if isinstance(sink, Templated):
                found.append(sink.templates())
    texts = "; ".join(text for _, text in found)
    if not all(well for well, _ in found):
        raise StoreError(texts)
    return texts


def _model(settings: Settings) -> str:
    from mlids.detectors.reference import load_reference

    registry = open_registry(settings)
    found = find_production(registry, open_stores(settings).audit)
    reference = load_reference()
    meanwhile = f"the reference model, {reference.version}, scores"
    if found.fault is not None:
        raise ModelError(found.fault)
    if found.version is None:
        return f"no model is in production yet: {meanwhile} until train_weekly or `mlids train` and `mlids promote` give one of this site"
    try:
        registry.load(found.version, found.sha256)
    except OtherFeaturesError as error:
        raise OtherFeaturesError(f"version {found.version} is refused: {error}; {meanwhile} meanwhile") from error
    return f"version {found.version} is in production; its seal and its self-test are right"


def _other_logs(settings: Settings) -> str:
    """Name the sensors whose logs beside conn.log are not read as they should be."""
    found = scorer_statuses(settings)
    faults = [f"{s.sensor}: {s.log_error}" for s in found if s.log_error is not None]
    if faults:
        raise SourceError("; ".join(faults) + "; the night gathers the cases of the day from the archive all the same")
    if not settings.live_logs:
        return "live scoring follows conn.log only (MLIDS_LIVE_LOGS is empty)"
    rows = ", ".join(f"{s.sensor}: {sum(s.log_rows.values()):,} rows of {sum(n > 0 for n in s.log_rows.values())} logs" for s in found)
    return rows or "no scorer has read them yet"


def _put_aside(settings: Settings) -> str:
    """Name the lines that killed a scorer."""
    from mlids.ingest.read_mark import PUT_ASIDE, put_aside

    found = []
    for sensor in settings.sensors():
        for folder in (settings.state / sensor.name, settings.state / sensor.name / "logs"):
            entries = put_aside(folder)
            if not entries:
                continue
            last = entries[-1]
            found.append(
                f"{sensor.name}: {sum(e['lines'] for e in entries):,} lines, the last of {last['file']} at byte {last['offset']:,}: {last['reason']}; "
                f"look at {folder / PUT_ASIDE}, report them, then remove the file"
            )
    if found:
        raise SourceError("; ".join(found))
    return "no line of a log was put aside because it killed a scorer"


def _sensor(settings: Settings, sensor: Sensor) -> str:
    with closing(open_archive(settings, sensor)) as archive:
        days = archive.days()
    return f"reachable; days {days[0]} to {days[-1]}" if days else f"reachable; no day folder in {sensor.logs} yet"
