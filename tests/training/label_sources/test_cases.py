"""Closed cases label every conn that their evidence is about, and no other."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import polars as pl

from mlids.cases.gathering import gather
from mlids.evidence.base import Evidence, SiteView
from mlids.training.label_sources.cases import CaseLabels, judged_evidence
from tests.support.evidence import NOON, piece


def closed(verdict: str, *evidence: Evidence) -> dict[str, Any]:
    (case,) = gather(evidence, SiteView(), "hq").cases
    return case.as_dict() | {"verdict": verdict}


def labels(*cases: dict[str, Any]) -> list[str | None]:
    source = CaseLabels()
    source.add(judged_evidence(cases))
    rows = [
        ("10.0.0.5", "203.0.113.9", 443, 1.0),  # the beacon
        ("10.0.0.5", "203.0.113.9", 443, 9.0),  # the same, after the case ended
        ("10.0.0.5", "203.0.113.9", 80, 1.0),
        ("10.0.0.6", "203.0.113.9", 443, 1.0),
        ("10.0.0.5", "10.0.0.77", 445, 1.0),  # one of the hosts of a scan
        (None, None, None, 1.0),
    ]
    conns = pl.DataFrame(
        {"ts": [NOON + timedelta(hours=h) for *_, h in rows]} | {n: [r[i] for r in rows] for i, n in enumerate(("id.orig_h", "id.resp_h", "id.resp_p"))},
        schema_overrides={"id.resp_p": pl.UInt32},
    )  # fmt: skip
    return source.labels(conns).to_list()


def test_all_conns_of_the_evidence_are_labelled() -> None:
    scan = piece("horizontal_scan", 0.9, target="10.0.0.9", port=445)
    assert labels(closed("true positive", piece(), scan)) == ["beacon", None, None, None, "horizontal_scan", None]
    assert labels(closed("false positive", piece())) == ["benign", None, None, None, None, None]


def test_the_newest_verdict_counts_and_open_cases_label_nothing() -> None:
    assert labels(closed("false positive", piece()), closed("true positive", piece()))[0] == "benign"
    assert labels(closed("", piece())) == [None] * 6
    assert labels() == [None] * 6
