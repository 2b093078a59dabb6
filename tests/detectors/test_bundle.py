"""A bundle of the current features is loaded; damaged ones and those of other features are an error."""

from __future__ import annotations

import numpy as np
import pytest

from mlids.detectors import bundle as bundle_module
from mlids.detectors.bundle import Bundle, Fitted
from mlids.detectors.onnx_graph import build_graph, with_spec
from mlids.errors import ModelError
from tests.detectors.conftest import Forests


@pytest.fixture(scope="module")
def graph(forests: Forests) -> bytes:
    return build_graph(forests.forest, forests.isolation, forests.spec.as_dict())


def test_damaged_bundles_and_those_of_other_features_are_an_error(graph: bytes, forests: Forests) -> None:
    spec = forests.spec.as_dict()
    with pytest.raises(ModelError, match="damaged"):
        Bundle(graph[: len(graph) // 2])
    with pytest.raises(ModelError, match="features version 99"):
        Bundle(with_spec(graph, spec | {"features_version": 99}))
    with pytest.raises(ModelError, match="cannot be read"):
        Bundle(with_spec(graph, {"unknown": 1}))
    with pytest.raises(ModelError, match="self-test"):
        Bundle(with_spec(graph, spec | {"example": forests.x[0].tolist(), "example_scores": [0.0, 0.0]}))
    with pytest.raises(ModelError):
        Bundle(b"not a model")


def test_a_bundle_with_its_own_scores_passes_the_self_test(graph: bytes, forests: Forests) -> None:
    scores = Bundle(graph).score(forests.x[:1])
    assert scores.attack_probability is not None
    expected = [float(scores.anomaly_score[0]), float(scores.attack_probability[0])]
    loaded = Bundle(with_spec(graph, forests.spec.as_dict() | {"example": forests.x[0].tolist(), "example_scores": expected}), "7")
    assert loaded.version == "7" and loaded.attack_classes == ["flood", "scan"] and len(loaded.digest) == 64


def test_a_bundle_and_the_forests_in_this_process_agree(graph: bytes, forests: Forests, monkeypatch: pytest.MonkeyPatch) -> None:
    fitted = Fitted(forests.isolation, forests.spec, forests.forest)
    of_bundle, few = Bundle(graph).score(forests.x), fitted.score(forests.x)
    monkeypatch.setattr(bundle_module, "BULK_ROWS", 100)
    for scores in (few, fitted.score(forests.x)):  # by scikit-learn, then by compiled trees
        np.testing.assert_allclose(scores.anomaly_score, of_bundle.anomaly_score, atol=1e-5)
        np.testing.assert_allclose(scores.attack_probability, of_bundle.attack_probability, atol=1e-5)
        assert (scores.attack_class == of_bundle.attack_class).mean() > 0.999


def test_no_rows_have_no_scores(graph: bytes, forests: Forests) -> None:
    assert Bundle(graph).score(forests.x[:0]).anomaly_score.shape == (0,)
