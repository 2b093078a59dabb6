"""Entropy, digits, symbols and the longest word of texts, counted by hand."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from mlids.features.records.texts import MAX_CHARACTERS, MEASURES, measure


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("aaaa", (0.0, 0.0, 0.0, 4)),
        ("abcd", (2.0, 0.0, 0.0, 4)),
        ("a1.b2", (np.log2(5), 0.4, 0.2, 2)),
        ("x-y_z.w", (np.log2(7), 0.0, 3 / 7, 5)),
        ("éé", (1.0, 0.0, 0.0, 4)),
        ("a" * 70_000, (0.0, 0.0, 0.0, MAX_CHARACTERS)),
    ],
)
def test_measures_of_a_text(text: str, expected: tuple[float, ...]) -> None:
    found = dict(zip(MEASURES, measure(pl.Series([text]))[:, 0].tolist(), strict=True))
    assert found == pytest.approx(dict(zip(MEASURES, expected, strict=True)), abs=1e-6)


def test_unset_and_empty_texts_have_no_measures_and_disturb_no_others() -> None:
    found = measure(pl.Series(["abcd", None, "", "a1"]))
    assert np.isnan(found[:, [1, 2]]).all()
    assert np.array_equal(found[:, [0, 3]], measure(pl.Series(["abcd", "a1"])))
    assert measure(pl.Series([None, None], dtype=pl.String)).shape == (4, 2)
