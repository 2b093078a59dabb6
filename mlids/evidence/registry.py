"""Finds the evidence of each log: one file per log in this package, and the entry point group `mlids.evidence`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from mlids.assets import declarations
from mlids.evidence.base import Collector, Kind


@lru_cache(maxsize=1)
def evidence_types() -> tuple[type[Collector], ...]:
    """Return the classes that collect evidence, in the order of their modules; several may read one log."""
    return tuple(declarations("mlids.evidence", "EVIDENCE", "mlids.evidence"))


@lru_cache(maxsize=1)
def evidence_kinds() -> Mapping[str, Kind]:
    """Return the kinds of evidence by name. Kinds that are behaviours are not among them."""
    return {kind.name: kind for collector in evidence_types() for kind in collector.kinds}
