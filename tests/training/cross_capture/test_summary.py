"""Means over networks, by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlids.training.cross_capture.listing import GROUPS
from mlids.training.cross_capture.summary import case_summary, summary
from mlids.training.cross_capture.tables import MODELS, tables
from mlids.training.metrics import DETECTORS
from scripts.tables import ROOT, write


def _cases(**counts: float) -> dict[str, float | None]:
    keys = (
        "n_hosts",
        "hosts_found",
        "hosts_exact",
        *(f"cases_{k}" for k in ("low", "medium", "high", "critical", "right", "exact", "wrong", "unknown", "per_day")),
    )
    counted: dict[str, float | None] = dict.fromkeys(keys, 0.0)
    return counted | {"first_right": None} | counts


def _network(
    recall: float | None,
    n_attack: int,
    n_benign: int = 100,
    *,
    client: bool = True,
    cases: dict[str, float | None] | None = None,
    **own: float,
) -> dict[str, Any]:
    recalls = {"recall_at_fpr_1pct": recall, "recall_at_fpr_0_1pct": recall and recall / 2, "pair_recall_at_fpr_1pct": recall}
    recalls |= {f"{g}_at_fpr_{f}": recall if g == "c2" else None for g in GROUPS for f in ("1pct", "0_1pct")}
    counts = {"threshold": 82.0, "alerts": 0.0, "alerts_right": 0.0, "alerts_wrong": 0.0, "alerts_per_day": 0.0, "benign_above": 0.0,
              "n_hosts": 0.0, "hosts_found": 0.0, "n_pairs": 0.0, "pairs_found": 0.0} | own  # fmt: skip
    return {
        "laboratory": "lab", "n_attack": n_attack, "n_benign": n_benign, "client": client, "days": 0.5,
        "detectors": dict.fromkeys(DETECTORS, recalls), "control": recalls, "regret": None if recall is None else 1 - recall, "own": counts,
        "cases": cases or _cases(),
    }  # fmt: skip


NETWORKS = {
    "big": _network(
        1.0,
        900,
        cases=_cases(n_hosts=1.0, hosts_found=1.0, hosts_exact=1.0, cases_critical=2.0, cases_right=2.0, cases_exact=1.0, first_right=1.0),
        alerts=3.0,
        alerts_right=3.0,
        n_hosts=1.0,
        hosts_found=1.0,
        benign_above=0.01,
    ),
    "small": _network(
        0.5,
        100,
        cases=_cases(n_hosts=3.0, hosts_found=1.0, cases_high=4.0, cases_right=1.0, cases_wrong=2.0, cases_unknown=1.0, first_right=4.0),
        alerts=4.0,
        alerts_right=1.0,
        alerts_wrong=2.0,
        n_hosts=3.0,
        hosts_found=1.0,
        benign_above=0.2,
        client=False,
    ),
    "two attacks": _network(
        None, 2, cases=_cases(n_hosts=1.0, cases_low=1.0), alerts=1.0, alerts_wrong=1.0, n_hosts=1.0, alerts_per_day=2.0
    ),
    "quiet": _network(None, 0, alerts=1.0, alerts_wrong=1.0, alerts_per_day=2.0, benign_above=0.03),
    "noisy": _network(
        None, 0, cases=_cases(cases_medium=1.0, cases_wrong=1.0, cases_per_day=2.0), alerts=3.0, alerts_wrong=3.0, alerts_per_day=6.0
    ),
}

DISTANCE = {"recall_at_fpr_1pct": 0.08, "recall_at_fpr_0_1pct": None}
REFERENCE = {
    "networks": NETWORKS,
    "summary": case_summary(NETWORKS),
    "without": {
        "nothing": case_summary(NETWORKS),
        **dict.fromkeys(("dns", "ssh"), case_summary({"quiet": NETWORKS["quiet"]})),
        "ssl": case_summary(NETWORKS),
    },
}
METRICS = {
    "summary": {kind: summary(NETWORKS) for kind in MODELS} | {"distance": DISTANCE}, "networks": dict.fromkeys(MODELS, NETWORKS),
    "reference": REFERENCE,
}  # fmt: skip


def test_networks_weigh_the_same_and_the_worst_is_named() -> None:
    found = summary(NETWORKS)
    one = found["detectors"]["hybrid"]["recall_at_fpr_1pct"]
    assert one == {"mean": 0.75, "networks": 2, "worst": {"network": "small", "value": 0.5}, "pooled": 0.95}
    assert found["detectors"]["hybrid"]["recall_at_fpr_0_1pct"]["pooled"] == 0.475
    assert (found["networks"], found["laboratories"], found["networks_with_attacks"]) == (5, 1, 2)
    assert found["groups"]["c2"]["at_fpr_1pct"]["mean"] == 0.75
    assert found["groups"]["scans"]["at_fpr_1pct"] == {"mean": None, "networks": 0, "worst": None}
    assert found["regret"] == {"mean": 0.25, "networks": 2, "worst": {"network": "small", "value": 0.5}}


def test_hosts_alerts_and_benign_days_are_summed_and_averaged() -> None:
    found = summary(NETWORKS)
    assert (found["hosts"]["n"], found["hosts"]["found"], found["hosts"]["pooled"]) == (5.0, 2.0, 0.4)
    assert found["hosts"]["mean"] == pytest.approx((1 + 1 / 3 + 0) / 3, abs=1e-4) and found["hosts"]["worst"]["network"] == "two attacks"
    alerts = found["alerts"]
    assert (alerts["n"], alerts["right"], alerts["wrong"]) == (12.0, 4.0, 7.0) and alerts["precision"] == pytest.approx(4 / 11, abs=1e-4)
    assert alerts["mean"] == pytest.approx((1 + 1 / 3 + 0) / 3, abs=1e-4)  # networks with attacks only
    assert found["benign_days"] == {"days": 1.0, "mean": 4.0, "networks": 2, "worst": {"network": "noisy", "value": 6.0}}
    above = found["benign_above"]
    assert above["worst"] == {"network": "small", "value": 0.2} and above["worst_client"] == {"network": "quiet", "value": 0.03}
    assert above["mean"] == pytest.approx(0.24 / 5)


def test_cases_are_summed_and_the_rank_of_the_first_right_one_counts_networks_without_any() -> None:
    found = summary(NETWORKS)["cases"]
    assert (found["n_hosts"], found["hosts_found"], found["hosts"]["pooled"]) == (5.0, 2.0, 0.4)
    assert found["hosts"]["worst"] == {"network": "two attacks", "value": 0.0} and found["hosts"]["networks"] == 3
    assert found["severity"] == {"low": 1.0, "medium": 1.0, "high": 4.0, "critical": 2.0}
    assert (found["cases_right"], found["cases_exact"], found["cases_wrong"], found["cases_unknown"]) == (3.0, 1.0, 3.0, 1.0)
    assert found["precision"]["pooled"] == 0.5 and found["precision"]["worst"] == {
        "network": "small",
        "value": pytest.approx(1 / 3, abs=1e-4),
    }
    assert found["benign_days"] == {"days": 1.0, "cases": 1.0, "mean": 1.0, "networks": 2, "worst": {"network": "noisy", "value": 2.0}}
    assert found["first_right"] == 4.0, "ranks 1, 4 and none"
    assert case_summary({n: NETWORKS[n] for n in ("small", "two attacks", "quiet")})["first_right"] is None
    assert case_summary({})["hosts"]["pooled"] is None


def test_implanted_attacks_only_is_the_first_row_with_its_distance() -> None:
    found = tables(METRICS)
    recall, alerts, networks, voices, cases, by_network, by_log = found
    assert [r[0] for r in recall.rows[:3]] == ["implanted attacks only", "distance to true labels", "true labels of other networks"]
    assert recall.rows[0][2:4] == ("0.75", "0.50 small") and recall.rows[1][2] == "0.08"
    assert recall.rows[-1][0].startswith("control") and recall.rows[-1][2] == "0.75"
    assert (
        alerts.rows[0][0] == "implanted attacks only"
        and alerts.rows[0][3] == "0.36 (4 of 11)"
        and alerts.rows[0][5].startswith("4.0 (2 sites")
    )
    assert networks.columns[3].startswith("implanted only") and len(networks.rows) == 5
    assert voices.rows[0][0] == "mean, implanted attacks only" and voices.rows[0][5] == "0.25; worst 0.50 small"
    assert [r[0] for r in voices.rows[2:]] == ["big", "small"]
    assert [r[0] for r in cases.rows] == ["the reference model", "implanted attacks only", "true labels of other networks"]
    assert (
        cases.rows[0][1:8] == ("0.40 (2 of 5)", "1", "0.44", "0.00 two attacks", "3, 1, 3, 1", "0.50", "4.0")
        and cases.rows[0][8] == "2, 4, 1, 1"
    )
    assert by_network.rows[0] == ("big", "1, 1 of 1", "2, 1, 0, 0", "1", "2, 0, 0, 0", "0.0") and by_network.rows[2][3] == "–"
    assert [r[0] for r in by_log.rows] == ["nothing", "dns, ssh", "ssl"] and by_log.rows[1][1] == "– (0 of 0)"
    assert all(len(row) == len(t.columns) for t in found for row in t.rows)


def test_documents_get_the_tables_and_the_readme_its_headline(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    marks = {
        "docs/detection.md": ("measured", "networks", "regret", "cases", "case-networks", "case-logs"),
        "docs/benchmarks.md": ("acc",),
        "README.md": ("headline",),
    }
    for name, of in marks.items():
        (tmp_path / name).write_text("before\n" + "".join(f"<!-- {m} -->\nto be replaced\n<!-- /{m} -->\n" for m in of) + "after\n")
        assert all(f"<!-- {m} -->" in (ROOT / name).read_text() for m in of), name
    write(METRICS | {"about": {"seeds": [0], "sorted": {"big": 7}}, "random_split": {"flattering": True}}, tmp_path)
    detection, benchmarks, readme = ((tmp_path / name).read_text() for name in marks)
    assert all(
        text.startswith("before\n") and text.endswith("after\n") and "to be replaced" not in text
        for text in (detection, benchmarks, readme)
    )
    assert "on 5 public networks of 1 laboratories" in detection and "Sorted, because rows were out of order: big (7 rows)." in detection
    first = detection.index("| implanted attacks only | 2 | 0.75 | 0.50 small |")
    assert first < detection.index("| true labels of other networks |") and "| quiet | 0 | 100 |" in detection
    assert "| the reference model | 0.40 (2 of 5) |" in detection and "| dns, ssh | – (0 of 0) |" in detection
    assert "| hybrid below its best voice, worst network | 0.50 small | ≤ 0.05 |" in benchmarks
    assert "0.75 as the mean over the 2 networks with enough attacks and benign rows (worst: 0.50 small)" in readme
    assert "2 of 5 attacked or infected hosts have an alert" in readme and "4.0 alerts a day (worst: 6.0 noisy)" in readme
