"""A bundle of the current features is loaded; damaged ones and those of other features are an error."""

from __future__ import annotations

import numpy as np
import pytest

from mlids.detectors import bundle as bundle_module
from mlids.detectors.bundle import RECORD_FORESTS, Bundle, Fitted, with_record_forests
from mlids.detectors.onnx_graph import build_graph, with_property, with_spec
from mlids.detectors.record_forests import fit_record_forest
from mlids.errors import ModelError
from mlids.features.records import RECORD_LOGS
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
        assert scores.attack_probability is not None and of_bundle.attack_probability is not None
        np.testing.assert_allclose(scores.attack_probability, of_bundle.attack_probability, atol=1e-5)
        assert np.mean(scores.attack_class == of_bundle.attack_class) > 0.999


def test_no_rows_have_no_scores(graph: bytes, forests: Forests) -> None:
    assert Bundle(graph).score(forests.x[:0]).anomaly_score.shape == (0,)


def test_forests_of_other_logs_travel_in_the_metadata_and_may_be_absent(graph: bytes, forests: Forests) -> None:
    assert Bundle(graph).record_forests() == {} and with_record_forests(graph, {}) == graph
    log = RECORD_LOGS["ssh"]
    x = np.random.default_rng(0).random((500, len(log.names))).astype(np.float32)
    carrying = with_record_forests(graph, {"ssh": fit_record_forest(log, x)})
    for held in (carrying, with_spec(carrying, forests.spec.as_dict() | {"threshold": 61.0})):
        bundle = Bundle(held)
        np.testing.assert_array_equal(bundle.record_forests()["ssh"].scores(x), fit_record_forest(log, x).scores(x))
        np.testing.assert_array_equal(bundle.score(forests.x).anomaly_score, Bundle(graph).score(forests.x).anomaly_score)
    assert bundle.spec.threshold == 61.0
    for text in ("no base64!", "AAAA"):
        with pytest.raises(ModelError, match="forests of http, dns, ssh and ssl"):
            Bundle(with_property(graph, RECORD_FORESTS, text)).record_forests()
