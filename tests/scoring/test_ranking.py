"""Ranking of judged rows: order, behaviours, groups, evidence of other logs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from mlids.detectors.bundle import Scores
from mlids.detectors.verdict import BEHAVIOUR_WEIGHT, Verdicts
from mlids.evidence.base import Evidence
from mlids.features.spec import BEHAVIOUR_NAMES, NAMES
from mlids.scoring.batch_store import RowStore
from mlids.scoring.ranking import JudgedRows


def judged(risk: list[float], anomaly: list[float], behaviour: list[int]) -> JudgedRows:
    out = JudgedRows(len(risk))
    level = np.zeros(len(risk), np.float32)
    for part in (slice(0, 2), slice(2, None)):
        scores = Scores(np.array(anomaly[part], np.float32), None, None)
        values = np.array(risk[part], np.float32)
        out.add(Verdicts(scores, values, values >= 80, np.array(behaviour[part]), level[part]), np.full(len(values), 80.0, np.float32))
    return out


def test_the_highest_risk_comes_first_and_the_anomaly_score_decides_between_equals() -> None:
    rows = judged([50.0, 90.0, 90.0, 10.0], [0.9, 0.1, 0.2, 0.5], [-1, 0, 1, 0])
    assert rows.largest(3).tolist() == rows.largest(10)[:3].tolist() == [2, 1, 0]
    assert rows.largest(1, np.array([0, 3])).tolist() == [0]


def test_rows_of_one_behaviour() -> None:
    rows = judged([50.0, 90.0, 90.0, 10.0], [0.1] * 4, [-1, 0, 1, 0])
    assert rows.like(BEHAVIOUR_NAMES[0]).tolist() == [1, 3] and rows.like(None).tolist() == [0, 1, 2, 3]


def test_evidence_is_combined_with_the_risk_of_its_conns(tmp_path: Path) -> None:
    store = RowStore(tmp_path)
    for part in (["C0", "C1"], ["C2", "C3"]):
        hosts = pl.lit(None, pl.String)
        store.add(
            pl.DataFrame({"uid": part}).with_columns(**{"id.orig_h": hosts, "id.resp_h": hosts}),
            np.zeros((2, len(NAMES)), np.float32),
            np.zeros(2, np.uint64),
        )
    rows = judged([50.0, 20.0, 0.0, 10.0], [0.1] * 4, [-1, 0, 1, 0])
    known = Evidence("dns_tunnel", 1.0, "many names", ("C0",), "10.0.0.5", "example.com")
    other = Evidence("web_attack_tool", 0.5, "sqlmap", ("C3",), "10.0.0.5", "sqlmap")
    rows.add_evidence(store, {"C0": known, "C3": other})
    assert rows.risk == pytest.approx([100 - 50 * (1 - BEHAVIOUR_WEIGHT), 20.0, 0.0, 100 - 90 * (1 - 0.5 * BEHAVIOUR_WEIGHT)])
    assert rows.behaviour.tolist() == [BEHAVIOUR_NAMES.index("dns_tunnel"), 0, 1, 0], "a kind that is no behaviour leaves it as it was"
