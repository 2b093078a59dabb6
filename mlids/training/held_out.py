"""A model's verdicts on the rows that a snapshot keeps from training, and its metrics there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlids.detectors.bundle import Model
from mlids.detectors.forest import BENIGN
from mlids.detectors.model_spec import Spec
from mlids.detectors.verdict import Verdicts, judge, thresholds_of
from mlids.training.metrics import detection_metrics, metrics_at_threshold, score_below
from mlids.training.snapshot import Snapshot


@dataclass(frozen=True)
class HeldOut:
    """Verdicts on n held-out rows, with features float32[n, features], label and network of each; None without any row."""

    x: np.ndarray
    label: np.ndarray
    network: np.ndarray
    verdicts: Verdicts | None

    @property
    def attack(self) -> np.ndarray:
        """bool[n]: the rows that are attacks."""
        return self.label != BENIGN

    def scores(self) -> dict[str, np.ndarray]:
        """Return float[n] by detector: `isolation`, `hybrid` and, where the model has one, `forest`; empty arrays without rows."""
        if self.verdicts is None:
            return {name: np.zeros(0) for name in ("forest", "isolation", "hybrid")}
        found = {"isolation": self.verdicts.scores.anomaly_score, "hybrid": self.verdicts.risk_score}
        if self.verdicts.scores.attack_probability is not None:
            found["forest"] = self.verdicts.scores.attack_probability
        return found

    def alert(self, spec: Spec, threshold: float | None = None) -> np.ndarray:
        """Return bool[n]: the rows that alert at the thresholds of a spec; `threshold` (risk_score) overrides them."""
        if self.verdicts is None:
            return np.zeros(0, bool)
        return np.asarray(self.verdicts.risk_score >= thresholds_of(spec, self.x, threshold))

    def metrics(self) -> dict[str, dict[str, float]]:
        """Return the metrics by detector that need no threshold."""
        return {name: detection_metrics(score, self.attack) for name, score in self.scores().items()}

    def metrics_at(self, spec: Spec, threshold: float | None = None) -> dict[str, dict[str, float]]:
        """Return the metrics by detector at the thresholds of a spec, or at `threshold`; empty without rows.

        The forests have no threshold of their own. Each gets the one at which it takes as many benign rows for attacks as
        the hybrid does, so that recalls can be compared.
        """
        if self.verdicts is None:
            return {}
        attack, alert = self.attack, self.alert(spec, threshold)
        benign_rows = int(alert[~attack].sum())
        found = {"hybrid": metrics_at_threshold(alert, self.label)}
        for name, score in self.scores().items():
            if name != "hybrid":
                found[name] = metrics_at_threshold(score > score_below(score[~attack], benign_rows), self.label)
        return found

    def attacks_found(self, spec: Spec, threshold: float | None = None) -> frozenset[str]:
        """Return which attacks have a row that alerts, as `attack at network`; `threshold` overrides those of the spec.

        Of each implanted attack and network, the last of its instances is held out whole.
        """
        rows = self.alert(spec, threshold) & self.attack
        return frozenset(f"{a} at {n}" for a, n in zip(self.label[rows], self.network[rows], strict=True))

    def attack_rows_found(self, spec: Spec, threshold: float | None = None) -> float:
        """Return the share of attack rows that alert; 0 without any. `threshold` as for `attacks_found`."""
        attack = self.attack
        return float(self.alert(spec, threshold)[attack].mean()) if attack.any() else 0.0


def judge_rows(model: Model, snapshot: Snapshot) -> HeldOut:
    """Return a model's verdicts on the snapshot's held-out rows."""
    rows = snapshot.held_out
    x = snapshot.x[rows]
    return HeldOut(x, snapshot.label[rows], snapshot.network[rows], judge(model, x) if len(x) else None)
