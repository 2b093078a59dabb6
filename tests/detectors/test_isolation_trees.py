"""The forest fitted without scikit-learn: the published one where nothing is added, and what the added rows are for."""

from __future__ import annotations

import numpy as np
import pytest

from mlids.detectors.isolation_trees import fit_trees
from mlids.errors import NoRowsError


def sample(n: int = 4_000, width: int = 6) -> np.ndarray:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(n, width)).astype(np.float32)
    x[:, 1] = np.exp(x[:, 1])
    x[:, 2] = x[:, 2] > 1.5
    return np.asfortranarray(x)


def test_without_added_rows_it_scores_as_scikit_learn_does() -> None:
    from sklearn.ensemble import IsolationForest

    x = sample()
    ours = fit_trees(x, moved=0).scores(x)
    theirs = -IsolationForest(n_estimators=100, max_samples=512, random_state=0).fit(x).score_samples(x)
    assert abs(ours - theirs).max() < 0.08 and abs(float(ours.mean() - theirs.mean())) < 0.01
    own_ranks, their_ranks = (np.argsort(np.argsort(s)) for s in (ours, theirs))
    assert np.corrcoef(own_ranks, their_ranks)[0, 1] > 0.93


def test_a_value_that_one_row_of_many_has_is_seen_by_every_tree() -> None:
    x = sample(50_000)
    x[:, 3] = 0.0
    x[0] = np.median(x, axis=0)
    before = fit_trees(x, moved=0).scores(x)[0]
    x[0, 3] = 1.0
    published, ours = (fit_trees(x, moved=m).scores(x) for m in (0, 1))
    assert published[0] == pytest.approx(before, abs=0.02), "a tree of 512 rows does not see it"
    assert ours[0] > ours[1:1_000].mean() + 0.05 and ours[0] > np.quantile(ours, 0.8)


def test_a_range_may_be_wider_than_the_rows() -> None:
    x = np.zeros((1_000, 2), np.float32)
    x[:, 0] = np.random.default_rng(0).normal(size=1_000)
    new = np.array([[0.0, 1.0]], np.float32)
    narrow, wide = fit_trees(x), fit_trees(x, high=np.array([-np.inf, 1.0], np.float32))
    assert narrow.scores(new)[0] == narrow.scores(np.zeros((1, 2), np.float32))[0]
    assert wide.scores(new)[0] > wide.scores(np.zeros((1, 2), np.float32))[0] + 0.1


@pytest.mark.parametrize("rows", [2, 3, 31, 600])
def test_few_rows_and_rows_that_are_all_alike(rows: int) -> None:
    alike = np.ones((rows, 4), np.float32)
    assert fit_trees(alike).scores(alike) == pytest.approx(np.full(rows, 0.5), abs=1e-6)
    scores = fit_trees(sample(rows)).scores(sample(rows))
    assert ((scores > 0) & (scores <= 1)).all()


def test_the_same_rows_and_seed_give_the_same_trees() -> None:
    one, two, other = fit_trees(sample()), fit_trees(sample()), fit_trees(sample(), seed=1)
    assert np.array_equal(one.threshold, two.threshold) and np.array_equal(one.path, two.path)
    assert not np.array_equal(one.threshold, other.threshold)
    with pytest.raises(NoRowsError):
        fit_trees(sample(1))
