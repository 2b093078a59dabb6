"""Labelled captures: pairs of hosts, contradicting labels, names, and logs that cannot be evaluated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from mlids.detectors.forest import BENIGN
from mlids.errors import InputError, NoRowsError
from mlids.training.cross_capture.captures import Capture, contradictions, load_capture, short_names
from mlids.training.cross_capture.merging import highest_of_pairs
from tests.support.captures import C2, MIXED


def test_a_pair_has_the_highest_risk_of_its_rows() -> None:
    conns = pl.DataFrame({"id.orig_h": ["a", "b", "a", "c", "b"], "id.resp_h": ["x", "x", "x", "y", "x"]})
    attack, benign = np.array([0, 1, 0, 0, 0], bool), np.array([1, 0, 1, 0, 1], bool)
    capture = Capture("n", conns, np.zeros((5, 1)), np.array([BENIGN, "C&C", BENIGN, None, BENIGN], object), 0, pl.DataFrame())
    number, bad = capture.pairs(attack, benign)
    assert number[3] == -1 and number[0] == number[2] and number[1] == number[4] and sorted(bad) == [False, True]
    risk = highest_of_pairs(np.array([1.0, 2.0, 5.0, 9.0, 4.0]), number)
    assert risk[number[0]] == 5.0 and risk[number[1]] == 4.0 and bad[number[1]]


def test_contradicting_rows_are_counted(real_data: Path) -> None:
    capture = load_capture(real_data / C2)
    assert contradictions(capture) == 0
    capture.label[:] = np.where(np.arange(len(capture.label)) % 2 == 0, BENIGN, "C&C")
    capture.x[:] = 1.0
    capture.__dict__.pop("digests", None)
    assert contradictions(capture) == len(capture.label)


def test_a_log_without_labels_is_refused(real_data: Path) -> None:
    with pytest.raises(NoRowsError, match="no row has a label"):
        load_capture(real_data / "slips/port-scans/vertical/conn.log")


def test_a_log_that_is_too_long_is_refused(real_data: Path) -> None:
    with pytest.raises(InputError, match="more than 1,000 rows"):
        load_capture(real_data / MIXED, max_rows=1_000)


def test_names_are_as_short_as_they_are_unique() -> None:
    assert short_names(["/a/x/conn.log", "/a/y/conn.log", "/b/z.log"]) == {
        "/a/x/conn.log": "x/conn.log", "/a/y/conn.log": "y/conn.log", "/b/z.log": "z.log",
    }  # fmt: skip
