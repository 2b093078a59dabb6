"""Finds label sources: one file per source in this package, and the entry point group `mlids.label_sources`."""

from __future__ import annotations

from functools import lru_cache

from mlids.assets import declarations
from mlids.errors import SettingsError
from mlids.training.label_sources.base import RESERVED, LabelSource

_registered: list[type[LabelSource]] = []


@lru_cache(maxsize=1)
def _declared() -> tuple[type[LabelSource], ...]:
    return tuple(declarations("mlids.training.label_sources", "LABEL_SOURCE", "mlids.label_sources"))


def label_source_types() -> tuple[type[LabelSource], ...]:
    """Return the declared and registered sources, the highest priority first.

    Raises SettingsError when two have the same name, or one has a name that is reserved.
    """
    found = sorted((*_declared(), *_registered), key=lambda s: (-s.priority, s.name))
    names = [s.name for s in found]
    for name in names:
        if name in RESERVED or names.count(name) > 1:
            raise SettingsError(
                f"label source {name!r}: the name is {'reserved' if name in RESERVED else 'declared twice'}; give the source another name"
            )
    return tuple(found)


def register_label_source(source: type[LabelSource]) -> type[LabelSource]:
    """Add a source for the rest of this process and return it; for tests and scripts. Packages declare an entry point."""
    _registered.append(source)
    return source


def unregister_label_source(source: type[LabelSource]) -> None:
    """Remove a source that `register_label_source` added."""
    _registered.remove(source)
