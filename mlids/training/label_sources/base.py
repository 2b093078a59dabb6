"""What a label source declares, and how the labels of several sources are combined."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Protocol

import polars as pl

from mlids.training.labels import ASSUMED, IMPLANTED, LOG_LABEL, REFERENCE

# Rows of `JUDGED_ALERTS` are no Zeek log: one row per alert with a verdict, with the columns of JUDGED_SCHEMA.
JUDGED_ALERTS = "alerts"
JUDGED_SCHEMA = pl.Schema({"verdict": pl.String(), "kind": pl.String(), "attack_class": pl.String(), "uids": pl.List(pl.String())})
# Rows of `JUDGED_CASES` are the evidence of cases with a verdict (`label_sources.cases`).
JUDGED_CASES = "cases"
RESERVED = (LOG_LABEL, IMPLANTED, REFERENCE, ASSUMED)
MAX_LABELS = 200_000  # kept by one source


class LabelSource(Protocol):
    """Labels of conns of one sensor, from the rows of one log. State is bounded, whatever the log holds.

    `name` is stored as the source of the label. `log` is Zeek's name of the log that is read, JUDGED_ALERTS for
    alerts with a verdict, JUDGED_CASES for the evidence of closed cases, or None for a source that reads nothing of the lake; `fields` are the columns that are
    read. Where two sources label a conn, the label of the one with the higher `priority` is kept (verdicts have
    200, cases 190, notices 100).
    """

    name: ClassVar[str]
    priority: ClassVar[int]
    log: ClassVar[str | None]
    fields: ClassVar[tuple[str, ...]]

    def add(self, rows: pl.DataFrame) -> None:
        """Take a batch of rows in the log's order. Any of `fields` may be missing."""

    def labels(self, conns: pl.DataFrame) -> pl.Series:
        """Return `benign`, the name of an attack, or null for each conn; null where this source has no label for it."""


class ConnLabels:
    """The labels of all sources for conns of one sensor."""

    def __init__(self, sources: Iterable[LabelSource] = ()) -> None:
        self._sources = sorted(sources, key=lambda s: (-s.priority, s.name))

    def labels(self, conns: pl.DataFrame) -> pl.DataFrame:
        """Return `label` and `source` (both String) of each conn; null where no source has a label."""
        out = pl.DataFrame(schema={"label": pl.String, "source": pl.String}).clear(conns.height)
        for source in self._sources:
            label = source.labels(conns).cast(pl.String)
            name = pl.when(label.is_not_null()).then(pl.lit(source.name))
            out = out.with_columns(label=pl.coalesce("label", label), source=pl.coalesce("source", name))
        return out
