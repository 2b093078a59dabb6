"""Trains both forests on a snapshot, bundles them as data, and sets the cut by the alert budget."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from mlids.alerts.grouping import group_keys
from mlids.detectors.bundle import Bundle, Spec
from mlids.detectors.forest import BENIGN, fit_forest
from mlids.detectors.isolation import SAMPLE_ROWS, fit_isolation
from mlids.detectors.onnx_graph import build_graph
from mlids.detectors.verdict import judge
from mlids.errors import NoRowsError
from mlids.evaluate import figures
from mlids.features.extract import Extractor
from mlids.snapshot import Snapshot

THRESHOLD_LOW, THRESHOLD_HIGH = 50.0, 97.0


@dataclass(frozen=True)
class Trained:
    """A trained model: the graph, both scikit-learn forests, and figures on the held-out rows by detector."""

    graph: bytes
    forest: object
    isolation: object
    figures: dict[str, dict[str, float]]
    params: dict[str, object]
    spec: Spec


def train(snapshot: Snapshot, *, seed: int = 0, budget_per_day: float, threshold: float = 70.0) -> Trained:
    """Return both forests fitted on the snapshot's training rows and judged on those held out.

    Raises NoRowsError where there is nothing to learn from.
    """
    fit = ~snapshot.held_out
    benign = snapshot.label == BENIGN
    if not (fit & benign).any():
        raise NoRowsError(f"snapshot {snapshot.info.id} has no benign rows to learn from")
    forest = fit_forest(snapshot.x[fit], snapshot.label[fit].astype(str), seed=seed)
    normal = snapshot.x[fit & benign]
    if len(normal) > SAMPLE_ROWS:
        normal = normal[np.random.default_rng(seed).choice(len(normal), SAMPLE_ROWS, replace=False)]
    isolation = fit_isolation(normal, seed=seed)
    medians = np.median(normal, axis=0).astype(float).tolist()
    spec = Spec(
        medians=medians, threshold=threshold, classes=[str(c) for c in forest.classes_], rows=int(fit.sum()),
        trained_from=snapshot.info.days[0], trained_to=snapshot.info.days[-1], budget_per_day=budget_per_day,
    )  # fmt: skip
    spec = _with_example(forest, isolation, spec, snapshot.x[fit][0])
    graph = build_graph(forest, isolation, spec.as_dict())
    params: dict[str, object] = {
        "snapshot": snapshot.info.id, "snapshot_digest": snapshot.info.digest, "features_version": spec.features_version,
        "seed": seed, "trees": len(forest.estimators_), "rows": int(fit.sum()), "held_out_rows": int(snapshot.held_out.sum()),
        "benign_rows": int((fit & benign).sum()), "isolation_rows": len(normal), "isolation_max_samples": int(isolation.max_samples_),
    }  # fmt: skip
    return Trained(graph, forest, isolation, judge_held_out(Bundle(graph), snapshot), params, spec)


def _with_example(forest: object, isolation: object, spec: Spec, row: np.ndarray) -> Spec:
    """Store one row and what scikit-learn says to it: every loader checks itself against it."""
    x = row[None, :]
    share = forest.predict_proba(x)[0]  # type: ignore[attr-defined]
    attack = 1.0 - float(share[spec.classes.index(BENIGN)])
    strange = -float(isolation.score_samples(x)[0])  # type: ignore[attr-defined]
    return replace(spec, example=[float(v) for v in row], example_scores=[strange, attack])


def judge_held_out(model: Bundle, snapshot: Snapshot) -> dict[str, dict[str, float]]:
    """Return the figures of forest, isolation and hybrid on the snapshot's held-out rows."""
    x, attack = snapshot.x[snapshot.held_out], snapshot.label[snapshot.held_out] != BENIGN
    if not len(x):
        return {name: figures(np.zeros(0), np.zeros(0, bool)) for name in ("forest", "isolation", "hybrid")}
    verdicts = judge(model, x)
    out = {"isolation": figures(verdicts.scores.anomaly_score, attack), "hybrid": figures(verdicts.risk_score, attack)}
    if verdicts.scores.attack_probability is not None:
        out["forest"] = figures(verdicts.scores.attack_probability, attack)
    return out


def budget_threshold(
    model: Bundle, batches: Iterable[pl.DataFrame], days: float, budget_per_day: float, networks: tuple[str, ...] = ()
) -> tuple[float, float]:
    """Return the cut that keeps the site's own latest days within the budget, and the alerts a day at it.

    Alerts are counted after grouping, as they will be sent.
    """
    extractor = Extractor(networks)
    strongest: dict[str, float] = {}
    for conns in batches:
        verdicts = judge(model, extractor.features(conns), THRESHOLD_LOW)
        rows = np.flatnonzero(verdicts.alert)
        if not len(rows):
            continue
        keys = group_keys(model, conns[rows.tolist()], verdicts, rows)
        for key, risk in zip(keys, verdicts.risk_score[rows].tolist(), strict=True):
            if risk > strongest.get(key.id, 0.0):
                strongest[key.id] = risk
    ranked = sorted(strongest.values(), reverse=True)
    allowed = int(budget_per_day * max(days, 1e-9))
    cut = ranked[allowed] + 0.1 if len(ranked) > allowed else THRESHOLD_LOW
    cut = float(min(max(cut, THRESHOLD_LOW), THRESHOLD_HIGH))
    return cut, sum(r >= cut for r in ranked) / max(days, 1e-9)
