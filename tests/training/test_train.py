"""Thresholds by the alert budget, and training without attacks or benign rows."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from mlids.detectors.forest import BENIGN
from mlids.detectors.model_spec import WAYS
from mlids.detectors.reference import load_reference
from mlids.detectors.verdict import thresholds_of
from mlids.errors import NoRowsError
from mlids.features.spec import NAMES, POSITION, SHAPE_COLUMNS
from mlids.training.train import THRESHOLD_HIGH, THRESHOLD_LOW, budget_thresholds, fit_pair, threshold_for_budget
from mlids.zeek.types import conn_columns


def test_the_threshold_lets_as_many_groups_alert_as_the_budget_allows() -> None:
    keys = ["a", "a", "b", "c", "d"]
    risk = np.array([95.0, 90.0, 93.0, 91.0, 84.0])
    threshold, per_day = threshold_for_budget(keys, risk, days=2.0, budget_per_day=1.0)
    assert threshold == pytest.approx(91.1) and per_day == 1.0, "groups a and b in two days; a counts once"


def test_the_threshold_has_bounds() -> None:
    assert threshold_for_budget(["a"], np.array([83.0]), days=1.0, budget_per_day=20.0) == (THRESHOLD_LOW, 1.0)
    assert threshold_for_budget([], np.array([]), days=1.0, budget_per_day=20.0) == (THRESHOLD_LOW, 0.0)
    keys = [str(n) for n in range(50)]
    assert threshold_for_budget(keys, np.full(50, 99.9), days=1.0, budget_per_day=1.0) == (THRESHOLD_HIGH, 50.0)


def rows(labels: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    x = np.random.default_rng(0).gamma(1.0, 1.0, (len(labels), len(NAMES))).astype(np.float32)
    return x, np.array(labels), np.full(len(labels), "hq"), np.ones(len(labels))


def test_without_true_attacks_the_random_forest_gets_shape_columns_only() -> None:
    pair = fit_pair(*rows([BENIGN, "beacon"] * 40), true_attacks=False)
    assert pair.spec.forest_columns == list(SHAPE_COLUMNS) and pair.forest.n_features_in_ == len(SHAPE_COLUMNS)
    whole = fit_pair(*rows([BENIGN, "beacon"] * 40), true_attacks=True)
    assert whole.spec.forest_columns == list(range(len(NAMES))) and whole.spec.classes == ["beacon", BENIGN]


def test_surprise_rises_with_the_rank_among_benign_rows() -> None:
    at, to = fit_pair(*rows([BENIGN, "beacon"] * 400), true_attacks=True).spec.surprise
    assert all(np.diff(at) > 0) and to == pytest.approx([0.1, 1 / 3, 2 / 3, 1.0])


@pytest.mark.parametrize("labels", [[BENIGN] * 20, ["beacon"] * 20])
def test_one_class_is_refused(labels: list[str]) -> None:
    with pytest.raises(NoRowsError, match="benign rows and at least one attack"):
        fit_pair(*rows(labels), true_attacks=True)


def test_what_is_noisy_one_way_does_not_raise_the_threshold_of_another() -> None:
    """Password guessing by two hundred outside hosts uses up its own budget only."""
    model = load_reference()
    noise = conn_columns(guessing(200)).with_columns(sensor=pl.lit("hq"))
    found = budget_thresholds(model, [noise], 1.0, 3.0)
    assert found.by_way["outward"] == found.by_way["inside"] == found.lowest == THRESHOLD_LOW
    assert found.by_way["inward"] > THRESHOLD_LOW
    spec = replace(model.spec, thresholds=found.by_way)
    x = np.zeros((3, len(NAMES)), np.float32)
    x[0, POSITION["orig_local"]] = x[1, POSITION["orig_local"]] = x[1, POSITION["resp_local"]] = x[2, POSITION["resp_local"]] = 1.0
    assert thresholds_of(spec, x).tolist() == pytest.approx([found.by_way[w] for w in WAYS])
    assert thresholds_of(spec, x, 70.0).tolist() == [70.0] * 3
    assert thresholds_of(model.spec, x).tolist() == [model.spec.threshold] * 3


def guessing(sources: int) -> pl.DataFrame:
    """Return connections of outside hosts, each forty to an SSH server of the site, all answered."""
    rows = [(f"203.0.{113 + s // 250}.{s % 250 + 1}", s * 300.0 + n * 2.0) for s in range(sources) for n in range(40)]
    base = datetime(2026, 11, 4, tzinfo=UTC)
    return pl.DataFrame(
        {"ts": [base + timedelta(seconds=t) for _, t in rows], "uid": [f"C{i}" for i in range(len(rows))], "id.orig_h": [r[0] for r in rows]}
    ).with_columns(
        **{"id.resp_h": pl.lit("10.0.0.9"), "id.orig_p": pl.lit(40_000), "id.resp_p": pl.lit(22)}, proto=pl.lit("tcp"), service=pl.lit("ssh"),
        conn_state=pl.lit("SF"), history=pl.lit("ShADadFf"), duration=pl.lit(1.9), orig_bytes=pl.lit(1_400), resp_bytes=pl.lit(1_900),
        orig_pkts=pl.lit(14), resp_pkts=pl.lit(13), orig_ip_bytes=pl.lit(2_000), resp_ip_bytes=pl.lit(2_500),
    )  # fmt: skip
