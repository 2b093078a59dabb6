"""Finds the evidence of each log: one file per log in this package, and the entry point group `mlids.evidence`."""

from __future__ import annotations

from functools import lru_cache

from mlids.assets import declarations
from mlids.evidence.base import LogEvidence


@lru_cache(maxsize=1)
def evidence_types() -> tuple[type[LogEvidence], ...]:
    """Return the classes that collect evidence, in the order of their modules; several may read one log."""
    return tuple(declarations("mlids.evidence", "EVIDENCE", "mlids.evidence"))
