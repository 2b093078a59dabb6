"""Labels from analysts' verdicts on alerts, joined by uid."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import polars as pl

from mlids.detectors.forest import BENIGN
from mlids.training.label_sources.base import JUDGED_ALERTS, JUDGED_SCHEMA, MAX_LABELS
from mlids.training.labels import family


def judged_rows(alerts: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    """Return alert documents with a `verdict` as rows of JUDGED_ALERTS."""
    rows = [{"verdict": a.get("verdict")} | {n: a["mlids"][n] for n in ("kind", "attack_class", "uids")} for a in alerts]
    return pl.DataFrame(rows, schema=JUDGED_SCHEMA)


class VerdictLabels:
    """A true positive is an attack of the alert's class, a false positive is benign. Only uids named by the alert get a label."""

    name: ClassVar[str] = "verdict"
    priority: ClassVar[int] = 200
    log: ClassVar[str | None] = JUDGED_ALERTS
    fields: ClassVar[tuple[str, ...]] = tuple(JUDGED_SCHEMA.names())

    def __init__(self) -> None:
        self._by_uid: dict[str, str] = {}

    def add(self, rows: pl.DataFrame) -> None:
        """Take alerts with a verdict, newest first. Where two alerts name one conn, the older verdict is kept."""
        for verdict, kind, attack_class, uids in rows.select(self.fields).iter_rows():
            given = str(verdict or "").replace("_", " ").lower()
            if given not in {"true positive", "false positive"}:
                continue
            label = BENIGN if given == "false positive" else family(attack_class or kind)
            room = MAX_LABELS - len(self._by_uid)
            self._by_uid |= dict.fromkeys(uids[: max(room, 0)], label)

    def labels(self, conns: pl.DataFrame) -> pl.Series:
        """Return the label of each conn; null without a verdict on an alert that names its uid."""
        return conns["uid"].replace_strict(self._by_uid, default=None, return_dtype=pl.String)


LABEL_SOURCE = VerdictLabels
