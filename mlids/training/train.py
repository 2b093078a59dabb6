"""Trains both forests on a snapshot, exports them as one graph, and sets the threshold by the alert budget."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from mlids.alerts.grouping import group_keys
from mlids.detectors.bundle import Bundle, Fitted, Model
from mlids.detectors.forest import BENIGN, fit_forest
from mlids.detectors.isolation import SAMPLE_ROWS, anomaly_scores, fit_isolation
from mlids.detectors.model_spec import ATTACK_WEIGHT, HIGHEST_THRESHOLD, IMPLANTED_WEIGHT, WAYS, Spec
from mlids.detectors.onnx_graph import build_graph
from mlids.detectors.verdict import judge, may_reach, ways
from mlids.errors import NoRowsError
from mlids.features.behaviours.base import Rows
from mlids.features.extract import Extractor
from mlids.features.spec import SHAPE_COLUMNS
from mlids.training.held_out import HeldOut, judge_rows
from mlids.training.snapshot import Snapshot, SnapshotInfo

if TYPE_CHECKING:
    from sklearn.ensemble import IsolationForest, RandomForestClassifier

# Bounds of the threshold. The budget is an upper limit and no quota: below the lower bound nothing becomes an alert.
# Benign days of the captures in docs/detection.md have less than one alert a day above the lower one. A behaviour from 0.62 on
# reaches it alone, and a RandomForest that has learned from observed attacks with a probability of 0.89; surprise does not.
THRESHOLD_LOW, THRESHOLD_HIGH = 55.0, HIGHEST_THRESHOLD


# Benign rows of each synthetic reference network, and of all other networks together, that the IsolationForest is
# fitted on; the latter are divided equally among the networks.
_REFERENCE_ROWS = 1_500
_OWN_ROWS = 30_000
# Quantiles of the benign anomaly_score at which the scale of surprise has its knots.
_SURPRISE_RANKS = (0.5, 0.9, 0.99, 0.999)


@dataclass(frozen=True)
class Pair:
    """Both fitted forests with their spec."""

    forest: RandomForestClassifier
    isolation: IsolationForest
    spec: Spec
    isolation_rows: int

    def model(self) -> Fitted:
        """Return the pair as a model."""
        return Fitted(self.isolation, self.spec, self.forest)


def fit_pair(x: np.ndarray, label: np.ndarray, network: np.ndarray, weight: np.ndarray, *, true_attacks: bool, seed: int = 0) -> Pair:
    """Fit both forests on float32[n, features] with label, network and weight of each row.

    `true_attacks`: at least one attack among the rows was observed, not implanted. Without any, the RandomForest gets
    SHAPE_COLUMNS only.

    The IsolationForest is fitted on benign rows, the same number of each network. Its score is mapped to surprise,
    0 to 1, by its rank among benign rows: −log10(1 − rank) / 3, so one benign row in ten has 1/3, one in a thousand 1.
    Raises NoRowsError without benign rows, or without attacks.
    """
    columns, depth, leaf = (list(range(x.shape[1])), 20, 3) if true_attacks else (list(SHAPE_COLUMNS), 12, 5)
    forest = fit_forest(x[:, columns], label, weights=weight, seed=seed, depth=depth, leaf=leaf)
    rng = np.random.default_rng(seed)
    places = {name: np.flatnonzero((network == name) & (label == BENIGN)) for name in sorted(set(network.tolist()))}
    own = [name for name, at in places.items() if len(at) and not name.startswith("reference-")]
    quota = min(SAMPLE_ROWS, max(_OWN_ROWS, 1_500 * len(own))) // max(len(own), 1)
    drawn = {
        name: rng.choice(at, n, replace=len(at) < n)
        for name, at in places.items()
        if len(at) and (n := quota if name in own else _REFERENCE_ROWS)
    }
    rows = np.concatenate(list(drawn.values()))
    isolation = fit_isolation(x[rows], seed=seed)
    usual = x[np.concatenate([drawn[n] for n in own]) if own else rows]
    ranks = np.quantile(anomaly_scores(isolation, usual), _SURPRISE_RANKS)
    knots = [
        np.maximum.accumulate(ranks + np.arange(len(ranks)) * 1e-6).tolist(),
        [0.1, *(-np.log10(1 - r) / 3 for r in _SURPRISE_RANKS[1:])],
    ]
    spec = Spec(
        medians=np.median(usual, axis=0).astype(float).tolist(), surprise=knots, classes=[str(c) for c in forest.classes_], rows=len(x),
        forest_columns=columns, attack_weight=ATTACK_WEIGHT if true_attacks else IMPLANTED_WEIGHT,
    )  # fmt: skip
    return Pair(forest, isolation, spec, len(rows))


@dataclass(frozen=True)
class Trained:
    """A trained model: the graph, both scikit-learn forests, what they were trained on, and verdicts and metrics on the held-out rows."""

    graph: bytes
    forest: RandomForestClassifier
    isolation: IsolationForest
    metrics: dict[str, dict[str, float]]  # by detector
    params: dict[str, object]
    spec: Spec
    snapshot: SnapshotInfo
    held_out: HeldOut


def train(snapshot: Snapshot, *, seed: int = 0, budget_per_day: float, threshold: float = 70.0) -> Trained:
    """Return both forests, fitted on the snapshot's training rows, with metrics on the held-out rows.

    Raises NoRowsError when the training rows have no benign row or no attack.
    """
    fit = ~snapshot.held_out
    benign = snapshot.label == BENIGN
    if not (fit & benign).any():
        raise NoRowsError(f"snapshot {snapshot.info.id} has no benign rows to train on; take a snapshot of other days")
    pair = fit_pair(
        snapshot.x[fit], snapshot.label[fit].astype(str), snapshot.network[fit].astype(str), snapshot.weight[fit],
        true_attacks=snapshot.info.label_sources.get("true attack", 0) > 0, seed=seed,
    )  # fmt: skip
    forest, isolation = pair.forest, pair.isolation
    spec = replace(
        pair.spec, threshold=threshold, rows=int(fit.sum()), trained_from=snapshot.info.days[0],
        trained_to=snapshot.info.days[-1], budget_per_day=budget_per_day,
        conns_a_day=snapshot.info.rows_there / max(len(snapshot.info.days), 1),
    )  # fmt: skip
    spec = _with_example(forest, isolation, spec, snapshot.x[fit][0])
    graph = build_graph(forest, isolation, spec.as_dict())
    params: dict[str, object] = {
        "snapshot": snapshot.info.id, "snapshot_digest": snapshot.info.digest, "features_version": spec.features_version,
        "seed": seed, "trees": len(forest.estimators_), "rows": int(fit.sum()), "held_out_rows": int(snapshot.held_out.sum()),
        "benign_rows": int((fit & benign).sum()), "isolation_rows": pair.isolation_rows, "isolation_max_samples": int(isolation.max_samples_),
    }  # fmt: skip
    held_out = judge_rows(Bundle(graph), snapshot)
    return Trained(graph, forest, isolation, held_out.metrics(), params, spec, snapshot.info, held_out)


def _with_example(forest: object, isolation: object, spec: Spec, row: np.ndarray) -> Spec:
    """Return the spec with one row and its scores by scikit-learn: a loaded model is checked against them."""
    x = row[None, :]
    share = forest.predict_proba(x[:, spec.forest_columns])[0]  # type: ignore[attr-defined]
    attack = 1.0 - float(share[spec.classes.index(BENIGN)])
    anomaly = float(anomaly_scores(isolation, x)[0])  # type: ignore[arg-type]
    return replace(spec, example=[float(v) for v in row], example_scores=[anomaly, attack])


def background(x: np.ndarray) -> np.ndarray:
    """Return bool[n]: conns from outside to inside that got nothing: unanswered, refused, or without data from the responder.

    Background scanning of the Internet consists of them, and whoever forges sources can make any number of them.
    """
    rows = Rows(x)
    inward = (rows.value("orig_local") < 0.5) & (rows.value("resp_local") > 0.5)
    failed = (rows.value("no_answer") > 0.5) | (rows.value("rejected") > 0.5)
    silent = (rows.value("history_length") > 0.0) & (rows.value("resp_data") < 0.5)
    return np.asarray(inward & (failed | silent))


@dataclass(frozen=True)
class Thresholds:
    """The thresholds that keep alerts within the budget: the lowest, those by way (WAYS), and the alerts a day at them."""

    lowest: float
    by_way: dict[str, float]
    alerts_per_day: float
    sent: dict[str, np.ndarray]  # by way, the highest risk_score of each group of conns that would be one alert
    days: float  # that they are from


def budget_thresholds(
    model: Model, batches: Iterable[pl.DataFrame], days: float, budget_per_day: float, networks: tuple[str, ...] = (),
    *, screen: Model | None = None,
) -> Thresholds:  # fmt: skip
    """Return the thresholds that keep conns of `days` days within the budget.

    Conns that leave the site, stay inside it, or come from outside have a third of the budget each, so that a noisy one does
    not raise the threshold of the others. One source and target of a kind count once, however many windows they fill.
    `background` conns take no part: a noisy, or forged, week of probes must not raise a threshold; the alerts a day, counted
    after grouping as they are sent, contain them. `screen` is the same model without its RandomForest, which takes most of the
    time: rows that stay below the threshold at probability 1 are not scored by it.
    """
    extractor = Extractor(networks)
    strongest: list[dict[str, float]] = [{} for _ in WAYS]
    sent: list[dict[str, float]] = [{} for _ in WAYS]
    for conns in batches:
        x = extractor.features(conns)
        if screen is not None:
            near = may_reach(judge(screen, x).risk_score, THRESHOLD_LOW, model.spec.attack_weight)
            x, conns = x[near], conns.filter(pl.Series(near))
        verdicts = judge(model, x, THRESHOLD_LOW)
        rows = np.flatnonzero(verdicts.alert)
        if not len(rows):
            continue
        keys = group_keys(model, conns[rows.tolist()], verdicts, rows)
        probes = background(x[rows]).tolist()
        for key, way, risk, probe in zip(keys, ways(x[rows]).tolist(), verdicts.risk_score[rows].tolist(), probes, strict=True):
            sent[way][key.id] = max(sent[way].get(key.id, 0.0), risk)
            if not probe:
                once = "\x1f".join([key.sensor, key.kind, key.source, key.target])
                strongest[way][once] = max(strongest[way].get(once, 0.0), risk)
    by_way = {way: _threshold(found.values(), days, budget_per_day / len(WAYS)) for way, found in zip(WAYS, strongest, strict=True)}
    per_day = sum(_a_day(found.values(), by_way[way], days) for way, found in zip(WAYS, sent, strict=True))
    risks = {way: np.array(sorted(found.values())) for way, found in zip(WAYS, sent, strict=True)}
    return Thresholds(min(by_way.values()), by_way, per_day, risks, days)


def threshold_for_budget(keys: Sequence[str], risk: np.ndarray, days: float, budget_per_day: float) -> tuple[float, float]:
    """Return one threshold for rows by their group key and risk_score, and the alerts a day at it."""
    strongest: dict[str, float] = {}
    for key, value in zip(keys, risk.tolist(), strict=True):
        if value > strongest.get(key, 0.0):
            strongest[key] = value
    threshold = _threshold(strongest.values(), days, budget_per_day)
    return threshold, _a_day(strongest.values(), threshold, days)


def _threshold(strongest: Iterable[float], days: float, budget_per_day: float) -> float:
    ranked = sorted(strongest, reverse=True)
    allowed = int(budget_per_day * max(days, 1e-9))
    threshold = ranked[allowed] + 0.1 if len(ranked) > allowed else THRESHOLD_LOW
    return float(min(max(threshold, THRESHOLD_LOW), THRESHOLD_HIGH))


def _a_day(strongest: Iterable[float], threshold: float, days: float) -> float:
    return sum(r >= threshold for r in strongest) / max(days, 1e-9)
