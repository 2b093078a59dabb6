"""Finds sinks by name: a module of this package with `open_sink`, the entry point group `mlids.sinks`, or `register_sink`."""

from __future__ import annotations

import importlib
import pkgutil
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from mlids.alerts.sinks.base import Sink, SinkFactory
from mlids.assets import load
from mlids.errors import SettingsError
from mlids.settings import Settings

GROUP = "mlids.sinks"
# The product's own tables: not a sink, but allowed in MLIDS_SINKS, as they always receive alerts.
OWN_TABLES = "sqlite"
_NOT_SINKS = {"base", "day_files", "registry"}
_registered: dict[str, SinkFactory] = {}


def register_sink(name: str, factory: SinkFactory) -> None:
    """Add a sink in this process, or replace one of that name. Installed packages declare an entry point instead."""
    _registered[name] = factory


def unregister_sink(name: str) -> None:
    """Remove a sink that `register_sink` added."""
    _registered.pop(name, None)


def sink_names() -> list[str]:
    """Return the names that MLIDS_SINKS may contain, sorted; no sink is imported."""
    return sorted({OWN_TABLES, *_registered, *_modules(), *_entry_points()})


def open_sinks(settings: Settings) -> list[Sink]:
    """Return the sinks that MLIDS_SINKS names, in that order.

    Raises SettingsError for a name that is not known, a setting that is missing, or a sink that cannot be imported.
    """
    wanted = [name for name in settings.sinks if name != OWN_TABLES]
    if not wanted:
        return []
    unknown = sorted(set(wanted) - set(sink_names()))
    if unknown:
        raise SettingsError(f"sinks: {unknown} are unknown; use {', '.join(sink_names())} in MLIDS_SINKS")
    return [_factory(name)(settings) for name in wanted]


def _factory(name: str) -> SinkFactory:
    if name in _registered:
        return _registered[name]
    if name in _modules():
        factory: SinkFactory = importlib.import_module(f"{__package__}.{name}").open_sink
        return factory
    loaded: SinkFactory = load(_entry_points()[name])
    return loaded


def _modules() -> set[str]:
    return {m.name for m in pkgutil.iter_modules([str(Path(__file__).parent)])} - _NOT_SINKS


def _entry_points() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}
