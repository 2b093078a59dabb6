"""The gap ledger and late scoring: every conn of an archived day that was not scored live is scored at night.

The rows of the lake are compared with the record of live scored rows (`mlids.scoring.scored_record`). Missing rows are
scored with the context that they have in the archive, under the alert ids that live scoring would have given. No row is
scored twice, none is left out, and the ledger counts both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
import polars as pl

from mlids.alerts.aggregation import AlertAggregator
from mlids.alerts.document import Alert
from mlids.detectors.bundle import Model
from mlids.detectors.verdict import judge
from mlids.features.context import live_context
from mlids.features.extract import Extractor
from mlids.scoring.scored_record import KEY_COLUMNS, ScoredRecord, row_keys
from mlids.zeek.types import CONN, conn_columns

CONN_COLUMNS = tuple(c.name for c in CONN)
_SLICE_ROWS = 65_536

# Gives the conns of a day, in order, with these columns; called once to count and once more to score.
DayReader = Callable[[Sequence[str]], Iterable[pl.DataFrame]]


@dataclass
class Hour:
    """The conns that ended in one hour: archived, scored live, scored late; and the lines that were rejected."""

    start: datetime
    archived: int = 0
    live: int = 0
    late: int = 0
    rejected: int = 0

    @property
    def missing(self) -> int:
        """Archived conns that no model has scored."""
        return self.archived - self.live - self.late


@dataclass
class Reconciled:
    """The gap ledger of a day by hour, and the alerts of the conns that were scored late."""

    hours: list[Hour]
    alerts: list[Alert]
    model_version: str | None

    @property
    def late(self) -> int:
        """Conns scored late."""
        return sum(h.late for h in self.hours)


@dataclass(frozen=True)
class LateOptions:
    """How missing conns are scored.

    `before`: conns of the hour before the day, for the context only. `aggregator` has the suppression rules.
    `networks` (CIDR) and `threshold` (None: the model's) are those of live scoring. `progress` is given short texts.
    """

    before: Iterable[pl.DataFrame] = ()
    aggregator: AlertAggregator = field(default_factory=AlertAggregator)
    networks: tuple[str, ...] = ()
    threshold: float | None = None
    progress: Callable[[str], None] = lambda _: None


def reconcile(read_day: DayReader, record: ScoredRecord, model: Model | None, options: LateOptions | None = None) -> Reconciled:
    """Compare a day's conns with the record, and score those that are missing; memory is bounded by a batch.

    Without a model no row is scored, and the missing rows are counted.
    """
    options = options or LateOptions()
    hours = _count(read_day, record, options.progress)
    out = Reconciled([hours[h] for h in sorted(hours)], [], model.version if model else None)
    if model is not None and any(h.missing for h in out.hours):
        out.alerts = _score_missing(read_day, record, model, hours, options)
    return out


def _count(read_day: DayReader, record: ScoredRecord, progress: Callable[[str], None]) -> dict[int, Hour]:
    """Return the hours of a day by their start (epoch seconds), with the archived and the live scored conns counted."""
    hours: dict[int, Hour] = {}
    rows = 0
    for conns in read_day(KEY_COLUMNS):
        keys, ended = row_keys(conns)
        live = record.holds(keys, ended)
        for hour in np.unique(ended).tolist():
            entry = hours.setdefault(hour, Hour(datetime.fromtimestamp(hour, UTC)))
            entry.archived += int((ended == hour).sum())
            entry.live += int((live & (ended == hour)).sum())
        rows += conns.height
        progress(f"{rows:,} conns counted")
    return hours


def _score_missing(read_day: DayReader, record: ScoredRecord, model: Model, hours: dict[int, Hour], options: LateOptions) -> list[Alert]:
    """Score the missing conns, count them in `hours`, and return their alerts."""
    extractor = Extractor(options.networks, live_context())
    for conns in _slices(options.before):
        extractor.features(conns)
    alerts: dict[str, Alert] = {}
    total = left = sum(h.missing for h in hours.values())
    for conns in _slices(read_day(CONN_COLUMNS)):
        x = extractor.features(conns)
        keys, ended = row_keys(conns)
        missing = ~record.holds(keys, ended)
        if missing.any():
            rows = conns.filter(pl.Series(missing))
            verdicts = judge(model, x[missing], options.threshold)
            clock = extractor.context.clock
            alerts |= {a.id: a for a in options.aggregator.add(model, rows, x[missing], verdicts, clock)}
            for hour, n in zip(*np.unique(ended[missing], return_counts=True), strict=True):
                hours[int(hour)].late += int(n)
            left -= rows.height
            options.progress(f"{total - left:,} of {total:,} conns scored late")
        if left <= 0:
            break
    return list(alerts.values())


def _slices(batches: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    for batch in batches:
        for start in range(0, batch.height, _SLICE_ROWS):
            yield conn_columns(batch.slice(start, _SLICE_ROWS))
