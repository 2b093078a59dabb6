"""The night's alerts of DNS tunnels: what a day of dns.log tells by its names."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl

from mlids.alerts.aggregation import AlertAggregator
from mlids.alerts.document import UIDS_KEPT, Alert
from mlids.alerts.grouping import STORM_FROM, storm_key, tunnel_key
from mlids.alerts.suppression import suppressing_rules
from mlids.detectors.verdict import BEHAVIOUR_WEIGHT
from mlids.evidence.dns import DnsEvidence, words


def dns_tunnel_alerts(
    dns: Iterable[pl.DataFrame], conns: Iterable[pl.DataFrame], sensor: str, day: str, *, cut: float | None = None,
    aggregator: AlertAggregator | None = None,
) -> list[Alert]:  # fmt: skip
    """Return an alert for each tunnel that a day of dns.log tells of, save what a rule holds back.

    `conns` of the day are read only where names are suspicious. `cut` is a risk_score; without one, four fifths
    of a clear case are enough, whatever the budget is.
    """
    watch = DnsEvidence(one_day=True)
    for batch in dns:
        watch.add(batch)
    found = watch.tunnels(conns).with_columns(sensor=pl.lit(sensor), risk=100.0 * BEHAVIOUR_WEIGHT * pl.col("score"))
    found = found.filter(pl.col("risk") >= (80.0 * BEHAVIOUR_WEIGHT if cut is None else cut))
    aggregator = aggregator or AlertAggregator()
    rule = suppressing_rules(aggregator.rules, ["dns_tunnel"] * found.height, found)
    aggregator.suppressed.update({int(r): int(found.filter(pl.Series(rule == r))["names"].sum()) for r in np.unique(rule[rule >= 0])})
    told = found.filter(pl.Series(rule < 0))
    alerts = [_tunnel(row, day) for row in told.head(STORM_FROM + 1).iter_rows(named=True)]
    if len(alerts) > STORM_FROM:  # nobody reads the hundred and first: it stands for the rest
        last = alerts[-1]
        last.key, last.count = storm_key(last.key), int(told["names"].slice(STORM_FROM).sum())
    return alerts


def _tunnel(row: dict[str, Any], day: str) -> Alert:
    source, resolver, zone = row["id.orig_h"], row["id.resp_h"] or "", row["zone"]
    key = tunnel_key(row["sensor"], source, f"{resolver}:{row['id.resp_p']}/{row['proto']}", zone, day, row["first"])
    begin = row["first"] or datetime.fromisoformat(day).replace(tzinfo=UTC)
    return Alert(
        key=key, ts=begin, last_ts=row["last"] or begin, score=row["risk"], src=source, src_port=None, dst=resolver, dst_port=row["id.resp_p"],
        proto=row["proto"] or "", count=row["names"], reasons=words(zone, row["names"], row["bytes"]), uids=row["uids"][:UIDS_KEPT],
    )  # fmt: skip
