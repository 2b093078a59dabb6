"""Labels from cases that analysts closed: every conn that a piece of their evidence is about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, ClassVar

import polars as pl

from mlids.alerts.grouping import grouping_of
from mlids.detectors.forest import BENIGN
from mlids.training.label_sources.base import JUDGED_CASES, MAX_LABELS
from mlids.training.labels import family
from mlids.zeek.types import TIME

_SCHEMA = pl.Schema(
    {"label": pl.String(), "source": pl.String(), "target": pl.String(), "port": pl.UInt32(), "first": TIME, "last": TIME}
)  # fmt: skip


def judged_evidence(cases: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    """Return the evidence of case documents with a verdict, the newest first: whom and when it is about, and its label.

    `target` and `port` are null where conns of this kind differ in them.
    """
    rows = []
    for case in cases:
        verdict = case.get("verdict")
        if verdict not in {"true positive", "false positive"}:
            continue
        for e in case["evidence"]:
            shared = grouping_of(e["kind"])
            if e["first"] and e["last"] and e["source"] and (shared.source or shared.target):
                rows.append(
                    {
                        "label": BENIGN if verdict == "false positive" else family(e["kind"]), "source": e["source"],
                        "target": e["target"] if shared.target else None, "port": e["port"] if shared.service else None,
                        "first": datetime.fromisoformat(e["first"]), "last": datetime.fromisoformat(e["last"]),
                    }
                )  # fmt: skip
    return pl.DataFrame(rows[:MAX_LABELS], schema=_SCHEMA)


class CaseLabels:
    """A true positive makes attacks of the kind of each piece of evidence, a false positive makes benign conns."""

    name: ClassVar[str] = "case"
    priority: ClassVar[int] = 190  # below verdicts on single alerts
    log: ClassVar[str | None] = JUDGED_CASES
    fields: ClassVar[tuple[str, ...]] = tuple(_SCHEMA.names())

    def __init__(self) -> None:
        self._judged = pl.DataFrame(schema=_SCHEMA)

    def add(self, rows: pl.DataFrame) -> None:
        """Take evidence of closed cases, the newest verdict first."""
        self._judged = pl.concat([self._judged, rows.select(_SCHEMA.names())])

    def labels(self, conns: pl.DataFrame) -> pl.Series:
        """Return the label of each conn that a piece of evidence is about; null for the others. The newest verdict counts."""
        if self._judged.is_empty():
            return pl.Series([None] * conns.height, dtype=pl.String)
        judged = self._judged.with_row_index("order")
        rows = conns.select("ts", "id.orig_h", "id.resp_h", "id.resp_p").with_row_index("row")
        about = rows.join(judged, left_on="id.orig_h", right_on="source").filter(
            pl.col("ts").is_between("first", "last")
            & (pl.col("target").is_null() | (pl.col("target") == pl.col("id.resp_h")))
            & (pl.col("port").is_null() | (pl.col("port") == pl.col("id.resp_p").cast(pl.UInt32)))
        )
        newest = about.sort("order").unique("row", keep="first").select("row", "label")
        return rows.join(newest, on="row", how="left", maintain_order="left")["label"]


LABEL_SOURCE = CaseLabels
