"""The reference model is rebuilt byte for byte, and finds attacks on synthetic networks that it was not fitted on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mlids.detectors.forest import BENIGN
from mlids.detectors.reference import DIGEST_FILE, FILE, load_reference
from mlids.detectors.verdict import judge
from mlids.errors import ModelError
from mlids.features.spec import NAMES
from mlids.training import reference
from mlids.training.metrics import recall_at_fpr
from mlids.training.reference import BUDGET_PER_DAY, MOST_BYTES, held_out_examples, held_out_threshold, reference_rows

# Another machine: other threads, another order of sets, code compiled for any processor, NumPy and OpenBLAS as without AVX-512.
OTHER_MACHINE = {
    "NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "", "NPY_DISABLE_CPU_FEATURES": "AVX512_ICL X86_V4", "OPENBLAS_CORETYPE": "Zen",
    "POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "5",
}  # fmt: skip


@pytest.mark.slow
def test_the_reference_model_is_rebuilt_byte_for_byte(tmp_path: Path) -> None:
    code = f"from mlids.training.reference import build_reference; open({str(tmp_path / 'built')!r}, 'wb').write(build_reference())"
    environment = os.environ | OTHER_MACHINE | {"NUMBA_CACHE_DIR": str(tmp_path / "numba")}
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], env=environment, check=True)
    same = (tmp_path / "built").read_bytes() == FILE.read_bytes()  # pytest would search many minutes for where they differ
    assert same, "run `make reference-model`, and commit the model with what changed it"
    assert FILE.stat().st_size <= MOST_BYTES and len(DIGEST_FILE.read_text()) == 65


def test_it_finds_attacks_on_networks_that_it_was_not_fitted_on() -> None:
    held, model = held_out_examples(), load_reference()
    attack = held["label"].to_numpy() != BENIGN
    verdicts = judge(model, held.select(NAMES).to_numpy().astype(np.float32))
    assert recall_at_fpr(verdicts.risk_score, attack, 0.01) >= 0.75
    names = (held["network"] + held["instance"].fill_null("")).to_numpy()
    assert len(set(names[attack & verdicts.alert])) >= 0.7 * len(set(names[attack]))


@pytest.mark.slow
def test_its_threshold_keeps_the_budget_on_held_out_days() -> None:
    model = load_reference()
    assert held_out_threshold(model) == model.spec.threshold and model.spec.budget_per_day == BUDGET_PER_DAY


def test_it_is_not_made_where_another_package_adds_behaviours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "extensions", lambda group: ["a behaviour"])
    with pytest.raises(ModelError, match="without behaviours of other packages"):
        reference_rows()
