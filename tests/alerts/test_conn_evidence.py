"""Conns become evidence group by group, whole or in parts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from mlids.alerts import conn_evidence
from mlids.alerts.conn_evidence import evidence_of_conns, evidence_of_groups, group_conns, join_groups, score_of_risk
from mlids.detectors.reference import load_reference
from mlids.detectors.verdict import Verdicts, judge
from mlids.features.spec import BEHAVIOUR_NAMES, NAMES

START = datetime(2026, 11, 4, 8, tzinfo=UTC)


Rows = Sequence[tuple[str | None, str | None, int | None]]


def identity(rows: Rows) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "uid": [f"C{i}" for i in range(len(rows))], "ts": [START + timedelta(minutes=i) for i in range(len(rows))],
            "id.orig_h": [a for a, _, _ in rows], "id.resp_h": [b for _, b, _ in rows], "id.resp_p": [p for _, _, p in rows], "proto": "tcp",
        },
        schema_overrides={"id.orig_h": pl.String, "id.resp_h": pl.String, "id.resp_p": pl.UInt32},
    )  # fmt: skip


def verdicts(x: np.ndarray, risk: list[float], behaviour: str) -> Verdicts:
    number = np.full(len(x), BEHAVIOUR_NAMES.index(behaviour))
    return Verdicts(
        judge(load_reference(), x).scores, np.array(risk, np.float32), np.zeros(len(x), bool), number, np.ones(len(x), np.float32)
    )


def test_the_score_is_half_at_the_threshold() -> None:
    assert score_of_risk(np.array([0.0, 41.0, 82.0, 91.0, 100.0]), 82.0).tolist() == [0.0, 0.125, 0.5, 0.75, 1.0]
    assert float(score_of_risk(100.0, 100.0)) == 0.5


def test_conns_of_a_service_are_one_piece_and_those_without_risk_none() -> None:
    rows: Rows = [("10.0.0.5", "203.0.113.9", 443)] * 12 + [("10.0.0.6", "203.0.113.9", 443)] * 2
    x = np.zeros((14, len(NAMES)), np.float32)
    risk = [60.0 + i for i in range(12)] + [24.0, 0.0]
    (found,) = evidence_of_conns(identity(rows), x, verdicts(x, risk, "beacon"), load_reference(), 71.0)
    assert (found.source, found.target, found.port, found.count, found.log) == ("10.0.0.5", "203.0.113.9", 443, 12, "conn")
    assert found.score == float(score_of_risk(71.0, 71.0)) == 0.5
    assert found.uids == tuple(f"C{i}" for i in range(11, 1, -1)), "the ten conns with the highest risk"
    assert (found.first, found.last) == (START, START + timedelta(minutes=11))
    assert evidence_of_conns(identity(rows), x, verdicts(x, [0.0] * 14, "beacon"), load_reference(), 71.0) == []


def test_parts_give_the_same_groups_as_the_whole_within_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    rows: Rows = [(f"10.0.0.{rng.integers(9)}", f"203.0.113.{rng.integers(9)}", 443) for _ in range(500)]
    risk = rng.permutation(np.linspace(25, 99, 500)).astype(np.float32)
    kinds = [("beacon", "horizontal_scan", "anomaly")[i % 3] for i in range(500)]
    number = np.arange(500)
    whole = join_groups(None, group_conns(identity(rows), kinds, risk, number))
    parts = None
    for part in np.array_split(number, 3):
        cut = slice(part[0], part[-1] + 1)
        parts = join_groups(parts, group_conns(identity(rows)[cut], kinds[cut], risk[cut], part))
    assert parts is not None and parts.drop("uids").equals(whole.drop("uids"))
    assert all(u in uids and len(uids) <= 10 for u, uids in zip([f"C{i}" for i in parts["row"]], parts["uids"], strict=True))
    assert whole["count"].sum() == 500 and whole["risk"].is_sorted(descending=True)
    monkeypatch.setattr(conn_evidence, "MAX_GROUPS", 7)
    assert join_groups(None, whole).equals(whole.head(7))


def test_what_zeek_left_out_is_empty_and_not_an_error() -> None:
    x = np.zeros((3, len(NAMES)), np.float32)
    rows: Rows = [(None, None, None), ("10.0.0.5", None, 53), (None, "203.0.113.9", None)]
    groups = join_groups(None, group_conns(identity(rows), ["beacon"] * 3, np.full(3, 90.0), np.arange(3)))
    found = evidence_of_groups(groups, x, load_reference(), 82.0, explained=0)
    assert sorted((e.source, e.target, e.port) for e in found) == [("", "", None), ("", "203.0.113.9", None), ("10.0.0.5", "", 53)]
    assert all(e.text.startswith("beacon") or e.text for e in found)
