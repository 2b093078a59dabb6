"""What conn.log says, as evidence: one piece per group of conns that would be one alert, with the highest risk of the group."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import polars as pl

from mlids.alerts.grouping import alert_kinds, grouping_of
from mlids.detectors.bundle import Model
from mlids.detectors.verdict import Verdicts, explain, judge
from mlids.evidence.base import Evidence
from mlids.features.behaviours import behaviour_of
from mlids.features.behaviours.base import Behaviour
from mlids.features.catalogue import BY_NAME, POSITION, Feature
from mlids.text import span

# Conns with less risk than this say nothing; groups beyond the largest are dropped, those with the lowest risk first.
LEAST_RISK, MAX_GROUPS = 25.0, 20_000
EXPLAINED = 200
UIDS = 10
_KEYS = ["kind", "source", "target", "service"]
_OF_STRONGEST = ["row", "id.orig_h", "id.resp_h", "id.resp_p", "proto"]


def score_of_risk(risk: np.ndarray | float, threshold: float) -> np.ndarray:
    """Return the score of evidence, 0 to 1, for risk_scores: 0.5 at the threshold, 1 at 100, falling with the square below it."""
    risk = np.asarray(risk, float)
    above = 0.5 + 0.5 * (risk - threshold) / max(100.0 - threshold, 1.0)
    return np.where(risk >= threshold, above, 0.5 * (risk / max(threshold, 1.0)) ** 2)


def group_conns(identity: pl.DataFrame, kinds: Sequence[str], risk: np.ndarray, rows: np.ndarray) -> pl.DataFrame:
    """Return one row per group of conns that would be one alert, with the largest risk and the conn that has it.

    `identity` has the columns uid, ts, id.orig_h, id.resp_h, id.resp_p and proto of conns, `kinds` their kinds of alert, `risk`
    their risk_scores, `rows` a number for each, by which the features of a group's strongest conn are found again.
    """
    found = identity.with_columns(
        kind=pl.Series(kinds, dtype=pl.String), risk=pl.Series(risk, dtype=pl.Float32), row=pl.Series(rows, dtype=pl.Int64)
    )
    by_kind = {kind: grouping_of(kind) for kind in set(kinds)}
    # Probes from outside are counted by source; alerts of them have nothing in common but the sensor.
    shared = {
        name: [kind for kind, g in by_kind.items() if getattr(g, name) or (name == "source" and not (g.source or g.target))]
        for name in ("source", "target", "service")
    }
    service = pl.format("{}/{}", pl.col("id.resp_p").cast(pl.String).fill_null("?"), pl.col("proto").fill_null("?"))
    columns = {"source": pl.col("id.orig_h"), "target": pl.col("id.resp_h"), "service": service}
    keyed = found.with_columns(
        pl.when(pl.col("kind").is_in(shared[n])).then(c.fill_null("")).otherwise(pl.lit("")).alias(n) for n, c in columns.items()
    )
    return keyed.group_by(_KEYS, maintain_order=True).agg(
        pl.col("risk").max(), pl.len().cast(pl.Int64).alias("count"), pl.col("ts").min().alias("first"), pl.col("ts").max().alias("last"),
        pl.col("uid").sort_by("risk", descending=True).drop_nulls().head(UIDS).alias("uids"), *_strongest(),
    )  # fmt: skip


def join_groups(held: pl.DataFrame | None, fresh: pl.DataFrame) -> pl.DataFrame:
    """Return the groups of both frames as one, the highest risk first; those beyond MAX_GROUPS are dropped."""
    if held is not None and held.height:
        fresh = pl.concat([held, fresh]).group_by(_KEYS, maintain_order=True).agg(
            pl.col("risk").max(), pl.col("count").sum(), pl.col("first").min(), pl.col("last").max(),
            pl.col("uids").sort_by("risk", descending=True).explode(empty_as_null=False, keep_nulls=False).head(UIDS), *_strongest(),
        ).select(fresh.columns)  # fmt: skip
    return fresh.sort("risk", descending=True, maintain_order=True).head(MAX_GROUPS)


def _strongest() -> list[pl.Expr]:
    return [pl.col(c).get(pl.col("risk").arg_max()) for c in _OF_STRONGEST]


def evidence_of_groups(
    groups: pl.DataFrame, x: np.ndarray, model: Model, threshold: float, *, explained: int = EXPLAINED
) -> list[Evidence]:
    """Return one piece of evidence per group, in their order. `x` is float32[groups, features] of the strongest conns.

    The first `explained` are explained by the model, which takes a hundred scorings each; the others by their behaviour.
    """
    scores = score_of_risk(groups["risk"].to_numpy(), threshold)
    first = np.arange(min(len(x), explained))
    texts = explain(model, x[first], judge(model, x[first]), first) if len(first) else []
    out = []
    for i, row in enumerate(groups.iter_rows(named=True)):
        behaviour = behaviour_of(row["kind"])
        target, port, proto = row["id.resp_h"] or "", row["id.resp_p"], row["proto"] or ""
        text = texts[i] if i < len(texts) else behaviour.describe(x[i]) if behaviour is not None else f"risk score {row['risk']:.0f}"
        out.append(
            Evidence(
                kind=row["kind"], score=float(scores[i]), text=text, uids=tuple(row["uids"]), source=row["id.orig_h"] or "", subject="",
                target=target, port=port, proto=proto, first=row["first"], last=row["last"], count=row["count"], log="conn",
                sentence=conn_sentence(behaviour, x[i], target, port, proto) if behaviour is not None else "",
            )
        )  # fmt: skip
    return out


def evidence_of_conns(
    identity: pl.DataFrame, x: np.ndarray, verdicts: Verdicts, model: Model, threshold: float, *, explained: int = EXPLAINED
) -> list[Evidence]:
    """Return the evidence of conns that are held in memory, the highest risk first.

    `identity`, `x` (float32[n, features]) and `verdicts` have one row, or value, per conn.
    """
    rows = np.flatnonzero(verdicts.risk_score >= LEAST_RISK)
    if not len(rows):
        return []
    fresh = group_conns(identity[rows.tolist()], alert_kinds(model, verdicts, rows), verdicts.risk_score[rows], rows)
    groups = join_groups(None, fresh)
    return evidence_of_groups(groups, x[groups["row"].to_numpy()], model, threshold, explained=explained)


def conn_sentence(behaviour: Behaviour, row: np.ndarray, target: str, port: int | None, proto: str) -> str:
    """Return what float32[features] of the strongest conn shows, to complete "10.0.0.5 …"; empty for a behaviour without a sentence."""
    out = behaviour.sentence
    for name, feature in BY_NAME.items():
        if name == "triple_gap_median" and row[POSITION[name]] < _NO_PAUSE:  # its first calls, or calls without a pause
            out = out.replace("every {triple_gap_median}", "again and again")
        if "{" + name + "}" in out:
            out = out.replace("{" + name + "}", _value(feature, float(row[POSITION[name]])))
    service = "ICMP" if proto == "icmp" else f"port {port}/{proto}" if port is not None else "an unknown port"
    out = _ONE.sub(r"1 \1", out)
    return out.replace("{service}", service).replace("{target}", target or "an unknown host")


_ONE = re.compile(r"\b1 (host|port|peer|server)s\b")
_NO_PAUSE = 0.05  # log1p of seconds
_SECONDS = frozenset(["duration", "triple_gap_median", "triple_lasted", "pair_age"])


def _value(feature: Feature, value: float) -> str:
    if feature.name in _SECONDS:
        return span(float(np.expm1(min(value, 60.0))))
    number = float(np.expm1(min(value, 60.0)))
    if feature.name == "src_out_1h":
        return f"{number / 1e6:,.0f} MB"
    return f"{number:,.0f}"
