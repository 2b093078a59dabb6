"""Opens every store from the settings: lake, tables, registry, archives, sinks, models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mlids.errors import InputError, ModelError, SettingsError, os_fault
from mlids.settings import SETTINGS_FILE, Sensor, Settings, checked_networks, load_settings, source_of

if TYPE_CHECKING:
    from mlids.alerts.delivery import Delivery
    from mlids.alerts.sinks.base import Sink
    from mlids.alerts.stores import Stores
    from mlids.detectors.bundle import Model
    from mlids.ingest.archive import Archive
    from mlids.ingest.lake import Lake
    from mlids.ingest.storage import LogStorage
    from mlids.scoring.scored_record import ScoredRecord
    from mlids.training.registry import Registry
    from mlids.training.seal import SealKey


# What a home has, any of them.
_IN_HOME = ("mlids.db", "sensors.toml", SETTINGS_FILE, "lake", "landing", "mlruns", "state", "alerts", "reports")


def home_fault(settings: Settings) -> str | None:
    """Return that there is no home, and what to do; None when there is one, or the database is elsewhere (`database_url`)."""
    where = settings.home.absolute()
    try:
        if settings.database_url or any((settings.home / name).exists() for name in _IN_HOME):
            return None
    except OSError as error:
        return os_fault(error)
    if where.exists() and not where.is_dir():
        return f"{where}: a file is where a folder is needed; move the file away, or set MLIDS_HOME to the folder of your home"
    source = source_of("home", settings)
    said = "MLIDS_HOME is not set, so it is looked for in the current folder" if source == "default" else f"set by {source}"
    what = "this folder has no database, sensors.toml or lake" if where.is_dir() else "there is no such folder"
    return f"no home of mlids at {where}: {what} ({said}). Set MLIDS_HOME to the folder of your home, or make one: `mlids config init`"


def need_home() -> None:
    """Raise SettingsError when there is no home: commands that only read must not make an empty one and find nothing in it."""
    found = home_fault(load_settings())
    if found is not None:
        raise SettingsError(found)


def check_networks(networks: Sequence[str]) -> tuple[str, ...]:
    """Return the networks, checked. Raises InputError naming the one that is no CIDR."""
    try:
        return checked_networks(networks)
    except ValueError as error:
        raise InputError(str(error)) from None


def open_lake(settings: Settings) -> Lake:
    """Return the lake."""
    from mlids.ingest.lake import Lake

    return Lake(settings.lake)


def open_stores(settings: Settings) -> Stores:
    """Return the stores of alerts, rules, cases, ledger and audit. Raises StoreError when the database cannot be opened."""
    from mlids.alerts.stores import open_stores as run
    from mlids.cases.severity import LEVELS

    return run(settings.database, settings.severity or LEVELS)


def open_registry(settings: Settings) -> Registry:
    """Return the model registry. Raises SettingsError when the key of the seals cannot be read."""
    from mlids.training.registry import Registry

    return Registry(settings.tracking_uri, settings.model_name, seal_key(settings))


def seal_key(settings: Settings) -> SealKey:
    """Return the key of the models' seals; the one in home is made at its first use. Raises SettingsError."""
    from mlids.training.seal import key_from_file, key_from_text

    if settings.bundle_key is not None:
        return key_from_text(settings.bundle_key.get_secret_value(), "MLIDS_BUNDLE_KEY")
    if settings.bundle_key_file is not None:
        return key_from_file(settings.bundle_key_file, make=False)
    return key_from_file(settings.home / "bundle.key", make=True)


def open_storage(settings: Settings, sensor: Sensor) -> LogStorage:
    """Return the storage of a sensor's logs, connected.

    Raises SourceError when the sensor cannot be reached, HostKeyError when its key is not the known one.
    """
    if sensor.kind == "folder":
        from mlids.ingest.local import LocalStorage

        return LocalStorage()
    from mlids.ingest.sftp import SftpStorage

    return SftpStorage(sensor, settings.known_hosts)


def open_archive(settings: Settings, sensor: Sensor) -> Archive:
    """Return a sensor's archive, connected. Raises what `open_storage` does."""
    from mlids.ingest.archive import Archive

    return Archive(sensor.name, sensor.logs, open_storage(settings, sensor))


def open_record(settings: Settings, sensor_name: str) -> ScoredRecord:
    """Return the record of what was scored live at a sensor, as its scorer's checkpoint writes it.

    Raises UnsafeNameError for a sensor name that is no file name.
    """
    from mlids.ingest.archive import safe_name
    from mlids.scoring.checkpoint import SCORED
    from mlids.scoring.scored_record import ScoredRecord

    return ScoredRecord(settings.state / safe_name(sensor_name, "sensor name") / SCORED)


def open_delivery(settings: Settings, part: str) -> Delivery:
    """Return the delivery of one scoring's alerts to the stores, then to the configured sinks.

    `part` names the scoring: `live`, or `late` and its day. Raises what `open_stores` and `open_sinks` do.
    """
    from mlids.alerts.delivery import Delivery

    return Delivery(open_stores(settings), open_sinks(settings), dead_letters_file(settings), part)


def dead_letters_file(settings: Settings) -> Path:
    """Return the path of the dead letters."""
    return settings.home / "alerts" / "dead-letters.jsonl"


def open_sinks(settings: Settings) -> list[Sink]:
    """Return the configured sinks. Raises SettingsError for an unknown sink, or one that lacks a setting."""
    from mlids.alerts.sinks.registry import open_sinks as run

    return run(settings)


def open_model(reference: str) -> Model:
    """Return the model that a file, a folder or a `models:/…` URI names. Raises ModelError when there is none."""
    if reference.startswith(("models:/", "runs:/")):
        settings = load_settings()
        registry = open_registry(settings)
        if reference == f"models:/{settings.model_name}@production":
            from mlids.pipeline.production import load_production

            production = load_production(registry, open_stores(settings).audit)
            if production is None:
                raise ModelError(f"no model is registered as {reference}; run `mlids train` first")
            return production
        return registry.load(reference)
    from mlids.detectors.bundle import Bundle

    path = Path(reference)
    if path.is_dir():
        found = sorted(path.rglob("*.onnx"))
        if not found:
            raise ModelError(f"{path}: no .onnx file in it")
        path = found[0]
    if not path.is_file():
        raise ModelError(f"{path}: no such model file")
    return Bundle(path.read_bytes())


def sensor_names(settings: Settings | None = None) -> list[str]:
    """Return the names of the configured sensors. Raises InputError when there is none."""
    settings = settings or load_settings()
    names = [s.name for s in settings.sensors()]
    if not names:
        raise InputError(f"no sensor is configured: describe one in {settings.sensors_path}")
    return names
