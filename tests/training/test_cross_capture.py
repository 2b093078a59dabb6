"""`mlids evaluate`: examples, splits and metrics on labelled captures; what it must refuse."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from mlids.cli.evaluate import spread_out
from mlids.errors import NoRowsError
from mlids.features.spec import NAMES
from mlids.ingest.conns import Reading, read_conns
from mlids.synth.attacks import SCENARIOS
from mlids.training.cross_capture import DETECTORS, Capture, _highest, contradictions, load_capture
from mlids.training.dataset import artefacts, gather, labelled, reference, weights
from mlids.training.labels import BENIGN, family

MLIDS = Path(sys.executable).with_name("mlids")
C2 = "stratosphere/001-zeek-scenario-malicious/labeled-conn.log"
MIXED = "stratosphere/008-zeek-mixed/data/conn.log.labeled"
MIRAI = "iot23/CTU-IoT-Malware-Capture-34-1.conn.log.labeled"
QUIET = "iot23/CTU-Honeypot-Capture-4-1.conn.log.labeled"


@pytest.mark.parametrize(
    ("name", "to"),
    [
        ("PartOfAHorizontalPortScan", "horizontal_scan"), ("C&C", "command_and_control"), ("CC", "command_and_control"),
        ("DDoS", "syn_flood"), ("External-Attack-to-Device", "inbound_probes"), ("Torii", "command_and_control"),
        ("SSH-Bruteforce", "brute_force"), ("Something New", "something_new"), ("", "attack"),
    ],
)  # fmt: skip
def test_public_names_become_families(name: str, to: str) -> None:
    assert family(name) == to


def test_labels_of_every_form(real_data: Path) -> None:
    counts = {}
    for path in (C2, MIXED, MIRAI, QUIET, "iot23/CTU-IoT-Malware-Capture-8-1conn.log.labeled.csv"):
        label = pl.concat([labelled(b) for b in read_conns([real_data / path], Reading())])
        counts[path] = (
            int((label == BENIGN).sum()),
            int(((label != BENIGN) & label.is_not_null()).sum()),
            label.null_count(),
        )
    # Counted with grep on the files themselves.
    assert list(counts.values()) == [(9, 244, 739), (1402, 4201, 60), (1923, 21222, 0), (452, 0, 0), (2181, 8222, 0)]


def test_rows_without_a_packet_are_no_attacks(real_data: Path) -> None:
    """Of 14,394 rows that a public data set calls DDoS, 14,252 are single bad checksums."""
    conns = pl.concat(list(read_conns([real_data / MIRAI], Reading())), how="diagonal_relaxed")
    assert int(artefacts(conns).sum()) == 14_252


def test_examples_say_where_they_come_from(real_data: Path) -> None:
    batches = list(read_conns([real_data / MIXED], Reading()))
    rows, frame = gather(lambda: iter(batches), "net", max_benign=500, seed=3)
    assert rows == 5_663
    assert set(frame["source"]) == {"label", "implanted"}, "a labelled log's unlabelled rows are not taken for benign"
    implanted = frame.filter(pl.col("source") == "implanted")
    assert set(implanted["label"]) == set(SCENARIOS)
    assert 300 < frame.filter(pl.col("label") == BENIGN).height <= 600
    again = gather(lambda: iter(batches), "net", max_benign=500, seed=3)[1]
    assert frame.equals(again)
    # Nobody can tell an attack by its first packet: the beginning of each instance is context only.
    first = implanted.filter(pl.col("label") == "beacon").select(pl.col("triple_total").exp().min()).item()
    assert first > 4


def test_reference_networks_hold_every_attack_and_weigh_alike() -> None:
    frame = reference()
    assert set(frame["label"]) == {BENIGN, *SCENARIOS}
    assert np.isfinite(frame.select(NAMES).to_numpy()).all()
    weight = weights(frame)
    sums = frame.with_columns(w=pl.Series(weight)).group_by("network", "label").agg(pl.col("w").sum(), pl.len())
    assert np.allclose(sums["w"].to_numpy(), np.sqrt(sums["len"].to_numpy()))


@pytest.fixture(scope="module")
def run(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict]:  # type: ignore[type-arg]
    """What the command prints, and the metrics it writes."""
    out = tmp_path_factory.mktemp("evaluate") / "metrics.json"
    captures = [real_data / p for p in (C2, MIXED, MIRAI)]
    command = [MLIDS, "evaluate", "--train", *captures, "--calibrate", real_data / QUIET, "--leave-one-out", "--seeds", "1", "--out", out]
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads(out.read_text())


@pytest.fixture(scope="module")
def metrics(run: tuple[str, dict]) -> dict:  # type: ignore[type-arg]
    return run[1]


def test_unseen_captures_are_found(metrics: dict) -> None:  # type: ignore[type-arg]
    assert set(metrics["captures"]) == {"labeled-conn.log", "conn.log.labeled", "CTU-IoT-Malware-Capture-34-1.conn.log.labeled"}
    pooled = metrics["pooled"]
    assert pooled["n_attack"] == 244 + 4_195 + 6_970 and pooled["n_benign"] == 9 + 1_402 + 1_923
    assert pooled["hybrid"]["recall_at_fpr_1pct"] > 0.8 and pooled["hybrid"]["recall_site"] > 0.8
    assert pooled["hybrid"]["actual_fpr_site"] < 0.05
    assert metrics["macro"]["captures"] == 3 and metrics["random_split"]["flattering"] is True
    assert metrics["implanted_only"]["pooled"]["hybrid"]["pr_auc_at_1pct"] > 0.6


def test_every_promised_figure_is_there(metrics: dict) -> None:  # type: ignore[type-arg]
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


def test_a_pair_is_as_risky_as_its_riskiest_row() -> None:
    conns = pl.DataFrame({"id.orig_h": ["a", "b", "a", "c", "b"], "id.resp_h": ["x", "x", "x", "y", "x"]})
    attack, benign = np.array([0, 1, 0, 0, 0], bool), np.array([1, 0, 1, 0, 1], bool)
    capture = Capture("n", conns, np.zeros((5, 1)), np.array([BENIGN, "C&C", BENIGN, None, BENIGN], object), 0, pl.DataFrame())
    number, bad = capture.pairs(attack, benign)
    assert number[3] == -1 and number[0] == number[2] and number[1] == number[4] and sorted(bad) == [False, True]
    risk = _highest(np.array([1.0, 2.0, 5.0, 9.0, 4.0]), number)
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


def test_options_take_what_a_shell_gives() -> None:
    assert spread_out(["evaluate", "--train", "a", "b", "--seeds", "2", "--test", "c"]) == [
        "evaluate", "--train", "a", "--train", "b", "--seeds", "2", "--test", "c",
    ]  # fmt: skip


def test_the_command_shows_every_capture_and_says_what_flatters(run: tuple[str, dict]) -> None:  # type: ignore[type-arg]
    shown, metrics = run
    assert all(name in shown for name in ("labeled-conn.log", "conn.log.labeled", "mean over captures")) and "flattering" in shown
    assert metrics["about"]["train"] == ["labeled-conn.log", "conn.log.labeled", "CTU-IoT-Malware-Capture-34-1.conn.log.labeled"]
    assert metrics["about"]["leave_one_out"] is True and metrics["about"]["seeds"] == [0]


def test_the_command_tests_a_capture_of_its_own(real_data: Path, tmp_path: Path) -> None:
    out = tmp_path / "metrics.json"
    command = [MLIDS, "evaluate", "--train", real_data / C2, real_data / QUIET, "--test", real_data / MIXED, "--seeds", "1", "--out", out]
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "conn.log.labeled" in done.stdout and "flattering" in done.stdout
    metrics = json.loads(out.read_text())
    assert metrics["about"]["train"] == ["labeled-conn.log", "CTU-Honeypot-Capture-4-1.conn.log.labeled"]
    assert list(metrics["captures"]) == metrics["about"]["test"] == ["conn.log.labeled"]
    assert metrics["pooled"]["n_attack"] == 4_195 and metrics["pooled"]["hybrid"]["recall_at_fpr_1pct"] > 0.5


def test_the_command_says_what_is_missing(real_data: Path) -> None:
    wrong = subprocess.run([MLIDS, "evaluate", "--train", real_data / MIXED], capture_output=True, text=True)
    assert wrong.returncode != 0 and "--leave-one-out" in wrong.stderr
