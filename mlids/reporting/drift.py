"""Drift: Evidently compares the hosts' behaviour in two spans of days by effect size; the hosts that changed most are named."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from mlids.errors import NoRowsError
from mlids.evidence.base import SiteView
from mlids.features.context import FAILED_STATES
from mlids.files import replacing
from mlids.ingest.lake import Lake
from mlids.zeek.types import lasted

SAMPLE_ROWS = 20_000
# Wasserstein distance in standard deviations of the reference; Evidently's default is 0.1. P-values are not used:
# with this many rows every difference is significant.
EFFECT = 0.15
MEASURES = ("conns", "hosts", "services", "failed_share", "bytes_out", "bytes_in", "seconds", "dns_share")
_WORDS = {
    "conns": "connections an hour", "hosts": "hosts contacted an hour", "services": "services used an hour",
    "failed_share": "share of failed connections", "bytes_out": "bytes sent an hour", "bytes_in": "bytes received an hour",
    "seconds": "connection seconds an hour", "dns_share": "share of DNS",
}  # fmt: skip


@dataclass(frozen=True)
class Drift:
    """What changed between two spans of days."""

    reference: list[str]
    current: list[str]
    rows: dict[str, int]
    effects: dict[str, float]  # measure → distance in standard deviations
    drifted: list[str]
    moved: list[dict[str, Any]] = field(default_factory=list)  # hosts, the most changed first
    html: str = ""

    @property
    def share(self) -> float:
        """The share of measures that drifted, 0 to 1."""
        return len(self.drifted) / len(MEASURES)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, with the measures' names in words."""
        return asdict(self) | {"share": self.share, "words": _WORDS}


def host_hours(lake: Lake, sensors: Sequence[str], days: Sequence[date]) -> pl.DataFrame:
    """Return one row per originator and hour (UTC) with MEASURES (counts, bytes and seconds as log1p); empty when no day is in the lake."""
    columns = ["ts", "id.orig_h", "id.resp_h", "id.resp_p", "proto", "service", "conn_state", "duration", "orig_ip_bytes", "resp_ip_bytes"]
    parts = []
    for sensor in sensors:
        for day in days:
            found = list(lake.batches("conn", sensor, [day], columns))
            if not found:
                continue
            rows = pl.concat(found).lazy().with_columns(hour=pl.col("ts").dt.truncate("1h"))
            grouped = rows.group_by(pl.col("id.orig_h").alias("host"), "hour").agg(
                conns=pl.len().log1p(),
                hosts=pl.col("id.resp_h").n_unique().log1p(),
                services=pl.struct("id.resp_p", "proto").n_unique().log1p(),
                failed_share=pl.col("conn_state").is_in(FAILED_STATES).mean(),
                bytes_out=pl.col("orig_ip_bytes").sum().log1p(),
                bytes_in=pl.col("resp_ip_bytes").sum().log1p(),
                seconds=lasted().sum().log1p(),
                dns_share=(pl.col("service") == "dns").mean(),
            )
            parts.append(grouped.with_columns(pl.col(*MEASURES).cast(pl.Float64).fill_null(0.0)).collect())
    if not parts:
        return pl.DataFrame(schema=["host", "hour", *MEASURES])
    return pl.concat(parts)


def compare(
    lake: Lake, sensors: Sequence[str], reference: Sequence[date], current: Sequence[date], html: Path, networks: Sequence[str] = ()
) -> Drift:
    """Compare two spans of days and write Evidently's page to `html`; `moved` are hosts of the site's networks (none: private addresses).

    Raises NoRowsError when a span has fewer than ten host-hours.
    """
    before, after = host_hours(lake, sensors, reference), host_hours(lake, sensors, current)
    for name, rows, days in (("reference", before, reference), ("current", after, current)):
        if rows.height < 10:
            raise NoRowsError(
                f"the {name} span {days[0]} to {days[-1]} has {rows.height} host-hours in the lake; ingest it first (10 at least)"
            )
    effects = _evidently(_sample(before), _sample(after), html)
    drifted = [name for name in MEASURES if effects.get(name, 0.0) >= EFFECT]
    return Drift(
        reference=[d.isoformat() for d in reference], current=[d.isoformat() for d in current],
        rows={"reference": before.height, "current": after.height}, effects=effects, drifted=drifted,
        moved=who_moved(before, after, inside=SiteView(networks).inside), html=str(html),
    )  # fmt: skip


def _sample(rows: pl.DataFrame) -> pl.DataFrame:
    chosen = rows.sort("host", "hour").sample(min(rows.height, SAMPLE_ROWS), seed=0, shuffle=False)
    return chosen.select(MEASURES)


def _evidently(before: pl.DataFrame, after: pl.DataFrame, html: Path) -> dict[str, float]:
    os.environ.setdefault("DO_NOT_TRACK", "1")
    import pandas as pd
    from evidently import Report
    from evidently.presets import DataDriftPreset

    report = Report([DataDriftPreset(num_method="wasserstein", num_threshold=EFFECT)])
    with np.errstate(all="ignore"):
        snapshot = report.run(pd.DataFrame(after.to_dict(as_series=False)), pd.DataFrame(before.to_dict(as_series=False)))
    html.parent.mkdir(parents=True, exist_ok=True)
    with replacing(html) as partial:
        snapshot.save_html(str(partial))
    effects: dict[str, float] = {}
    for metric in snapshot.dict()["metrics"]:
        column = metric.get("config", {}).get("column")
        if column in MEASURES and not isinstance(metric["value"], dict):
            effects[str(column)] = float(metric["value"])
    return effects


def who_moved(
    before: pl.DataFrame, after: pl.DataFrame, top: int = 10, inside: Callable[[pl.Series], pl.Series] | None = None
) -> list[dict[str, Any]]:
    """Return the `top` hosts whose mean hour changed most, with the measure that changed most, in pooled standard deviations.

    `before` and `now` are that measure in a typical hour: the geometric mean of counts, bytes and seconds, the mean of shares.
    Only hosts with at least five hours in both spans are compared, and with `inside` only those for which it says true.
    """
    spread = {m: max(float(pl.concat([before[m], after[m]]).std() or 0.0), 1e-6) for m in MEASURES}  # type: ignore[arg-type]
    means = [
        rows.group_by("host").agg(pl.len().alias("hours"), *(pl.col(m).mean() for m in MEASURES)).filter(pl.col("hours") >= 5)
        for rows in (before, after)
    ]
    both = means[0].join(means[1], on="host", suffix="_now")
    if inside is not None:
        both = both.filter(inside(both["host"]))
    out = []
    for row in both.iter_rows(named=True):
        change = {m: (row[f"{m}_now"] - row[m]) / spread[m] for m in MEASURES}
        name = max(change, key=lambda m: abs(change[m]))
        held, holds = (_as_measured(name, row[column]) for column in (name, f"{name}_now"))
        out.append(
            {"host": row["host"], "measure": name, "words": _WORDS[name], "change": round(change[name], 2), "before": held, "now": holds}
        )
    return sorted(out, key=lambda r: (-abs(r["change"]), r["host"]))[:top]


def _as_measured(measure: str, mean: float) -> float:
    """Return the mean of a measure as people read it: counts, bytes and seconds are held as log1p."""
    return round(float(mean if measure.endswith("_share") else np.expm1(mean)), 3)
