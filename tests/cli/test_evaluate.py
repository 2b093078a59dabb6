"""`mlids evaluate`: options, table and JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlids.cli.evaluate import spread_out
from tests.support import forked
from tests.support.captures import C2, MIXED, QUIET


def test_options_take_what_a_shell_gives() -> None:
    assert spread_out(["evaluate", "--train", "a", "b", "--seeds", "2", "--test", "c"]) == [
        "evaluate", "--train", "a", "--train", "b", "--seeds", "2", "--test", "c",
    ]  # fmt: skip


@pytest.mark.slow
def test_a_capture_is_tested_and_the_random_split_is_marked_as_flattering(real_data: Path, tmp_path: Path) -> None:
    out = tmp_path / "metrics.json"
    command = ["evaluate", "--train", real_data / C2, real_data / QUIET, "--test", real_data / MIXED, "--seeds", "1", "--out", out]
    done = forked.run([str(c) for c in command], timeout=900)
    assert done.returncode == 0, done.stderr
    shown = done.stdout.decode()
    assert "conn.log.labeled" in shown and "flattering" in shown and f"all metrics: {out}" in shown
    assert shown.index("implanted attacks only") < shown.index("true labels of other networks") < shown.index("control")
    assert b"testing conn.log.labeled" in done.stderr
    metrics = json.loads(out.read_text())
    assert metrics["about"]["train"] == ["labeled-conn.log", "CTU-Honeypot-Capture-4-1.conn.log.labeled"]
    assert list(metrics["captures"]) == metrics["about"]["test"] == ["conn.log.labeled"]
    assert metrics["pooled"]["n_attack"] == 4_195 and metrics["pooled"]["hybrid"]["recall_at_fpr_1pct"] > 0.5


@pytest.mark.slow
def test_listed_captures_are_sorted_and_left_out_by_laboratory(real_data: Path, tmp_path: Path) -> None:
    listing = tmp_path / "captures.toml"
    listing.write_text(
        f"[[capture]]\nname = 'mixed'\npath = '{MIXED}'\n"
        "[[capture]]\nname = 'rats'\npath = 'more/android-rats/conn.log.labeled.gz'\nlaboratory = 'phones'\ngroups = { droidjack = 'c2' }\n"
    )
    out = tmp_path / "metrics.json"
    command = ["evaluate", "--captures", listing, "--data", real_data, "--leave-one-out", "--seeds", "1", "--out", out]
    done = forked.run([str(c) for c in command], timeout=900)
    assert done.returncode == 0, done.stderr
    assert b"rats: 455 rows were out of order" in done.stdout
    metrics = json.loads(out.read_text())
    assert metrics["about"]["sorted"] == {"rats": 455} and metrics["about"]["laboratories"] == {"mixed": "mixed", "rats": "phones"}
    assert metrics["networks"]["true_labels"]["rats"]["n_by_group"]["c2"] == 204 and list(metrics["networks"]["implanted_only"]) == [
        "mixed",
        "rats",
    ]


def test_what_is_missing_is_named(real_data: Path) -> None:
    wrong = forked.run(["evaluate", "--train", str(real_data / MIXED)])
    assert wrong.returncode != 0 and b"--leave-one-out" in wrong.stderr
