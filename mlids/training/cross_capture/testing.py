"""One capture under one model: risks by detector, thresholds carried to it, and the threshold that its own site would get."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from mlids.alerts.grouping import WINDOW_S, group_keys
from mlids.detectors.bundle import Fitted, Model
from mlids.detectors.forest import BENIGN, fit_forest
from mlids.detectors.verdict import Verdicts, judge
from mlids.features.spec import NAMES
from mlids.training.cross_capture.captures import Capture
from mlids.training.dataset import reference, true_attack, weights
from mlids.training.labels import family
from mlids.training.metrics import DETECTORS, pr_auc
from mlids.training.train import Pair, fit_pair, threshold_for_budget


@dataclass(frozen=True)
class SiteThreshold:
    """The threshold that the product sets on the first third of a capture without labels, and the later rows that it finds."""

    start: int  # first of the later rows
    found: np.ndarray  # bool[n]
    alerts: int  # among the later rows, after grouping
    days: float  # of the later rows


@dataclass(frozen=True)
class TestedCapture:
    """A capture under one model."""

    capture: Capture
    risks: dict[str, np.ndarray]  # detector → float[n], 0 to 100
    carried: dict[str, float]  # detector → threshold at 1 % of benign rows of the calibration captures; nan without any
    site: dict[str, SiteThreshold]  # by detector
    seen: np.ndarray  # digests of the training rows

    def later(self, detector: str) -> np.ndarray:
        """Return bool[n]: the rows that the site's threshold was not set on."""
        return np.arange(len(self.capture.x)) >= self.site[detector].start


def fit_captures(captures: Sequence[Capture], seed: int, *, true_attacks: bool = True) -> Pair:
    """Return both forests fitted on captures and the reference networks; `true_attacks=False` leaves out all observed attacks."""
    frame = pl.concat([*(c.examples for c in captures), reference()])
    if not true_attacks:
        frame = frame.filter(~true_attack())
    x = np.ascontiguousarray(frame.select(NAMES).to_numpy(), np.float32)
    names = np.array([BENIGN if v == BENIGN else family(v) for v in frame["label"].to_list()])
    return fit_pair(
        x, names, frame["network"].to_numpy().astype(str), weights(frame),
        true_attacks=not frame.filter(true_attack()).is_empty(), seed=seed,
    )  # fmt: skip


def run_capture(pair: Pair, capture: Capture, calibrate: Sequence[Capture], trained_on: Sequence[Capture], budget: float) -> TestedCapture:
    """Return a capture under a model that was trained on `trained_on`; `budget` is in alerts a day."""
    model, unsupervised = pair.model(), Fitted(pair.isolation, pair.spec)
    verdicts, risks = _risks(model, unsupervised, capture.x)
    benign: dict[str, list[np.ndarray]] = {d: [] for d in DETECTORS}
    for other in calibrate:
        for name, values in _risks(model, unsupervised, other.x[other.benign])[1].items():
            benign[name].append(values)
    carried = {n: float(np.quantile(np.concatenate(v), 0.99, method="higher")) if v else float("nan") for n, v in benign.items()}
    site = {name: _site_threshold(model, capture, verdicts, risks[name], budget) for name in DETECTORS}
    seen = np.concatenate([c.digests[c.known] for c in trained_on]) if trained_on else np.zeros(0, np.uint64)
    return TestedCapture(capture, risks, carried, site, np.unique(seen))


def _risks(model: Model, unsupervised: Model, x: np.ndarray) -> tuple[Verdicts, dict[str, np.ndarray]]:
    """Return the verdicts, and the risk by detector, 0 to 100, that rows are ranked by. `unsupervised` is the model without its forest."""
    verdicts = judge(model, x)
    probability = verdicts.scores.attack_probability
    return verdicts, {
        "forest": 100.0 * (probability if probability is not None else np.zeros(len(x))),
        "isolation": 100.0 * verdicts.scores.anomaly_score,
        "unsupervised": judge(unsupervised, x).risk_score,
        "hybrid": verdicts.risk_score,
    }


def _site_threshold(model: Model, capture: Capture, verdicts: Verdicts, risk: np.ndarray, budget: float) -> SiteThreshold:
    third = len(risk) // 3
    stamps = capture.conns["ts"].dt.epoch("s").fill_null(0).to_numpy()
    keys = [k.id for k in group_keys(model, capture.conns, verdicts, np.arange(len(risk)))]
    threshold = threshold_for_budget(keys[:third], risk[:third], _days(stamps[:third]), budget)[0]
    found = (np.arange(len(risk)) >= third) & (risk >= threshold)
    return SiteThreshold(third, found, len({keys[i] for i in np.flatnonzero(found)}), _days(stamps[third:]))


def _days(stamps: np.ndarray) -> float:
    """Return the days that rows (epoch seconds) span, counted in windows of alert grouping."""
    return len(np.unique(stamps // WINDOW_S)) * WINDOW_S / 86_400 if len(stamps) else 0.0


def random_split(captures: Sequence[Capture], seed: int) -> dict[str, float]:
    """Return the RandomForest's PR-AUC when rows of the same captures are on both sides; empty without both classes.

    It is flattering, and given for comparison only.
    """
    x = np.concatenate([c.x[c.known] for c in captures]) if captures else np.zeros((0, len(NAMES)), np.float32)
    attack = np.concatenate([c.attack[c.known] for c in captures]) if captures else np.zeros(0, bool)
    if not attack.any() or attack.all():
        return {}
    fit = np.random.default_rng(seed).random(len(x)) < 0.7
    forest = fit_forest(x[fit], np.where(attack[fit], "attack", BENIGN), seed=seed, trees=50)
    score = forest.predict_proba(x[~fit])[:, list(forest.classes_).index("attack")]
    return {"forest_pr_auc": pr_auc(score, attack[~fit]), "forest_pr_auc_at_1pct": pr_auc(score, attack[~fit], 0.01)}
