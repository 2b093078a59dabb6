"""Finds what ships beside the package (DAGs, plugins, report templates, Kibana's saved objects) and what other packages add to it (entry points)."""

from __future__ import annotations

import importlib
import pkgutil
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from mlids.errors import SettingsError, StackError


def asset_folder(name: str) -> Path:
    """Return `dags`, `plugins`, `reports_templates` or `deploy/kibana`. Raises StackError when it is not installed."""
    here = Path(__file__).resolve().parent
    for root in (here / "_site", here.parent):
        if (root / name).is_dir():
            return root / name
    raise StackError(f"the folder {name} is not installed; install mlids from its wheel or work in a checkout")


def declarations(package: str, attribute: str, group: str) -> list[Any]:
    """Return `attribute` of each module of a package that has one, by module name, then what entry points of `group` name.

    This is how behaviours, evidence and label sources are found: one declaration in one file, of mlids or of
    another installed package. Raises SettingsError when an entry point cannot be loaded.
    """
    folder = list(importlib.import_module(package).__path__)
    modules = [importlib.import_module(f"{package}.{m.name}") for m in pkgutil.iter_modules(folder)]
    found = [getattr(m, attribute) for m in modules if hasattr(m, attribute)]
    return found + extensions(group)


def extensions(group: str) -> list[Any]:
    """Return what installed packages declare under an entry point group, by name. Raises SettingsError when one cannot be loaded."""
    return [load(point) for point in sorted(entry_points(group=group), key=lambda p: (p.name, p.value))]


def load(point: EntryPoint) -> Any:
    """Return what an entry point names. Raises SettingsError that names its package when it cannot be loaded."""
    try:
        return point.load()
    except Exception as error:
        where = point.dist.name if point.dist is not None else "an unknown package"
        raise SettingsError(
            f"{point.group}: {point.name} of {where} ({point.value}) cannot be loaded: {error}; fix or uninstall {where}"
        ) from error
