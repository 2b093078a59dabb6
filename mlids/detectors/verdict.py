"""Combines both forests and the named behaviours into one risk_score, and explains it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlids.detectors.bundle import Model, Scores
from mlids.features.behaviours import BEHAVIOURS
from mlids.features.spec import BEHAVIOUR_COLUMNS, FEATURES

# Weights of the three in the noisy-OR. Only a behaviour at its full score reaches the lowest threshold alone.
# Chosen on captures left out of training, where a larger weight of the RandomForest masked the other two (docs/detection.md).
ANOMALY_WEIGHT, BEHAVIOUR_WEIGHT, ATTACK_WEIGHT = 0.80, 0.90, 0.70


@dataclass(frozen=True)
class Verdicts:
    """Verdicts of n rows. `behaviour` is an index into BEHAVIOURS, −1 where none scores 0.2 or more."""

    scores: Scores
    risk_score: np.ndarray  # float32, 0 to 100
    alert: np.ndarray  # bool
    behaviour: np.ndarray
    behaviour_score: np.ndarray  # float32, 0 to 1


def judge(model: Model, x: np.ndarray, threshold: float | None = None) -> Verdicts:
    """Return the verdicts of float32[n, features]; `threshold` (risk_score) overrides the model's own."""
    scores = model.score(x)
    levels = x[:, BEHAVIOUR_COLUMNS]
    strongest = levels.argmax(axis=1)
    level = levels[np.arange(len(x)), strongest]
    at, to = model.spec.surprise
    strange = np.interp(scores.anomaly_score, at, to).astype(np.float32)
    # Independent evidence is combined by noisy-OR: 1 − ∏(1 − weight · score).
    none = (1.0 - ANOMALY_WEIGHT * strange) * (1.0 - BEHAVIOUR_WEIGHT * level)
    if scores.attack_probability is not None:
        none = none * (1.0 - ATTACK_WEIGHT * scores.attack_probability)
    risk = (100.0 * (1.0 - none)).astype(np.float32)
    threshold = model.spec.threshold if threshold is None else threshold
    return Verdicts(scores, risk, risk >= threshold, np.where(level >= 0.2, strongest, -1), level)


def may_reach(risk_without_forest: np.ndarray, threshold: float) -> np.ndarray:
    """Return bool[n]: the rows whose risk_score could reach a threshold if the RandomForest gave them probability 1."""
    most = 100.0 - (100.0 - risk_without_forest) * (1.0 - ATTACK_WEIGHT)
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
