"""Seven held-out rows with verdicts that were chosen by hand."""

from __future__ import annotations

import numpy as np

from mlids.detectors.bundle import Scores
from mlids.detectors.model_spec import Spec
from mlids.detectors.verdict import Verdicts
from mlids.features.spec import NAMES
from mlids.training.held_out import HeldOut

SPEC = Spec(medians=[0.0] * len(NAMES), threshold=70.0)
LABEL = np.array(["benign"] * 4 + ["scan", "scan", "beacon"], object)
RISK = np.array([10, 20, 30, 80, 90, 60, 75], np.float32)
PROBABILITY = np.array([0.1, 0.9, 0.2, 0.3, 0.95, 0.5, 0.4], np.float32)
ANOMALY = np.array([0.4, 0.5, 0.6, 0.7, 0.3, 0.9, 0.8], np.float32)


def held_out(n: int = 7) -> HeldOut:
    """Return the first n of them: four benign ones, then two scans and a beacon."""
    none = np.zeros(n)
    verdicts = Verdicts(Scores(ANOMALY[:n], PROBABILITY[:n], none.astype(int)), RISK[:n], none > 1, none.astype(int), none)
    return HeldOut(np.zeros((n, len(NAMES)), np.float32), LABEL[:n], np.array(["hq"] * n), verdicts if n else None)
