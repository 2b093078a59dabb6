"""From two detectors and the named behaviours to one risk_score, and the reasons in words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlids.detectors.bundle import Model, Scores
from mlids.features.behaviours import BEHAVIOURS, say
from mlids.features.spec import BEHAVIOUR_COLUMNS, FEATURES

# How much each voice can say by itself. None reaches the default threshold alone save a clear behaviour;
# found on captures left out of training, where a heavier RandomForest drowned the other two (docs/detection.md).
ANOMALY_WEIGHT, BEHAVIOUR_WEIGHT, ATTACK_WEIGHT = 0.80, 0.90, 0.70


@dataclass(frozen=True)
class Verdicts:
    """Verdicts of n rows. `behaviour` is an index into BEHAVIOURS, −1 where none is told."""

    scores: Scores
    risk_score: np.ndarray  # float32, 0 to 100
    alert: np.ndarray  # bool
    behaviour: np.ndarray
    behaviour_score: np.ndarray  # float32, 0 to 1


def judge(model: Model, x: np.ndarray, threshold: float | None = None) -> Verdicts:
    """Return the verdicts of float32[n, features]; `threshold` overrides the model's own cut."""
    scores = model.score(x)
    told = x[:, BEHAVIOUR_COLUMNS]
    strongest = told.argmax(axis=1)
    level = told[np.arange(len(x)), strongest]
    at, to = model.spec.surprise
    strange = np.interp(scores.anomaly_score, at, to).astype(np.float32)
    # Independent evidence adds up: one minus the product of the doubts.
    doubt = (1.0 - ANOMALY_WEIGHT * strange) * (1.0 - BEHAVIOUR_WEIGHT * level)
    if scores.attack_probability is not None:
        doubt = doubt * (1.0 - ATTACK_WEIGHT * scores.attack_probability)
    risk = (100.0 * (1.0 - doubt)).astype(np.float32)
    cut = model.spec.threshold if threshold is None else threshold
    return Verdicts(scores, risk, risk >= cut, np.where(level >= 0.2, strongest, -1), level)


def may_reach(risk_without_forest: np.ndarray, cut: float) -> np.ndarray:
    """Say which rows could reach a cut if the RandomForest were sure of them: the others need not be asked about."""
    most = 100.0 - (100.0 - risk_without_forest) * (1.0 - ATTACK_WEIGHT)
    return most >= cut - 0.1  # rounding


def explain(model: Model, x: np.ndarray, verdicts: Verdicts, rows: np.ndarray, top: int = 3) -> list[str]:
    """Return the reasons of chosen rows in words: the behaviour told, then the strongest contributions.

    A contribution is the fall of the score when the feature is set to what is usual here (median
    replacement); only what raises the score is named.
    """
    out = []
    for start in range(0, len(rows), 64):
        out += _explain_some(model, x, verdicts, rows[start : start + 64], top)
    return out


def contributions(model: Model, x: np.ndarray, verdicts: Verdicts, rows: np.ndarray) -> np.ndarray:
    """Return float[rows, features]: how much of a row's scores goes when a feature is set to its median."""
    medians = np.asarray(model.spec.medians, np.float32)
    width = BEHAVIOUR_COLUMNS.start  # behaviours are told as such
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
        said = []
        shown: set[str] = set()
        if verdicts.behaviour[row] >= 0:
            behaviour = BEHAVIOURS[int(verdicts.behaviour[row])]
            said.append(say(behaviour, x[row]))
            shown |= set(behaviour.shown)
        elif verdicts.scores.attack_class is not None and verdicts.scores.attack_probability is not None:
            share = float(verdicts.scores.attack_probability[row])
            if share >= 0.5:
                name = model.attack_classes[int(verdicts.scores.attack_class[row])].replace("_", " ")
                said.append(f"looks like {name} ({share:.0%})")
        for j in np.argsort(-fall[i]):
            if len(said) >= top or fall[i, j] <= 0.002:
                break
            feature = FEATURES[int(j)]
            if feature.name not in shown:
                said.append(f"{feature.say(float(x[row, j]))} (usual {_usual(feature.say(float(medians[j])), feature.words)})")
        out.append("; ".join(said) or "nothing unusual")
    return out


def _usual(said: str, words: str) -> str:
    """Return only the value from a sentence made by `Feature.say`."""
    before, _, after = words.partition("{}")
    return said[len(before) : len(said) - len(after) if after else None].strip()
