"""The reference model of the package: what it needs to load, what it refuses, and that it sees."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mlids.detectors import reference
from mlids.detectors.bundle import BULK_ROWS, Fitted
from mlids.detectors.linked_trees import link
from mlids.detectors.model_spec import Spec
from mlids.detectors.reference import FILE, ReferenceModel, load_reference, pack
from mlids.detectors.self_test import check_not_blind
from mlids.detectors.trees import complete
from mlids.errors import ModelError, OtherFeaturesError
from mlids.features.spec import FEATURES_VERSION, NAMES
from tests.detectors.conftest import Forests


def packed(forests: Forests, spec: Spec | None = None) -> bytes:
    trees = [e.tree_ for e in forests.forest.estimators_]
    return pack(spec or forests.spec, complete(forests.isolation), link(trees, np.arange(len(NAMES))))


def test_reference_model_sees_and_says_which_one_it_is() -> None:
    model = load_reference()
    check_not_blind(model)
    assert model.version == f"reference-{model.digest[:8]}" and model.spec.features_version == FEATURES_VERSION
    assert FILE.stat().st_size <= 3_000_000


def test_it_loads_at_once() -> None:
    content = FILE.read_bytes()
    ReferenceModel(content)
    start = time.process_time()
    ReferenceModel(content)
    assert time.process_time() - start < 0.05


def test_scoring_with_it_imports_neither_scikit_learn_nor_onnxruntime(tmp_path: Path, synthetic_site: Path) -> None:
    log = min((synthetic_site / "2026-11-02").glob("conn.*"))
    code = (
        "import json, sys; from mlids import pipeline; from pathlib import Path\n"
        f"found = pipeline.score_logs([Path({str(log)!r})])\n"
        "names = {m.split('.')[0] for m in sys.modules} & {'sklearn', 'onnxruntime', 'mlflow'}\n"
        "print(json.dumps([sorted(names), found.trained_on, found.model_version]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    names, trained_on, version = json.loads(done.stdout)
    assert names == [] and version == load_reference().version and version in trained_on and "synthetic networks only" in trained_on


def test_a_packed_pair_scores_as_the_forests_do(forests: Forests) -> None:
    wanted = Fitted(forests.isolation, forests.spec, forests.forest).score(forests.x)
    found = ReferenceModel(packed(forests)).score(forests.x)
    assert len(forests.x) < BULK_ROWS  # scikit-learn's own path
    assert wanted.attack_probability is not None and found.attack_probability is not None
    np.testing.assert_allclose(found.anomaly_score, wanted.anomaly_score, atol=1e-6)
    np.testing.assert_allclose(found.attack_probability, wanted.attack_probability, atol=3e-5)


def test_an_exchanged_file_is_refused(forests: Forests, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other.zst").write_bytes(packed(forests))
    monkeypatch.setattr(reference, "FILE", tmp_path / "other.zst")
    with pytest.raises(ModelError, match="has the SHA-256"):
        load_reference.__wrapped__()
    monkeypatch.setattr(reference, "FILE", tmp_path / "none.zst")
    with pytest.raises(ModelError, match="make reference-model"):
        load_reference.__wrapped__()


@pytest.mark.parametrize("damage", ["shortened", "no frame", "other arrays"])
def test_damaged_content_is_refused(forests: Forests, damage: str) -> None:
    content = packed(forests)
    if damage == "other arrays":
        import zstandard

        content = zstandard.compress(zstandard.decompress(content)[:-400])
    else:
        content = content[: len(content) // 2] if damage == "shortened" else b"<html>not found</html>"
    with pytest.raises(ModelError, match="reference model cannot be read"):
        ReferenceModel(content)


def test_other_features_are_refused(forests: Forests) -> None:
    with pytest.raises(OtherFeaturesError, match=f"features version {FEATURES_VERSION - 1}, this is version {FEATURES_VERSION}"):
        ReferenceModel(packed(forests, replace(forests.spec, features_version=FEATURES_VERSION - 1)))
    with pytest.raises(OtherFeaturesError, match="features version"):
        ReferenceModel(packed(forests, replace(forests.spec, features=[*NAMES[:-1], "no such feature"])))


def test_features_that_other_packages_add_are_left_out(forests: Forests) -> None:
    """A model made without the last feature sees the same columns where that one is there."""
    seen = np.arange(0, 40, 2)
    spec = replace(
        forests.spec, features=list(NAMES[:-1]), medians=forests.spec.medians[:-1], forest_columns=seen.tolist()
    )  # fmt: skip
    model = ReferenceModel(packed(forests, spec))
    assert model.spec.features == list(NAMES) and model.spec.medians == [*forests.spec.medians[:-1], 0.0]
    assert model.spec.forest_columns == seen.tolist()
