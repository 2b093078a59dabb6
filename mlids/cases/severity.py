"""The severity of a case, from its score."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

# Scores (0 to 100) from which a case is medium, high and critical; below the first it is low. ids-iforest calls high
# yellow and critical red.
LEVELS = (50.0, 75.0, 92.0)


class Severity(StrEnum):
    """How urgent a case is, from the least."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 for low to 3 for critical."""
        return list(Severity).index(self)


def severity_of(score: float, levels: Sequence[float] = LEVELS) -> Severity:
    """Return the severity of a score from 0 to 100."""
    return list(Severity)[sum(score >= level for level in levels)]
