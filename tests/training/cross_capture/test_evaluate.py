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

pytestmark = pytest.mark.slow  # fits twenty forests


@pytest.fixture(scope="module")
def metrics(real_data: Path) -> dict[str, Any]:
    captures = [real_data / p for p in (C2, MIXED, MIRAI)]
    iot = ["iot=*/iot23/*"]
    return pipeline.evaluate(captures, [real_data / QUIET], [], laboratories=iot, leave_one_out=True, seeds=1)


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


def test_the_network_is_the_unit_of_the_summary(metrics: dict[str, Any]) -> None:
    for kind in ("implanted_only", "true_labels"):
        networks, found = metrics["networks"][kind], metrics["summary"][kind]
        assert len(networks) == found["networks"] == 4 and found["laboratories"] == 3
        # The remote-access trojan has nine benign rows: too few for a recall.
        assert found["networks_with_attacks"] == found["detectors"]["hybrid"]["recall_at_fpr_1pct"]["networks"] == 2
        recalls = [networks[n]["detectors"]["hybrid"]["recall_at_fpr_1pct"] for n in ("conn.log.labeled", MIRAI.rpartition("/")[2])]
        assert found["detectors"]["hybrid"]["recall_at_fpr_1pct"]["mean"] == pytest.approx(sum(recalls) / 2, abs=1e-4)
        assert found["benign_days"]["networks"] == 1 and found["benign_days"]["worst"]["network"] == QUIET.rpartition("/")[2]
        assert found["hosts"]["n"] == 3.0  # one host in each capture with attacks
    assert metrics["networks"]["true_labels"]["labeled-conn.log"]["own"]["n_pairs"] == 5.0


def test_cases_are_judged_under_every_model(metrics: dict[str, Any]) -> None:
    entries = [metrics["networks"][kind] for kind in ("implanted_only", "true_labels")] + [metrics["reference"]["networks"]]
    for networks in entries:
        assert len(networks) == 4 and sum(e["cases"]["n_hosts"] for e in networks.values()) == 3.0
        mirai = networks[MIRAI.rpartition("/")[2]]["cases"]
        assert (mirai["hosts_found"], mirai["cases_exact"], mirai["first_right"]) == (1.0, 1.0, 1.0)
    assert metrics["reference"]["summary"]["benign_days"]["networks"] == 1
    assert list(metrics["reference"]["without"]) == ["nothing", "every log but conn.log"]


def test_a_laboratory_is_left_out_as_a_whole(metrics: dict[str, Any]) -> None:
    about = metrics["about"]
    assert {n for n, lab in about["laboratories"].items() if lab == "iot"} == {QUIET.rpartition("/")[2], MIRAI.rpartition("/")[2]}
    assert about["sorted"] == {}


def test_what_was_done_is_described(metrics: dict[str, Any]) -> None:
    about = metrics["about"]
    assert about["train"] == ["labeled-conn.log", "conn.log.labeled", "CTU-IoT-Malware-Capture-34-1.conn.log.labeled"]
    assert about["leave_one_out"] is True and about["seeds"] == [0] and about["detectors"] == list(DETECTORS)
    assert about["artefacts_dropped"]["CTU-IoT-Malware-Capture-34-1.conn.log.labeled"] == 14_252


def test_captures_without_attacks_to_test_are_refused(real_data: Path) -> None:
    with pytest.raises(NoRowsError, match="both attacks and benign rows"):
        pipeline.evaluate([real_data / C2], [], [real_data / QUIET], seeds=1)
