"""Metrics of a network, computed by hand for twenty benign and six attack conns."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from mlids.detectors.bundle import Scores
from mlids.detectors.verdict import Verdicts
from mlids.features.spec import BEHAVIOUR_NAMES, NAMES, POSITION
from mlids.training.cross_capture import testing
from mlids.training.cross_capture.alerting import Alerts, alerts_of
from mlids.training.cross_capture.captures import Capture
from mlids.training.cross_capture.networks import network_metrics
from mlids.training.metrics import DETECTORS

# 0–19 benign: 10.0.0.1 to 198.51.100.0 … .4 in turn. 20–23: C2 of 10.0.0.2. 24, 25: scan of 10.0.0.3 and 10.0.0.4 by an outside host.
ORIG = ["10.0.0.1"] * 20 + ["10.0.0.2"] * 4 + ["203.0.113.7"] * 2
RESP = [f"198.51.100.{i % 5}" for i in range(20)] + ["203.0.113.9"] * 4 + ["10.0.0.3", "10.0.0.4"]
LABEL = ["benign"] * 20 + ["C&C"] * 4 + ["port-scan"] * 2


def _capture(label: list[str | None] | None = None) -> Capture:
    n = len(ORIG)
    x = np.zeros((n, len(NAMES)), np.float32)
    x[:, POSITION["orig_local"]] = [a.startswith("10.") for a in ORIG]
    x[:, POSITION["resp_local"]] = [a.startswith("10.") for a in RESP]
    conns = pl.DataFrame({
        "uid": [str(i) for i in range(n)], "ts": [datetime(2026, 11, 4, 8, i, tzinfo=UTC) for i in range(n)], "sensor": "s",
        "id.orig_h": ORIG, "id.resp_h": RESP, "id.resp_p": 443, "proto": "tcp",
    })  # fmt: skip
    return Capture("net", conns, x, np.array(label or LABEL, object), 0, pl.DataFrame(), "lab", {"port-scan": "scans"})


def _tested(capture: Capture, risk: list[float], alerts: Alerts | None = None, **voices: list[float]) -> testing.TestedCapture:
    none = Alerts(82.0, np.zeros(0, int), np.zeros(0, int), 0)
    risks = {d: np.array(voices.get(d, risk)) for d in DETECTORS}
    return testing.TestedCapture(capture, risks, {}, {}, np.zeros(0, np.uint64), alerts or none, 0.25)


# Benign rows have 0 to 19, so that at 1 % (of 20 rows: none) and at 0.1 % only attacks above 19 are found.
RISK = [float(i) for i in range(20)] + [50.0, 50.0, 5.0, 30.0] + [40.0, 1.0]


def test_recall_is_counted_by_row_pair_and_group() -> None:
    hybrid = network_metrics(_tested(_capture(), RISK))["detectors"]["hybrid"]
    assert hybrid["recall_at_fpr_1pct"] == hybrid["recall_at_fpr_0_1pct"] == pytest.approx(4 / 6)
    # Three attack pairs (risk 50, 40 and 1) against five benign ones (15 to 19).
    assert hybrid["pair_recall_at_fpr_1pct"] == pytest.approx(2 / 3)
    assert math.isnan(hybrid["c2_at_fpr_1pct"]) and math.isnan(hybrid["scans_at_fpr_1pct"])  # fewer than five rows


def test_unlabelled_rows_count_for_nothing() -> None:
    label = [*LABEL[:-1], None]
    metrics = network_metrics(_tested(_capture(label), RISK))
    assert metrics["n_attack"] == 5 and metrics["n_by_group"] == {"c2": 4, "scans": 1, "others": 0}
    assert metrics["detectors"]["hybrid"]["recall_at_fpr_1pct"] == pytest.approx(4 / 5)


def test_a_network_with_too_few_rows_has_no_recall() -> None:
    few_attacks = network_metrics(_tested(_capture([*LABEL[:20], *LABEL[20:24], None, None]), RISK))
    few_benign = network_metrics(_tested(_capture([None, *LABEL[1:]]), RISK))
    for metrics in (few_attacks, few_benign):
        assert math.isnan(metrics["detectors"]["hybrid"]["recall_at_fpr_1pct"]) and math.isnan(metrics["regret"])


def test_the_control_ranks_pairs_by_their_conns() -> None:
    # Each benign pair has 4 conns, the C2 pair 4 as well, the scanned ones 1: nothing is above the benign pairs.
    capture = _capture()
    assert network_metrics(_tested(capture, RISK))["control"]["recall_at_fpr_1pct"] == 0.0
    spread = capture.conns.with_columns(pl.Series("id.resp_h", [f"198.51.100.{i}" for i in range(20)] + RESP[20:]))
    control = network_metrics(_tested(replace(capture, conns=spread), RISK))["control"]
    assert control["recall_at_fpr_1pct"] == pytest.approx(4 / 6) and control["pair_recall_at_fpr_1pct"] == pytest.approx(1 / 3)


def test_the_regret_is_the_best_voice_less_the_hybrid() -> None:
    forest = [float(i) for i in range(20)] + [50.0] * 6
    metrics = network_metrics(_tested(_capture(), RISK, forest=forest, isolation=[0.0] * 26))
    assert metrics["regret"] == pytest.approx(1 - 4 / 6)


def test_hosts_pairs_and_alerts_are_counted_at_the_own_threshold() -> None:
    # Alert 0: two C2 rows and one benign; alert 1: one scan row, one C2 row and three benign; alert 2: two benign.
    rows, number = [20, 21, 0, 24, 22, 1, 2, 3, 4, 5], [0, 0, 0, 1, 1, 1, 1, 1, 2, 2]
    own = network_metrics(_tested(_capture(), RISK, Alerts(82.0, np.array(rows), np.array(number), 3)))["own"]
    assert (own["alerts"], own["alerts_right"], own["alerts_wrong"]) == (3.0, 1.0, 2.0)
    assert own["alerts_per_day"] == 12.0 and own["benign_above"] == pytest.approx(6 / 20)
    assert (own["n_hosts"], own["hosts_found"]) == (3.0, 2.0)  # 10.0.0.2 and 10.0.0.3, not 10.0.0.4
    assert (own["n_pairs"], own["pairs_found"]) == (3.0, 2.0)


def test_an_alert_of_unlabelled_rows_is_neither_right_nor_wrong() -> None:
    label = [None, None, *LABEL[2:]]
    own = network_metrics(_tested(_capture(label), RISK, Alerts(82.0, np.array([0, 1, 20]), np.array([0, 0, 1]), 2)))["own"]
    assert (own["alerts"], own["alerts_right"], own["alerts_wrong"]) == (2.0, 1.0, 0.0)


def test_without_inside_ends_the_source_is_the_host() -> None:
    capture = _capture()
    capture.x[:] = 0.0
    own = network_metrics(_tested(capture, RISK, Alerts(82.0, np.array([24]), np.array([0]), 1)))["own"]
    assert (own["n_hosts"], own["hosts_found"]) == (2.0, 1.0)  # 10.0.0.2 and 203.0.113.7


def test_alerts_are_the_groups_that_the_product_makes() -> None:
    capture = _capture()
    n = len(ORIG)
    scores = Scores(np.zeros(n), None, None)
    beacon = np.where(np.arange(n) >= 20, BEHAVIOUR_NAMES.index("beacon"), -1)
    verdicts = Verdicts(scores, np.where(np.arange(n) >= 20, 90.0, 0.0), np.zeros(n, bool), beacon, np.zeros(n))
    model = type("Model", (), {"spec": None, "version": None, "attack_classes": [], "score": lambda *_: scores})()
    alerts = alerts_of(model, capture, verdicts, 82.0)
    assert alerts.rows.tolist() == [20, 21, 22, 23, 24, 25] and alerts.number.tolist() == [0, 0, 0, 0, 1, 2] and alerts.count == 3
    assert alerts_of(model, capture, verdicts, 91.0).count == 0


def test_a_storm_is_one_alert() -> None:
    many = 150
    x = np.zeros((many, len(NAMES)), np.float32)
    conns = pl.DataFrame({
        "uid": [str(i) for i in range(many)], "ts": [datetime(2026, 11, 4, 8, tzinfo=UTC)] * many, "sensor": "s",
        "id.orig_h": [f"203.0.113.{i}" for i in range(many)], "id.resp_h": "198.51.100.1", "id.resp_p": 443, "proto": "tcp",
    })  # fmt: skip
    capture = Capture("net", conns, x, np.array([None] * many, object), 0, pl.DataFrame())
    scores = Scores(np.zeros(many), None, None)
    verdicts = Verdicts(scores, np.full(many, 90.0), np.zeros(many, bool), np.full(many, BEHAVIOUR_NAMES.index("beacon")), np.zeros(many))
    model = type("Model", (), {"spec": None, "version": None, "attack_classes": [], "score": lambda *_: scores})()
    assert alerts_of(model, capture, verdicts, 82.0).count == 101
