"""Alerts from evidence of other logs than conn.log, made nightly from a day of the lake."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import polars as pl

from mlids.alerts.aggregation import AlertAggregator
from mlids.alerts.document import UIDS_KEPT, Alert
from mlids.alerts.grouping import STORM_FROM, evidence_key, storm_key
from mlids.alerts.suppression import suppressing_rules
from mlids.detectors.verdict import BEHAVIOUR_WEIGHT
from mlids.evidence.base import Evidence

# Without a threshold of the site, evidence with a score from this on becomes an alert, whatever the budget is.
CLEAR_SCORE = 0.8


def evidence_alerts(
    found: Sequence[Evidence], sensor: str, day: str, *, threshold: float | None = None, aggregator: AlertAggregator | None = None
) -> list[Alert]:
    """Return an alert for each piece of evidence of a day that no rule suppresses; beyond STORM_FROM of a kind, one storm alert.

    `threshold` is a risk_score; None stands for evidence with CLEAR_SCORE.
    """
    least = 100.0 * CLEAR_SCORE * BEHAVIOUR_WEIGHT if threshold is None else threshold
    found = [e for e in found if _risk(e) >= least]
    aggregator = aggregator or AlertAggregator()
    alerts: dict[str, list[Alert]] = {}
    for evidence, rule in zip(found, _suppressed_by(aggregator, found, sensor), strict=True):
        if rule >= 0:
            aggregator.suppressed.update(Counter({int(rule): evidence.count}))
            continue
        of_kind = alerts.setdefault(evidence.kind, [])
        if len(of_kind) <= STORM_FROM:
            of_kind.append(_alert(evidence, sensor, day))
        else:
            of_kind[-1].count += evidence.count
    for of_kind in alerts.values():
        if len(of_kind) > STORM_FROM:
            of_kind[-1].key = storm_key(of_kind[-1].key)
    return [alert for of_kind in alerts.values() for alert in of_kind]


def _risk(evidence: Evidence) -> float:
    return 100.0 * BEHAVIOUR_WEIGHT * evidence.score


def _suppressed_by(aggregator: AlertAggregator, found: Sequence[Evidence], sensor: str) -> np.ndarray:
    conns = pl.DataFrame(
        {
            "sensor": [sensor] * len(found), "id.orig_h": [e.source for e in found], "id.resp_h": [e.target or None for e in found],
            "id.resp_p": [e.port for e in found],
        },
        schema={"sensor": pl.String, "id.orig_h": pl.String, "id.resp_h": pl.String, "id.resp_p": pl.UInt32},
    )  # fmt: skip
    return suppressing_rules(aggregator.rules, [e.kind for e in found], conns)


def _alert(evidence: Evidence, sensor: str, day: str) -> Alert:
    begin = evidence.first or datetime.fromisoformat(day).replace(tzinfo=UTC)
    return Alert(
        key=evidence_key(sensor, evidence, day), ts=begin, last_ts=evidence.last or begin, score=_risk(evidence), src=evidence.source,
        src_port=None, dst=evidence.target, dst_port=evidence.port, proto=evidence.proto, count=evidence.count, reasons=evidence.text,
        uids=list(evidence.uids[:UIDS_KEPT]), dataset=evidence.log or "conn",
    )  # fmt: skip
