"""Rows that a batch scoring keeps on disk, and the sample that a model is fitted on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from mlids.features.spec import NAMES
from mlids.scoring.batch_store import RowStore, Sample

ROWS = np.random.default_rng(0).random((5_000, len(NAMES)), dtype=np.float32)


def batches(step: int) -> list[np.ndarray]:
    return [ROWS[start : start + step] for start in range(0, len(ROWS), step)]


@pytest.mark.parametrize("step", [1, 7, 300, 1_024, 5_000])
def test_a_sample_is_the_same_for_all_batch_sizes_and_in_the_order_of_the_stream(step: int) -> None:
    sample = Sample(size=300, seed=1)
    for some in batches(step):
        sample.add(some)
    keys = np.random.default_rng(1).random(len(ROWS))
    chosen = np.sort(np.argsort(keys)[:300])
    np.testing.assert_array_equal(sample.x, ROWS[chosen])


def test_fewer_rows_than_the_sample_holds_are_all_of_them() -> None:
    sample = Sample(size=9_000)
    for some in batches(700):
        sample.add(some)
    np.testing.assert_array_equal(sample.x, ROWS)


def test_stored_rows_are_read_back(tmp_path: Path) -> None:
    row_store = RowStore(tmp_path)
    at = 0
    for some in batches(1_300):
        numbers = range(at, at + len(some))
        identity = pl.DataFrame({"uid": [f"C{i}" for i in numbers], "id.orig_h": "10.0.0.5", "id.resp_h": "10.0.0.6"})
        row_store.add(identity, np.asfortranarray(some), np.array(numbers, np.uint64))
        at += len(some)
    np.testing.assert_array_equal(np.concatenate(list(row_store.features())), ROWS)
    chosen = np.array([4_999, 3, 1_300, 1_299])
    np.testing.assert_array_equal(row_store.matrix(chosen), ROWS[chosen])
    assert row_store.keys.tolist() == list(range(at))
    assert row_store.identity(chosen)["uid"].to_list() == ["C4999", "C3", "C1300", "C1299"]
