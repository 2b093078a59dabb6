"""`mlids score`: any form of log in, a ranked list out, errors without tracebacks."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest

from tests.conftest import CONN_HEADER, conn_line
from tests.support import forked

COLUMNS = [
    "uid", "ts", "sensor", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "proto",
    "attack_probability", "attack_class", "anomaly_score", "risk_score", "alert", "reasons",
]  # fmt: skip


def mlids(*args: object, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    return forked.run([*map(str, args)], stdin)


@pytest.fixture(scope="module")
def day(synthetic_site: Path) -> Path:
    return synthetic_site / "2026-11-02"


def test_one_row_per_conn_in_every_kind_of_file(day: Path, tmp_path: Path) -> None:
    lines = subprocess.run(
        ["bash", "-c", "for f in conn.*; do zcat $f; done | grep -vc '^#'"], cwd=day, capture_output=True, text=True, check=True
    )
    rows = int(lines.stdout)
    for name in ("o.parquet", "o.csv", "o.jsonl"):
        done = mlids("score", day, "--fit", "--out", tmp_path / name, "--top", 5)
        assert done.returncode == 0, done.stderr
    frames = [
        pl.read_parquet(tmp_path / "o.parquet"),
        pl.read_csv(tmp_path / "o.csv", infer_schema_length=None),
        pl.read_ndjson(tmp_path / "o.jsonl", infer_schema_length=None),
    ]
    for frame in frames:
        assert frame.height == rows and frame.columns == COLUMNS
        assert frame["uid"].to_list() == frames[0]["uid"].to_list()
    table = frames[0]
    assert table["attack_probability"].null_count() == rows, "null without a RandomForest"
    assert table["risk_score"].is_between(0, 100).all()
    assert (table.filter("alert")["reasons"].str.len_chars() > 10).all() and table["alert"].any()
    assert mlids("score", day, "--out", tmp_path / "o.xlsx").returncode == 2


@pytest.mark.parametrize(("how", "trained_on"), [((), "the reference model, reference-"), (("--fit",), "the scored rows themselves")])
def test_implanted_attacks_come_first(day: Path, how: Sequence[str], trained_on: str) -> None:
    found = json.loads(mlids("score", day, *how, "--format", "json").stdout)
    assert found["alerts"] > 0 and trained_on in found["trained_on"]
    assert {f["behaviour"] for f in found["findings"][:5]} & {"horizontal_scan", "vertical_scan", "brute_force", "flood", "dns_tunnel"}
    assert all({"uid", "id.orig_h", "risk_score", "reasons"} <= set(f) for f in found["findings"])


def test_nothing_stands_out_in_a_log_of_web_traffic(tmp_path: Path) -> None:
    from datetime import date

    from mlids.synth.draft import CONN_NAMES
    from mlids.synth.site import Site
    from mlids.zeek.writer import write_log

    day = Site(11).day(date(2026, 11, 4), 3_000)
    web = day.filter(pl.col("service").is_in(["ssl", "dns", "http"])).select(CONN_NAMES)
    write_log(tmp_path / "conn.log", web, log="conn", opened=day["ts"][0])
    done = mlids("score", tmp_path / "conn.log")
    assert b"Nothing stands out" in done.stdout


def test_standard_input_folder_csv_and_top(day: Path) -> None:
    one = sorted(day.glob("conn.*"))[9]
    piped = json.loads(mlids("score", "-", "--format", "json", "--top", 3, stdin=one.read_bytes()).stdout)
    named = json.loads(mlids("score", one, "--format", "json", "--top", 3).stdout)
    assert len(piped["findings"]) == 3
    assert [f["uid"] for f in piped["findings"]] == [f["uid"] for f in named["findings"]]
    rows = list(csv.DictReader(io.StringIO(mlids("score", one, "--format", "csv").stdout.decode())))
    assert 0 < len(rows) <= 20 and rows[0]["uid"] == named["findings"][0]["uid"]


def test_train_on_other_days(day: Path, synthetic_site: Path) -> None:
    found = json.loads(mlids("score", day, "--train", synthetic_site / "2026-11-03", "--format", "json").stdout)
    assert "--train" in found["trained_on"]


def test_without_a_model_the_reference_model_scores_and_says_so(day: Path) -> None:
    one = sorted(day.glob("conn.*"))[9]
    shown = " ".join(mlids("score", one).stdout.decode().split())
    assert "trained on: synthetic networks only (the reference model, reference-" in shown
    found = json.loads(mlids("score", one, "--format", "json").stdout)
    assert found["model_version"].startswith("reference-") and found["findings"][0]["attack_probability"] is not None


@pytest.mark.parametrize("both", [("--fit", "--train", "{}"), ("--fit", "--model", "{}"), ("--model", "{}", "--train", "{}")])
def test_one_way_to_get_a_model_at_a_time(day: Path, both: Sequence[str]) -> None:
    done = mlids("score", day, *(str(day) if a == "{}" else a for a in both))
    assert done.returncode == 2 and b"use one of --model, --train and --fit" in done.stderr


def test_a_trained_model_from_a_file(day: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    from mlids.detectors.forest import fit_forest
    from mlids.detectors.isolation import fit_isolation
    from mlids.detectors.model_spec import Spec
    from mlids.detectors.onnx_graph import build_graph
    from mlids.features.spec import NAMES

    x = np.random.default_rng(0).gamma(1, 1, (400, len(NAMES))).astype(np.float32)
    forest = fit_forest(x, np.where(x[:, 0] > 1, "scan", "benign"), trees=5)
    spec = Spec(medians=[0.0] * len(NAMES), classes=[str(c) for c in forest.classes_])
    (tmp_path / "m.onnx").write_bytes(build_graph(forest, fit_isolation(x), spec.as_dict()))
    found = json.loads(mlids("score", day, "--model", tmp_path, "--format", "json").stdout)
    assert all(f["attack_probability"] is not None and f["attack_class"] == "scan" for f in found["findings"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"Lorem ipsum\n", "not a Zeek log"),
        (b"", "no conns"),
        (CONN_HEADER.encode(), "no conns"),
        (CONN_HEADER.encode() + b"junk\n" * 5, "5 rows did not parse"),
        (b"#separator \\x09\n#path\tdns\n#fields\tts\tuid\tquery\n#types\ttime\tstring\tstring\n1.0\tC1\ta\n", "only other logs"),
        (b"\x1f\x8b\x08\x00garbage", "gzip"),
        (b"\x00" * 5_000, "not a Zeek log"),
        (b'{"a":' * 50_000, "no conns"),
    ],
)
def test_what_cannot_be_scored_is_one_line_of_error(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "conn.log").write_bytes(content)
    done = mlids("score", tmp_path / "conn.log")
    assert done.returncode == 2 and message in done.stderr.decode() and "Traceback" not in done.stderr.decode()


def test_wrong_options(tmp_path: Path) -> None:
    (tmp_path / "conn.log").write_text(CONN_HEADER + conn_line())
    for args in (["--format", "xml"], ["--network", "10.0.0.0/99"], ["--model", "/nowhere.onnx"], ["--top", "-1"]):
        done = mlids("score", tmp_path / "conn.log", *args)
        assert done.returncode in (2, 4) and b"Traceback" not in done.stderr, args
    assert b"no such file" in mlids("score", tmp_path / "nowhere").stderr


def test_terminal_escapes_in_a_log_are_printed_as_text(tmp_path: Path) -> None:
    rows = "".join(conn_line(f"C{n}", orig_bytes=str(n)) for n in range(30)) + conn_line("C\\x1b[31mred", service="\\x1b]0;owned\\x07")
    (tmp_path / "conn.log").write_text(CONN_HEADER + rows)
    for form in ("table", "json", "csv"):
        out = mlids("score", tmp_path / "conn.log", "--format", form, "--top", 50)
        assert b"\x1b[31mred" not in out.stdout and b"\x1b]0" not in out.stdout and out.returncode == 0
    assert "=cmd" not in mlids("score", tmp_path / "conn.log", "--format", "csv").stdout.decode()


def test_bad_rows_are_named_but_do_not_stop(tmp_path: Path) -> None:
    (tmp_path / "conn.log").write_text(CONN_HEADER + conn_line("C1") + "short\n" + conn_line("C2"))
    done = mlids("score", tmp_path / "conn.log")
    assert done.returncode == 0 and b"line 10" in done.stderr and b"2 conns" in done.stdout


def test_a_single_conn_can_be_scored(tmp_path: Path) -> None:
    (tmp_path / "conn.log").write_text(CONN_HEADER + conn_line("C1"))
    assert mlids("score", tmp_path / "conn.log").returncode == 0


def test_real_logs_of_all_kinds(real_data: Path) -> None:
    for name in (
        "stratosphere/001-zeek-scenario-malicious/conn.log", "slips/port-scans", "rita/truncated/conn_json.log", "saitama/data/zeek",
        "zeek-btest/Baseline/core.tunnels.geneve-arp/conn.log", "otrf/datasets/compound/apt29/day1/zeek/combined_zeek.log",
    ):  # fmt: skip
        done = mlids("score", real_data / name, "--format", "json")
        assert done.returncode == 0 and b"Traceback" not in done.stderr, (name, done.stderr)
        assert json.loads(done.stdout)["rows"] > 0, name


def test_one_scan_is_one_line_and_a_day_of_the_internet_is_readable(real_data: Path) -> None:
    """A real day of a host on the Internet: its loudest scanners fill a line each, and its one beacon is in the list."""
    found = json.loads(mlids("score", real_data / "rita/2024-04-19", "--fit", "--format", "json", "--top", 20).stdout)["findings"]
    assert len(found) == 20
    scans = [(f["behaviour"], f["id.orig_h"]) for f in found if f["behaviour"] in {"slow_scan", "vertical_scan"}]
    assert len(set(scans)) == len(scans) >= 4
    assert sum(f["behaviour"] == "inbound_probes" for f in found) == 1, "the Internet's background is one line"
    assert max(f["alike"] for f in found) > 10_000
    beacons = [f for f in found if f["reasons"].startswith("beacon")]  # other rows are there for what http.log says of them
    assert {(f["id.orig_h"], f["id.resp_h"]) for f in beacons} == {("73.54.23.243", "64.225.56.201")}


def test_the_one_true_beacon_of_an_internet_host_is_the_first_case(real_data: Path) -> None:
    result = json.loads(mlids("score", real_data / "rita/2024-04-19", "--format", "json", "--top", 0).stdout)
    assert result["cases"][0]["title"].startswith("73.54.23.243 calls 64.225.56.201 on port 80/tcp every 5 minutes")
    assert sum(c["severity"] != "low" for c in result["cases"]) <= 3
    assert result["background"]["sources"] > 3_000, "scans are background"


def test_one_behaviour_alone_and_the_one_true_beacon_heads_it(real_data: Path, tmp_path: Path) -> None:
    out = tmp_path / "all.parquet"
    done = mlids("score", real_data / "rita/2024-04-19", "--behaviour", "beacon", "--format", "json", "--top", 3, "--out", out)
    result = json.loads(done.stdout)
    first = result["findings"][0]
    assert (first["id.orig_h"], first["id.resp_h"]) == ("73.54.23.243", "64.225.56.201")
    assert {f["behaviour"] for f in result["findings"]} == {"beacon"} and result["alerts"] > 200
    written = pl.read_parquet(out)
    assert written.height == result["rows"] and written["alert"].sum() > 1_000, "the file has all conns, whatever is ranked"


def test_a_behaviour_that_nothing_looks_like_gives_an_empty_list(tmp_path: Path) -> None:
    (tmp_path / "conn.log").write_text(CONN_HEADER + "".join(conn_line(f"C{n}") for n in range(30)))
    done = mlids("score", tmp_path / "conn.log", "--behaviour", "lateral_movement")
    assert done.returncode == 0 and "no conn whose strongest behaviour is lateral_movement" in " ".join(done.stdout.decode().split())
    wrong = mlids("score", tmp_path / "conn.log", "--behaviour", "beacons")
    assert wrong.returncode == 2 and b"horizontal_scan, vertical_scan" in wrong.stderr
