"""Whether a model sees: rows of reference attacks that must alert with its own threshold, and benign rows that must not.

The rows are of mlids, not of the model, so that a model cannot bring its own. `python -m scripts.self_test_rows` writes them.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

import numpy as np

from mlids.detectors.bundle import Model
from mlids.detectors.verdict import judge
from mlids.errors import ModelError
from mlids.features.spec import NAMES

ROWS = Path(__file__).with_name("self_test_rows.json")
# Every training contains these attacks: a model of a synthetic site finds all 11 at its threshold of 82, 8 at 97, and no benign
# row above 80.1. Sites differ, and this must refuse no honest model.
LEAST_FOUND, MOST_FALSE = 1 / 3, 1 / 2


def check_not_blind(model: Model) -> None:
    """Return when the model's threshold finds reference attacks and spares benign rows. Raises ModelError with both counts."""
    attacks, benign = _rows(tuple(model.spec.medians))
    found, false = int(judge(model, attacks).alert.sum()), int(judge(model, benign).alert.sum())
    if found < LEAST_FOUND * len(attacks):
        raise ModelError(
            f"the model is blind: with its threshold of {model.spec.threshold:g} it finds {found} of {len(attacks)} reference attacks"
        )
    if false > MOST_FALSE * len(benign):
        raise ModelError(
            f"the model takes ordinary conns for attacks: with its threshold of {model.spec.threshold:g}, "
            f"{false} of {len(benign)} benign reference rows alert"
        )


@lru_cache(maxsize=4)
def _rows(medians: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return rows of attacks and benign rows, float32[n, features]; behaviours of other packages are as usual at the site."""
    held = json.loads(ROWS.read_text(encoding="utf-8"))
    at = [NAMES.index(name) for name in held["features"]]
    out = []
    for rows in (list(held["attacks"].values()), held["benign"]):
        x = np.tile(np.asarray(medians, np.float32), (len(rows), 1))
        x[:, at] = np.asarray(rows, np.float32)
        out.append(x)
    return out[0], out[1]
