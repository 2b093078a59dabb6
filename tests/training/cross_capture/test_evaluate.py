"""Metrics on captures that the model has not seen: real logs, each left out of training once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlids import pipeline
from mlids.errors import NoRowsError
from mlids.training.metrics import DETECTORS
from tests.support.captures import C2, MIRAI, MIXED, QUIET


@pytest.fixture(scope="module")
def metrics(real_data: Path) -> dict[str, Any]:
    captures = [real_data / p for p in (C2, MIXED, MIRAI)]
    return pipeline.evaluate(captures, [real_data / QUIET], [], leave_one_out=True, seeds=1)


def test_unseen_captures_are_found(metrics: dict[str, Any]) -> None:
    assert set(metrics["captures"]) == {"labeled-conn.log", "conn.log.labeled", "CTU-IoT-Malware-Capture-34-1.conn.log.labeled"}
    pooled = metrics["pooled"]
    assert pooled["n_attack"] == 244 + 4_195 + 6_970 and pooled["n_benign"] == 9 + 1_402 + 1_923
    assert pooled["hybrid"]["recall_at_fpr_1pct"] > 0.8 and pooled["hybrid"]["recall_site"] > 0.8
    assert pooled["hybrid"]["actual_fpr_site"] < 0.05
    assert metrics["macro"]["captures"] == 3 and metrics["random_split"]["flattering"] is True
    assert metrics["implanted_only"]["pooled"]["hybrid"]["pr_auc_at_1pct"] > 0.6


def test_every_metric_is_there(metrics: dict[str, Any]) -> None:
    names = {
        "pr_auc", "pr_auc_at_1pct", "recall_at_fpr_1pct", "recall_at_fpr_0_1pct", "recall_carried_1pct", "actual_fpr_carried_1pct",
        "recall_site", "actual_fpr_site", "alerts_per_day", "precision_at_k", "pair_recall_at_fpr_1pct",
    }  # fmt: skip
    entries = [c for capture in metrics["captures"].values() for c in capture.values()] + [metrics["pooled"]]
    for entry in entries:
        assert {"n_attack", "n_benign", "duplicates_with_train"} < set(entry)
        assert all(set(entry[d]) == names for d in DETECTORS)
    # Counted apart from our code: pairs of addresses among the labelled rows, with an attack and without.
    assert (metrics["pooled"]["n_attack_pairs"], metrics["pooled"]["n_benign_pairs"]) == (6 + 1_596 + 5, 43 + 139 + 1)
    quiet = metrics["benign_days"]["CTU-Honeypot-Capture-4-1.conn.log.labeled"]
    assert quiet["n_benign"] == 452 and quiet["days"] > 0 and quiet["hybrid"]["alerts_per_day"] <= 20
    mirai = metrics["captures"]["CTU-IoT-Malware-Capture-34-1.conn.log.labeled"]
    assert set(mirai) == {"all", "C&C", "DDoS", "PartOfAHorizontalPortScan"}
    assert mirai["all"]["n_attack"] == sum(e["n_attack"] for n, e in mirai.items() if n != "all")
    json.dumps(metrics, allow_nan=False)


def test_what_was_done_is_described(metrics: dict[str, Any]) -> None:
    about = metrics["about"]
    assert about["train"] == ["labeled-conn.log", "conn.log.labeled", "CTU-IoT-Malware-Capture-34-1.conn.log.labeled"]
    assert about["leave_one_out"] is True and about["seeds"] == [0] and about["detectors"] == list(DETECTORS)
    assert about["artefacts_dropped"]["CTU-IoT-Malware-Capture-34-1.conn.log.labeled"] == 14_252


def test_captures_without_attacks_to_test_are_refused(real_data: Path) -> None:
    with pytest.raises(NoRowsError, match="both attacks and benign rows"):
        pipeline.evaluate([real_data / C2], [], [real_data / QUIET], seeds=1)
