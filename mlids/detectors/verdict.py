"""Combines both forests and the named behaviours into one risk_score, and explains it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlids.detectors.bundle import Model, Scores
from mlids.detectors.model_spec import WAYS, Spec
from mlids.features.behaviours import BEHAVIOURS
from mlids.features.spec import BEHAVIOUR_COLUMNS, FEATURES, POSITION

# Weights in the noisy-OR; the third is the model's `attack_weight`. Only a behaviour near its full score, or a RandomForest that is sure, reaches the lowest
# threshold alone. Surprise and probability are squared: halves are guesses, and with them the two drown the behaviours on
# networks that they were not trained on (docs/detection.md).
ANOMALY_WEIGHT, BEHAVIOUR_WEIGHT = 0.50, 0.90
# Look-ups, discovery and broadcast are the rarest context of any network: their surprise counts this much less.
UPKEEP_DISCOUNT = 0.6
UPKEEP = [POSITION["port_infra"], POSITION["resp_multicast"]]


@dataclass(frozen=True)
class Verdicts:
    """Verdicts of n rows. `behaviour` is an index into BEHAVIOURS, −1 where none scores 0.2 or more."""

    scores: Scores
    risk_score: np.ndarray  # float32, 0 to 100
    alert: np.ndarray  # bool
    behaviour: np.ndarray
    behaviour_score: np.ndarray  # float32, 0 to 1


def judge(model: Model, x: np.ndarray, threshold: float | None = None) -> Verdicts:
    """Return the verdicts of float32[n, features]; `threshold` (risk_score) overrides the model's own ones."""
    scores = model.score(x)
    levels = x[:, BEHAVIOUR_COLUMNS]
    strongest = levels.argmax(axis=1)
    level = levels[np.arange(len(x)), strongest]
    at, to = model.spec.surprise
    strange = np.interp(scores.anomaly_score, at, to).astype(np.float32) * (1.0 - UPKEEP_DISCOUNT * x[:, UPKEEP].max(axis=1))
    # Independent evidence is combined by noisy-OR: 1 − ∏(1 − weight · score).
    none = (1.0 - ANOMALY_WEIGHT * strange**2) * (1.0 - BEHAVIOUR_WEIGHT * level)
    if scores.attack_probability is not None:
        none = none * (1.0 - model.spec.attack_weight * scores.attack_probability**2)
    risk = (100.0 * (1.0 - none)).astype(np.float32)
    least = thresholds_of(model.spec, x, threshold)
    return Verdicts(scores, risk, risk >= least, np.where(level >= 0.2, strongest, -1), level)


def ways(x: np.ndarray) -> np.ndarray:
    """Return int8[n]: the index in WAYS of each row of float32[n, features]."""
    orig, resp = x[:, POSITION["orig_local"]] > 0.5, x[:, POSITION["resp_local"]] > 0.5
    return np.where(orig, np.where(resp, 1, 0), 2).astype(np.int8)


def thresholds_of(spec: Spec, x: np.ndarray, threshold: float | None = None) -> np.ndarray:
    """Return float32[n]: the risk_score from which each row is an alert; `threshold` overrides those of the model."""
    if threshold is not None or not spec.thresholds:
        return np.full(len(x), lowest_threshold(spec, threshold), np.float32)
    return np.array([spec.thresholds.get(way, spec.threshold) for way in WAYS], np.float32)[ways(x)]


def lowest_threshold(spec: Spec, threshold: float | None) -> float:
    """Return the risk_score below which no row is an alert: `threshold` where it is set, else the model's own."""
    return spec.threshold if threshold is None else threshold


def may_reach(risk_without_forest: np.ndarray, threshold: float, attack_weight: float) -> np.ndarray:
    """Return bool[n]: the rows whose risk_score could reach a threshold if the RandomForest gave them probability 1."""
    most = 100.0 - (100.0 - risk_without_forest) * (1.0 - attack_weight)
    return most >= threshold - 0.1  # rounding


def explain(model: Model, x: np.ndarray, verdicts: Verdicts, rows: np.ndarray, top: int = 3) -> list[str]:
    """Return the reasons of chosen rows in words: the named behaviour, then the strongest contributions.

    A contribution is the fall of the score when the feature is set to what is usual here (median
    replacement); only contributions that raise the score are named.
    """
    out = []
    for start in range(0, len(rows), 64):
        out += _explain_some(model, x, verdicts, rows[start : start + 64], top)
    return out


def contributions(model: Model, x: np.ndarray, verdicts: Verdicts, rows: np.ndarray) -> np.ndarray:
    """Return float[rows, features]: by how much a row's scores fall when a feature is set to its median."""
    medians = np.asarray(model.spec.medians, np.float32)
    width = BEHAVIOUR_COLUMNS.start  # behaviours are named themselves
    changed = np.repeat(x[rows], width, axis=0)
    at = np.arange(len(changed))
    changed[at, at % width] = medians[at % width]
    scores = model.score(changed)
    fall = verdicts.scores.anomaly_score[rows][:, None] - scores.anomaly_score.reshape(len(rows), width)
    if scores.attack_probability is not None and verdicts.scores.attack_probability is not None:
        fall = fall + (verdicts.scores.attack_probability[rows][:, None] - scores.attack_probability.reshape(len(rows), width))
    return np.asarray(fall)


def _explain_some(model: Model, x: np.ndarray, verdicts: Verdicts, rows: np.ndarray, top: int) -> list[str]:
    fall, medians = contributions(model, x, verdicts, rows), model.spec.medians
    out = []
    for i, row in enumerate(rows):
        parts = []
        shown: set[str] = set()
        if verdicts.behaviour[row] >= 0:
            behaviour = BEHAVIOURS[int(verdicts.behaviour[row])]
            parts.append(behaviour.describe(x[row]))
            shown |= set(behaviour.shown)
        elif verdicts.scores.attack_class is not None and verdicts.scores.attack_probability is not None:
            share = float(verdicts.scores.attack_probability[row])
            if share >= 0.5:
                name = model.attack_classes[int(verdicts.scores.attack_class[row])].replace("_", " ")
                parts.append(f"looks like {name} ({share:.0%})")
        for j in np.argsort(-fall[i]):
            if len(parts) >= top or fall[i, j] <= 0.002:
                break
            feature = FEATURES[int(j)]
            if feature.name not in shown:
                usual = _value_of(feature.describe(float(medians[j])), feature.template)
                parts.append(f"{feature.describe(float(x[row, j]))} (usual {usual})")
        out.append("; ".join(parts) or "nothing unusual")
    return out


def _value_of(description: str, template: str) -> str:
    """Return only the value from a text made by `Feature.describe`."""
    before, _, after = template.partition("{}")
    return description[len(before) : len(description) - len(after) if after else None].strip()
