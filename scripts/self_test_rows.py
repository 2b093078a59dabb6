"""`python -m scripts.self_test_rows` writes mlids/detectors/self_test_rows.json from the synthetic reference networks.

Run it when FEATURES_VERSION has changed.
"""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl

from mlids.detectors.forest import BENIGN
from mlids.features.spec import BEHAVIOUR_NAMES, FEATURES_VERSION, NAMES
from mlids.training.dataset import reference

BENIGN_ROWS = 20


def self_test_rows() -> dict[str, object]:
    """Return of each attack the row with the highest behaviour score, and benign rows without any behaviour."""
    frame = reference().with_columns(level=pl.max_horizontal(BEHAVIOUR_NAMES))
    attacks = {
        label: frame.filter(pl.col("label") == label).sort("level", *NAMES, descending=True).head(1)
        for label in sorted(set(frame["label"]) - {BENIGN})
    }
    benign = frame.filter((pl.col("label") == BENIGN) & (pl.col("level") < 0.05)).sort(*NAMES)
    benign = benign.sample(BENIGN_ROWS, seed=0)
    return {
        "features_version": FEATURES_VERSION, "features": list(NAMES),
        "attacks": {label: _row(rows) for label, rows in attacks.items()}, "benign": [_row(benign[i]) for i in range(benign.height)],
    }  # fmt: skip


def _row(rows: pl.DataFrame) -> list[float]:
    return [round(float(v), 6) for v in rows.select(NAMES).row(0)]


if __name__ == "__main__":
    text = json.dumps(self_test_rows()).replace('"attacks"', '\n"attacks"').replace("], ", "],\n")
    (Path("mlids") / "detectors" / "self_test_rows.json").write_text(text + "\n", encoding="utf-8")
