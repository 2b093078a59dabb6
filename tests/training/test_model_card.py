"""The model card: what a version was trained on, and metrics on other networks where there are any."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlids.detectors.model_spec import Spec
from mlids.pipeline.models import evaluation
from mlids.settings import load_settings
from mlids.training.model_card import model_card

SNAPSHOT = {
    "id": "s1", "sensors": ["hq"], "days": ["2026-11-02", "2026-11-08"], "rows_there": 1_000_000, "rows_seen": 1_000_000, "rows": 90_000,
    "label_sources": {"assumed": 80_000, "implanted": 10_000}, "attacks": {"beacon": 10_000},
}  # fmt: skip


def trained() -> Any:
    metrics = {"hybrid": {"pr_auc_at_1pct": 0.9, "recall_at_fpr_1pct": float("nan"), "recall_at_fpr_0_1pct": 0.5}}
    return SimpleNamespace(spec=Spec(medians=[], threshold=84.2, budget_per_day=20.0), metrics=metrics)


def test_card_without_an_evaluation_says_so() -> None:
    text = model_card(trained(), SNAPSHOT, 3.0, None)
    assert "1,000,000 of 1,000,000 conns read" in text and "risk_score 84.2" in text and "| hybrid | 0.900 | – | 0.500 |" in text
    assert "Not measured." in text


def test_an_evaluation_left_in_the_home_folder_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLIDS_HOME", str(tmp_path))
    settings = load_settings()
    assert evaluation(settings) is None
    (tmp_path / "evaluation.json").write_text("{")
    assert evaluation(settings) is None, "a damaged file is no evaluation"
    metrics = {
        "pr_auc_at_1pct": 0.5,
        "recall_at_fpr_1pct": 0.25,
        "recall_at_fpr_0_1pct": None,
        "recall_site": 0.75,
        "actual_fpr_site": 0.01,
    }
    every = dict.fromkeys(("forest", "isolation", "unsupervised", "hybrid"), metrics)
    about = {"test": ["a", "b"], "seeds": [0, 1], "leave_one_out": True}
    found = {"pooled": every | {"n_attack": 1_200, "n_benign": 3_400}, "macro": every, "about": about}
    (tmp_path / "evaluation.json").write_text(json.dumps(found))
    text = model_card(trained(), SNAPSHOT, 3.0, evaluation(settings))
    assert "2 captures, 1,200 attack and 3,400 benign rows" in text and "| hybrid | 0.500 | 0.250 | – | 0.750 | 0.010 |" in text
