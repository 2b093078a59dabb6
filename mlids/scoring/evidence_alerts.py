"""Alerts from evidence of other logs than conn.log, made nightly from a day of the lake."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

import polars as pl

from mlids.alerts.aggregation import AlertAggregator
from mlids.alerts.document import UIDS_KEPT, Alert
from mlids.alerts.grouping import GroupKey, evidence_key
from mlids.alerts.storms import Storms
from mlids.alerts.suppression import Rule, suppressing_rules
from mlids.detectors.verdict import BEHAVIOUR_WEIGHT
from mlids.evidence.base import Evidence
from mlids.features.flow import local_ends

# Without a threshold of the site, evidence with a score from this on becomes an alert, whatever the budget is.
CLEAR_SCORE = 0.8


def evidence_alerts(
    found: Sequence[Evidence], sensor: str, day: str, *, threshold: float | None = None, aggregator: AlertAggregator | None = None,
    networks: Sequence[str] = (),
) -> list[Alert]:  # fmt: skip
    """Return an alert for each piece of evidence of a day that no rule suppresses; those beyond a storm's limits are counted in few.

    `threshold` is a risk_score; None stands for evidence with CLEAR_SCORE. `networks` are the site's own (CIDR).
    """
    least = 100.0 * CLEAR_SCORE * BEHAVIOUR_WEIGHT if threshold is None else threshold
    found = [e for e in found if _risk(e) >= least]
    aggregator, storms = aggregator or AlertAggregator(), Storms()
    alerts: dict[str, Alert] = {}
    conns = _as_conns(found, sensor)
    rules = suppressing_rules(aggregator.rules, [e.kind for e in found], conns)
    inside, _ = local_ends(conns, networks)
    for evidence, local, rule in zip(found, inside.to_list(), rules.tolist(), strict=True):
        if rule >= 0:
            aggregator.suppressed.update(Counter({rule: evidence.count}))
            continue
        key = evidence_key(sensor, evidence, day)
        if key.id not in alerts:
            key = storms.key_for(key, evidence.source, local)
        if key.id in alerts:
            alerts[key.id].count += evidence.count
            continue
        alerts[key.id] = _alert(evidence, key, day, inside=local)
        storms.add(alerts[key.id])
    return list(alerts.values())


def unsuppressed(found: Sequence[Evidence], sensor: str, rules: Sequence[Rule]) -> list[Evidence]:
    """Return the evidence that no rule suppresses."""
    if not rules or not found:
        return list(found)
    ruled = suppressing_rules(rules, [e.kind for e in found], _as_conns(found, sensor))
    return [e for e, rule in zip(found, ruled.tolist(), strict=True) if rule < 0]


def _risk(evidence: Evidence) -> float:
    return 100.0 * BEHAVIOUR_WEIGHT * evidence.score


def _as_conns(found: Sequence[Evidence], sensor: str) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "sensor": [sensor] * len(found), "id.orig_h": [e.source for e in found], "id.resp_h": [e.target or None for e in found],
            "id.resp_p": [e.port for e in found],
        },
        schema={"sensor": pl.String, "id.orig_h": pl.String, "id.resp_h": pl.String, "id.resp_p": pl.UInt32},
    )  # fmt: skip


def _alert(evidence: Evidence, key: GroupKey, day: str, *, inside: bool) -> Alert:
    begin = evidence.first or datetime.fromisoformat(day).replace(tzinfo=UTC)
    return Alert(
        key=key, ts=begin, last_ts=evidence.last or begin, score=_risk(evidence), src=evidence.source,
        src_port=None, dst=evidence.target, dst_port=evidence.port, proto=evidence.proto, count=evidence.count, reasons=evidence.text,
        uids=list(evidence.uids[:UIDS_KEPT]), dataset=evidence.log or "conn", inside=inside,
    )  # fmt: skip
