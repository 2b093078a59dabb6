"""What `mlids doctor` says of the model before the first training."""

from __future__ import annotations

from pathlib import Path

from mlids import pipeline
from mlids.detectors.reference import load_reference


def test_a_home_without_a_model_is_well_as_the_reference_model_scores(home: Path) -> None:
    (home / "lake").mkdir(parents=True)
    (model,) = [f for f in pipeline.doctor() if f.part == "model"]
    assert model.well and model.text.startswith("no model is in production yet: ")
    assert f"the reference model, {load_reference().version}, scores" in model.text and "mlids train" in model.text
