"""One capture under one model: risks by detector, thresholds carried to it, and the threshold that its own site would get."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import polars as pl

from mlids.alerts.grouping import WINDOW_S, group_keys
from mlids.cases.gathering import Gathered
from mlids.detectors.bundle import Model, Scores
from mlids.detectors.day_view import raised
from mlids.detectors.forest import BENIGN, fit_forest
from mlids.detectors.model_spec import Spec
from mlids.detectors.verdict import Verdicts, judge
from mlids.features.spec import NAMES
from mlids.training.cross_capture.alerting import Alerts, alerts_of
from mlids.training.cross_capture.captures import Capture
from mlids.training.cross_capture.case_evidence import SiteEvidence, conn_evidence, gather_capture
from mlids.training.dataset import reference, thinned, true_attack
from mlids.training.labels import family
from mlids.training.metrics import DETECTORS, pr_auc
from mlids.training.train import Pair, background, fit_pair, threshold_for_budget

_NO_CASES = Gathered([])


@dataclass(frozen=True)
class SiteThreshold:
    """The threshold that the product sets on the first third of a capture without labels, and the later rows that it finds."""

    start: int  # first of the later rows
    found: np.ndarray  # bool[n]
    threshold: float
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
    alerts: Alerts  # of the hybrid, over all rows
    days: float
    gathered: Gathered = _NO_CASES  # cases of the hybrid and of the capture's other logs

    def later(self, detector: str) -> np.ndarray:
        """Return bool[n]: the rows that the site's threshold was not set on."""
        return np.arange(len(self.capture.x)) >= self.site[detector].start


@lru_cache(maxsize=1)
def _reference() -> pl.DataFrame:
    return thinned(reference(), 0)


def fit_captures(captures: Sequence[Capture], seed: int, *, true_attacks: bool = True) -> Pair:
    """Return both forests fitted on captures and the reference networks; `true_attacks=False` leaves out all observed attacks."""
    frame = pl.concat([*(c.examples for c in captures), _reference()])
    if not true_attacks:
        frame = frame.filter(~true_attack())
    x = np.ascontiguousarray(frame.select(NAMES).to_numpy(), np.float32)
    names = np.array([BENIGN if v == BENIGN else family(v) for v in frame["label"].to_list()])
    return fit_pair(
        x, names, frame["network"].to_numpy().astype(str), frame["weight"].to_numpy(),
        true_attacks=not frame.filter(true_attack()).is_empty(), seed=seed,
    )  # fmt: skip


class _WithoutForest:
    """A model whose scores are known already, without those of its RandomForest: a second scoring would take as long as the first."""

    def __init__(self, spec: Spec, scores: Scores) -> None:
        self.spec = spec
        self.version: str | None = None
        self.attack_classes: list[str] = []
        self._scores = Scores(scores.anomaly_score, None, None)

    def score(self, x: np.ndarray) -> Scores:
        """Return the known scores; `x` are the rows that they were given for."""
        return self._scores


def run_capture(
    pair: Pair, capture: Capture, calibrate: Sequence[Capture], trained_on: Sequence[Capture], budget: float, logs: SiteEvidence
) -> TestedCapture:
    """Return a capture under a model that was trained on `trained_on`; `budget` is in alerts a day, `logs` what its other logs say."""
    model = pair.model()
    verdicts, risks = _risks(model, capture.x)
    raised(capture.day_keys, risks["day"])
    benign: dict[str, list[np.ndarray]] = {d: [] for d in DETECTORS}
    for other in calibrate:
        for name, values in _risks(model, other.x[other.benign])[1].items():
            benign[name].append(values)
    carried = {n: float(np.quantile(np.concatenate(v), 0.99, method="higher")) if v else float("nan") for n, v in benign.items()}
    site = _site_thresholds(model, capture, verdicts, risks, budget)
    seen = np.concatenate([c.digests[c.known] for c in trained_on]) if trained_on else np.zeros(0, np.uint64)
    threshold = site["hybrid"].threshold
    gathered = gather_capture(conn_evidence(model, capture, verdicts, threshold), logs)
    alerts = alerts_of(model, capture, verdicts, threshold)
    return TestedCapture(capture, risks, carried, site, np.unique(seen), alerts, days_of(capture), gathered)


def days_of(capture: Capture) -> float:
    """Return the days that the rows of a capture span, counted in windows of alert grouping."""
    return _days(_stamps(capture))


def _risks(model: Model, x: np.ndarray) -> tuple[Verdicts, dict[str, np.ndarray]]:
    """Return the verdicts, and the risk by detector, 0 to 100, that rows are ranked by."""
    verdicts = judge(model, x)
    probability = verdicts.scores.attack_probability
    return verdicts, {
        "forest": 100.0 * (probability if probability is not None else np.zeros(len(x))),
        "isolation": 100.0 * verdicts.scores.anomaly_score,
        "behaviours": 100.0 * verdicts.behaviour_score,
        "unsupervised": judge(_WithoutForest(model.spec, verdicts.scores), x).risk_score,
        "hybrid": verdicts.risk_score,
        "day": verdicts.risk_score.copy(),
    }


def _site_thresholds(
    model: Model, capture: Capture, verdicts: Verdicts, risks: dict[str, np.ndarray], budget: float
) -> dict[str, SiteThreshold]:
    """Return the threshold of each detector by the alert budget; probes from outside take no part in it, as in training."""
    n, stamps = len(capture.x), _stamps(capture)
    keys = np.array([k.id for k in group_keys(model, capture.conns, verdicts, np.arange(n))], object)
    third = n // 3
    first = (np.arange(n) < third) & ~background(capture.x)
    out = {}
    for name in DETECTORS:
        threshold = threshold_for_budget(keys[first].tolist(), risks[name][first], _days(stamps[:third]), budget)[0]
        found = (np.arange(n) >= third) & (risks[name] >= threshold)
        out[name] = SiteThreshold(third, found, threshold, len(set(keys[found].tolist())), _days(stamps[third:]))
    return out


def _stamps(capture: Capture) -> np.ndarray:
    return capture.conns["ts"].dt.epoch("s").fill_null(0).to_numpy()


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
