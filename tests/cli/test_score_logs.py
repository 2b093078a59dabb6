"""`mlids score --logs`: which logs are scored, which files are written, and what is printed."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import polars as pl
import pytest

from tests.conftest import CONN_HEADER, conn_line
from tests.support import forked


def mlids(*args: object, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    return forked.run([*map(str, args)], stdin)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Conns of a folder, with http and dns beside them."""
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "conn.log").write_text(CONN_HEADER + "".join(conn_line(f"C{n}") for n in range(30)))
    web = [{"ts": 1713484800.5 + n, "uid": f"C{n}", "id.orig_h": "10.0.0.5", "id.orig_p": 50_000, "id.resp_h": "192.0.2.7",
            "id.resp_p": 80, "method": "GET", "host": "example.com", "uri": f"/page{n % 5}"} for n in range(30)]  # fmt: skip
    web[7] |= {"method": "PUT", "host": "192.0.2.7", "uri": "/[red]\u001b[31m" + "%41" * 40}
    (logs / "http.log").write_text("".join(json.dumps(r) + "\n" for r in web))
    names = [{"ts": 1713484800.5, "uid": f"C{n}", "query": f"www{n % 4}.example.com", "qtype_name": "A"} for n in range(40)]
    (logs / "dns.log").write_text("".join(json.dumps(r) + "\n" for r in names))
    return logs


def test_the_logs_that_are_there_are_scored_and_the_files_are_named(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "day.parquet"
    found = json.loads(mlids("score", folder, "--out", out, "--format", "json").stdout)
    assert [(s["log"], s["rows"], s["file"]) for s in found["logs"]] == [
        ("http", 30, str(tmp_path / "day.http.parquet")), ("dns", 40, str(tmp_path / "day.dns.parquet")),
    ]  # fmt: skip
    assert {s["trained_on"] for s in found["logs"]} == {"the scored rows themselves"}
    assert sorted(p.name for p in tmp_path.glob("day*")) == ["day.dns.parquet", "day.http.parquet", "day.parquet"]
    web = pl.read_parquet(tmp_path / "day.http.parquet")
    assert web.height == 30 and {"uid", "id.orig_h", "id.resp_p", "host", "uri", "anomaly_score"} <= set(web.columns)
    first = found["logs"][0]["unusual"][0]
    assert first["uid"] == "C7" and first["id.resp_p"] == 80 and first["reason"] and first["ts"].startswith("2024-04-19T00:00:07")
    assert pl.read_parquet(out)["uid"].len() == 30 and found["rows"] == 30


def test_the_list_of_logs_decides(folder: Path, tmp_path: Path) -> None:
    conns = json.loads(mlids("score", folder, "--logs", "conn", "--format", "json").stdout)
    assert conns["rows"] == 30 and conns["logs"] == []
    names = json.loads(mlids("score", folder, "--logs", "dns", "--format", "json", "--out", tmp_path / "o.csv").stdout)
    assert names["rows"] == 0 and names["findings"] == [] and [s["log"] for s in names["logs"]] == ["dns"]
    assert sorted(p.name for p in tmp_path.glob("o*")) == ["o.dns.csv"]
    one = json.loads(mlids("score", folder / "http.log", "--format", "json").stdout)
    assert [(s["log"], s["rows"]) for s in one["logs"]] == [("http", 30)] and one["rejected"] == 0


def test_wrong_lists_and_logs_that_are_not_there_are_one_line_of_error(folder: Path) -> None:
    wrong = mlids("score", folder, "--logs", "conn,dsn")
    assert wrong.returncode == 2 and b"'dsn' is not scored; use any of conn,http,dns,ssh,ssl" in wrong.stderr
    missing = mlids("score", folder, "--logs", "ssh")
    assert missing.returncode == 2 and b"no records of ssh to score" in missing.stderr
    for done in (wrong, missing):
        assert b"Traceback" not in done.stderr


def test_the_most_unusual_records_are_printed_as_text(folder: Path, tmp_path: Path) -> None:
    done = mlids("score", folder, "--logs", "http", "--out", tmp_path / "o.csv")
    text = " ".join(done.stdout.decode().split())
    assert "30 of http" in text and "[red]" in text and "\x1b[31m" not in done.stdout.decode()
    assert "conns" not in text and "trained on: the scored rows themselves" in text and "o.http.csv" in text


def test_other_days_teach_the_forests_of_all_logs(folder: Path, real_data: Path) -> None:
    found = json.loads(mlids("score", folder, "--train", real_data / "more/benign-day", "--format", "json").stdout)
    assert {s["trained_on"] for s in found["logs"]} == {"other days given with --train"}
