"""Which model a scorer uses while the site has none that can be used: the reference model, and it says so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from mlids import pipeline
from mlids.detectors.bundle import Bundle
from mlids.detectors.onnx_graph import with_spec
from mlids.detectors.reference import load_reference
from mlids.features.spec import FEATURES_VERSION
from mlids.scoring.live_model import ModelPointer, ProductionModel, store_model


@pytest.fixture
def production_graph(trained_home: Path) -> Iterator[bytes]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLIDS_HOME", str(trained_home))
        model = pipeline.open_model("models:/mlids-conn@production")
    assert isinstance(model, Bundle)
    yield model.graph


def answered(folder: Path, pointer: ModelPointer) -> ProductionModel:
    """Return the model of a scorer, for which the registry's watch has left this answer."""
    (folder / "production.json").write_text(json.dumps(asdict(pointer)))
    return ProductionModel(None, folder)


def test_without_a_model_in_production_the_reference_model_scores(tmp_path: Path) -> None:
    with answered(tmp_path, ModelPointer()) as model:
        assert model.current() is load_reference()
        assert model.error is None, "nothing is wrong"
        assert model.note == (
            f"there is no model in production yet: the reference model, {load_reference().version}, scores until a model of this site is promoted"
        )


def test_a_model_of_older_features_is_refused_and_the_reference_model_scores(tmp_path: Path, production_graph: bytes) -> None:
    old = with_spec(production_graph, Bundle(production_graph).spec.as_dict() | {"features_version": FEATURES_VERSION - 1})
    with answered(tmp_path, store_model(tmp_path, "7", old)) as model:
        assert model.current() is load_reference()
        said = str(model.error)
    assert said.startswith(f"version 7 is refused: the model was made for features version {FEATURES_VERSION - 1}")
    assert "train a new one with `mlids train`" in said and said.endswith(
        f"the reference model, {load_reference().version}, scores meanwhile"
    )


def test_a_model_that_is_promoted_replaces_the_reference_model(tmp_path: Path, production_graph: bytes) -> None:
    with answered(tmp_path, ModelPointer()) as model:
        pointer = store_model(tmp_path, "1", production_graph)
        (tmp_path / "next.json").write_text(json.dumps(asdict(pointer)))
        (tmp_path / "next.json").replace(tmp_path / "production.json")
        model._look()
        found = model.current()
        assert found is not None and found.version == "1" and model.error is None and model.note is None


def test_a_registry_that_does_not_answer_leaves_the_last_good_model(tmp_path: Path, production_graph: bytes) -> None:
    pointer = store_model(tmp_path, "1", production_graph)
    (tmp_path / "last-good.json").write_text(json.dumps(asdict(pointer)))
    with answered(tmp_path, ModelPointer(error="MLflow does not answer")) as model:
        model._look()
        found = model.current()
        assert found is not None and found.version == "1" and model.note is None
        assert model.error == "MLflow does not answer; version 1 stays in use"
