"""Aggregates scored conns into alerts: groups them, counts repeats, and returns the alerts that are new or changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl

from mlids.alerts.document import UIDS_KEPT, Alert
from mlids.alerts.grouping import WINDOW_S, GroupKey, alert_kinds, group_keys, window_s
from mlids.alerts.storms import Storms
from mlids.alerts.suppression import Rule, suppressing_rules
from mlids.detectors.bundle import Model
from mlids.detectors.verdict import Verdicts, explain
from mlids.features.spec import POSITION

MAX_OPEN = 20_000
STRONGER = 5.0  # a rise of the risk score by more than this renews the alert's reasons


class AlertAggregator:
    """The open alerts, by id. Its state is plain values, which a checkpoint stores.

    `rules` suppress conns; `suppressed` counts them by the rule's id until the caller clears it.
    """

    def __init__(self, rules: Sequence[Rule] = ()) -> None:
        self.open: dict[str, Alert] = {}
        self.rules = rules
        self.suppressed: Counter[int] = Counter()
        self._storms: Storms | None = None  # of the open alerts; None: not counted yet

    def add(self, model: Model, conns: pl.DataFrame, x: np.ndarray, verdicts: Verdicts, clock: float | None = None) -> list[Alert]:
        """Add a scored batch (`x` holds its features) and return the alerts that are new or changed, each once.

        `clock` is that of the features' context: alerts of a time to come close no others. None: the newest alert is the clock.
        """
        rows = self._wanted(model, conns, verdicts, np.flatnonzero(verdicts.alert))
        if not len(rows):
            return []
        hits = conns[rows.tolist()]
        keys = group_keys(model, hits, verdicts, rows)
        inside = x[rows, POSITION["orig_local"]] > 0.5
        if self._storms is None:  # the open alerts may be those of a checkpoint
            self._storms = Storms(self.open.values())
        touched: dict[str, Alert] = {}
        fresh: list[tuple[Alert, int]] = []
        for key, row, conn, local in zip(keys, rows.tolist(), hits.iter_rows(named=True), inside.tolist(), strict=True):
            alert = self.open.get(key.id)
            if alert is None:
                key = self._storms.key_for(key, conn["id.orig_h"] or "", local)
                alert = self.open.get(key.id)
            risk = float(verdicts.risk_score[row])
            if alert is None:
                alert = self._begin(model, key, conn, verdicts, row, inside=local)
                self._storms.add(alert)
                fresh.append((alert, row))
            elif _count(alert, conn, risk):
                fresh.append((alert, row))
            touched[key.id] = alert
        words = explain(model, x, verdicts, np.array([row for _, row in fresh], int))
        for (alert, _), reasons in zip(fresh, words, strict=True):
            alert.reasons = reasons
        self._close_old(clock)
        return list(touched.values())

    def _wanted(self, model: Model, conns: pl.DataFrame, verdicts: Verdicts, rows: np.ndarray) -> np.ndarray:
        """Return the alerting rows that no rule suppresses."""
        if not self.rules or not len(rows):
            return rows
        rule = suppressing_rules(self.rules, alert_kinds(model, verdicts, rows), conns[rows.tolist()])
        self.suppressed.update(rule[rule >= 0].tolist())
        return rows[rule < 0]

    def _begin(self, model: Model, key: GroupKey, conn: dict[str, Any], verdicts: Verdicts, row: int, *, inside: bool) -> Alert:
        scores = verdicts.scores
        known = scores.attack_probability is not None and scores.attack_class is not None
        when = conn["ts"] or datetime.fromtimestamp(key.window, UTC)
        alert = Alert(
            key=key, ts=when, last_ts=when, score=float(verdicts.risk_score[row]),
            src=conn["id.orig_h"] or "", src_port=conn["id.orig_p"], dst=conn["id.resp_h"] or "", dst_port=conn["id.resp_p"],
            proto=conn["proto"] or "", uids=[conn["uid"]] if conn["uid"] else [],
            attack_probability=float(scores.attack_probability[row]) if known else None,  # type: ignore[index]
            attack_class=model.attack_classes[int(scores.attack_class[row])] if known else None,  # type: ignore[index]
            anomaly_score=float(scores.anomaly_score[row]), model_version=model.version,
            inside=inside,
        )  # fmt: skip
        self.open[key.id] = alert
        return alert

    def _close_old(self, clock: float | None) -> None:
        """Forget alerts whose window is over. Time is that of the log, not of this machine's clock."""
        newest = max(a.key.window for a in self.open.values())
        if clock is not None and clock >= 0:
            newest = min(newest, int(clock - clock % WINDOW_S))
        kept = [a for a in self.open.values() if a.key.window >= newest - window_s(a.key.kind)]
        if len(kept) > MAX_OPEN:
            kept = sorted(kept, key=lambda a: a.last_ts)[-MAX_OPEN:]
        if len(kept) < len(self.open):
            self.open = {a.id: a for a in kept}
            self._storms = None


def _count(alert: Alert, conn: dict[str, Any], risk: float) -> bool:
    """Count a further conn in an open alert; return whether it raises the risk score by more than STRONGER."""
    alert.count += 1
    when = conn["ts"] or alert.last_ts
    alert.ts, alert.last_ts = min(alert.ts, when), max(alert.last_ts, when)
    stronger = risk > alert.score + STRONGER
    alert.score = max(alert.score, risk)
    if len(alert.uids) < UIDS_KEPT and conn["uid"]:
        alert.uids.append(conn["uid"])
    return stronger
