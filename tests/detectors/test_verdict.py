"""Scores and behaviours are combined to a risk score, and the reasons name what raises it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mlids.detectors.bundle import Fitted, Scores
from mlids.detectors.isolation import COLUMNS, fit_isolation
from mlids.detectors.model_spec import ATTACK_WEIGHT, IMPLANTED_WEIGHT, Spec
from mlids.detectors.verdict import ANOMALY_WEIGHT, BEHAVIOUR_WEIGHT, contributions, explain, judge, may_reach
from mlids.features.spec import BEHAVIOUR_COLUMNS, NAMES, POSITION
from tests.detectors.conftest import Forests


class _Constant:
    """A model that returns the given scores for every row."""

    version: str | None = None
    attack_classes = ["scan"]

    def __init__(self, anomaly: float, attack: float | None) -> None:
        self.spec = Spec(medians=[0.0] * len(NAMES), surprise=[[0.5, 1.0], [0.0, 1.0]])
        self._anomaly, self._attack = anomaly, attack

    def score(self, x: np.ndarray) -> Scores:
        n = len(x)
        attack = None if self._attack is None else np.full(n, self._attack, np.float32)
        return Scores(np.full(n, self._anomaly, np.float32), attack, None if attack is None else np.zeros(n, np.int64))


def _rows(behaviour: float, n: int = 1) -> np.ndarray:
    x = np.zeros((n, len(NAMES)), np.float32)
    x[:, BEHAVIOUR_COLUMNS.start] = behaviour
    return x


@pytest.mark.parametrize("attack", [None, 0.0, 0.5, 1.0])
@pytest.mark.parametrize("anomaly", [0.4, 0.75, 1.0])
@pytest.mark.parametrize("behaviour", [0.0, 0.6, 1.0])
def test_scores_are_combined_as_independent_evidence(anomaly: float, attack: float | None, behaviour: float) -> None:
    surprise = max(anomaly - 0.5, 0.0) * 2
    rest = (1 - ANOMALY_WEIGHT * surprise**2) * (1 - BEHAVIOUR_WEIGHT * behaviour) * (1 - ATTACK_WEIGHT * (attack or 0.0) ** 2)
    verdicts = judge(_Constant(anomaly, attack), _rows(behaviour))
    assert verdicts.risk_score[0] == pytest.approx(100 * (1 - rest), abs=1e-3)
    assert verdicts.behaviour[0] == (0 if behaviour >= 0.2 else -1)


def test_the_threshold_of_the_model_or_the_one_given_decides() -> None:
    model = _Constant(1.0, 1.0)  # risk 85
    assert judge(model, _rows(0.0)).alert[0] and not judge(model, _rows(0.0), threshold=86.0).alert[0]


def test_a_forest_that_knows_implanted_attacks_only_counts_less() -> None:
    model = _Constant(0.5, 1.0)
    observed = float(judge(model, _rows(0.0)).risk_score[0])
    model.spec = replace(model.spec, attack_weight=IMPLANTED_WEIGHT)
    implanted = float(judge(model, _rows(0.0)).risk_score[0])
    assert (observed, implanted) == (pytest.approx(100 * ATTACK_WEIGHT), pytest.approx(100 * IMPLANTED_WEIGHT))


def test_surprise_counts_less_for_look_ups_and_broadcast() -> None:
    x = _rows(0.0, 3)
    x[1, POSITION["port_infra"]] = x[2, POSITION["resp_multicast"]] = 1.0
    plain, look_up, broadcast = judge(_Constant(1.0, None), x).risk_score.tolist()
    assert plain == pytest.approx(100 * ANOMALY_WEIGHT) and look_up == broadcast == pytest.approx(16 * ANOMALY_WEIGHT, abs=1e-3)


def test_rows_that_may_reach_a_threshold_are_never_left_out() -> None:
    x = np.concatenate([_rows(b) for b in np.linspace(0, 1, 50)])
    without, certain = judge(_Constant(0.5, None), x), judge(_Constant(0.5, 1.0), x)
    reached = certain.risk_score >= 80.0
    may = may_reach(without.risk_score, 80.0, ATTACK_WEIGHT)
    assert reached.any() and may[reached].all() and not may.all()


def test_reasons_name_what_raises_the_score(forests: Forests) -> None:
    rows = np.repeat(np.array([forests.spec.medians], np.float32), 3, axis=0)
    rows[:, BEHAVIOUR_COLUMNS] = 0.0
    rows[1, NAMES.index("src_hosts_1h")] = 60.0
    model = Fitted(forests.isolation, forests.spec)
    verdicts = judge(model, rows)
    reasons = explain(model, rows, verdicts, np.arange(3))
    assert "its source contacted" in reasons[1] and "its source contacted" not in reasons[0]


def test_a_probable_attack_class_is_named_first() -> None:
    model = _Constant(0.5, 0.8)
    assert explain(model, _rows(0.0), judge(model, _rows(0.0)), np.arange(1)) == ["looks like scan (80%)"]
    model = _Constant(0.5, 0.1)
    assert explain(model, _rows(0.0), judge(model, _rows(0.0)), np.arange(1)) == ["nothing unusual"]


def test_reasons_agree_with_shap() -> None:
    """Median replacement is an approximation that is cheap enough for live scoring: it must name what SHAP names."""
    from shap import TreeExplainer

    rng = np.random.default_rng(1)
    normal = rng.normal(3.0, 0.3, (4_000, len(NAMES))).astype(np.float32)
    forest = fit_isolation(normal)
    model = Fitted(forest, Spec(medians=np.median(normal, axis=0).astype(float).tolist()))
    rows = rng.normal(3.0, 0.3, (200, len(NAMES))).astype(np.float32)
    rows[:, BEHAVIOUR_COLUMNS] = 0.0
    shown = np.setdiff1d(COLUMNS, np.arange(len(NAMES))[BEHAVIOUR_COLUMNS])
    far = np.array([rng.choice(shown, 3, replace=False) for _ in rows])
    rows[np.arange(len(rows))[:, None], far] += 6.0  # three features of each row are twenty deviations out
    ours = contributions(model, rows, judge(model, rows), np.arange(len(rows)))[:, shown]
    theirs = -np.asarray(TreeExplainer(forest).shap_values(rows[:, COLUMNS]))[:, np.isin(COLUMNS, shown)]  # SHAP explains the depth
    first, their_first = np.argsort(-ours, axis=1)[:, :3], np.argsort(-theirs, axis=1)[:, :3]
    assert np.mean([a[0] in b for a, b in zip(first, their_first, strict=True)]) >= 0.95
    assert np.mean([len(set(a) & set(b)) / 3 for a, b in zip(first, their_first, strict=True)]) >= 0.8
