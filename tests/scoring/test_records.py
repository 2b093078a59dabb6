"""Scoring records of http, dns, ssh and ssl: the same in any batches, bounded, and tolerant of what logs lack."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest

from mlids.errors import InputError
from mlids.ingest.conns import Reading
from mlids.scoring.records import DESCRIBED, SCORED_LOGS, THEMSELVES, RecordSamples, RecordScoring, ScoredLog, parse_logs, read_records
from mlids.zeek.reader import LogReader

IDENTITY = ["uid", "ts", "sensor", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "proto"]


def frame(path: Path) -> pl.DataFrame:
    return pl.concat([b.frame for b in LogReader(path)])


def scored(folder: Path, log: str, batches: Sequence[pl.DataFrame], out: Path | None = None) -> ScoredLog:
    folder.mkdir()
    scoring = RecordScoring(folder, SCORED_LOGS)
    for rows in batches:
        scoring.add(log, rows)
    (done,) = scoring.finish(out)
    return done


@pytest.mark.parametrize("log", ["http", "dns", "ssl"])
def test_batches_cut_otherwise_give_the_same_scores(real_data: Path, tmp_path: Path, log: str) -> None:
    rows = frame(real_data / "more/benign-day" / f"{log}.log.labeled.gz")
    third = rows.height // 3
    whole = scored(tmp_path / "a", log, [rows], tmp_path / "a.parquet")
    parts = scored(tmp_path / "b", log, [rows[:5], rows[5:third], rows[third:third], rows[third:]], tmp_path / "b.parquet")
    files = [pl.read_parquet(tmp_path / f"{name}.{log}.parquet") for name in ("a", "b")]
    assert files[0].equals(files[1]) and files[0].height == rows.height
    assert files[0].columns[:8] == IDENTITY and files[0].columns[-1] == "anomaly_score"
    assert files[0]["uid"].equals(rows["uid"]) and files[0]["anomaly_score"].is_between(0, 1).all()
    assert whole.unusual == parts.unusual and len(whole.unusual) == DESCRIBED and whole.rows == parts.rows == rows.height
    highest = files[0]["anomaly_score"].max()
    assert whole.unusual[0].anomaly_score == highest and whole.trained_on == THEMSELVES


def test_more_batches_than_are_remembered_at_once(tmp_path: Path) -> None:
    rows = [pl.DataFrame({"uid": [f"C{n}"], "query": [f"host{n % 7}.example.com"], "qtype_name": ["A"]}) for n in range(250)]
    rows[120] = pl.DataFrame({"uid": ["Codd"], "query": ["q" * 60 + "0123456789.example.com"], "qtype_name": ["TXT"]})
    done = scored(tmp_path / "a", "dns", rows)
    assert done.unusual[0].record["uid"] == "Codd" and done.rows == 250
    assert len({u.record["query"] for u in done.unusual}) == DESCRIBED, "records that show the same are one"


def test_records_without_any_known_column_have_null_identity(tmp_path: Path) -> None:
    done = scored(tmp_path / "a", "ssl", [pl.DataFrame({"line": [1, 2]})], tmp_path / "o.jsonl")
    rows = pl.read_ndjson(tmp_path / "o.ssl.jsonl")
    assert rows.height == 2 and rows["uid"].null_count() == 2 and rows["sensor"].to_list() == ["zeek", "zeek"]
    assert done.unusual[0].anomaly_score < 0.5 and done.unusual[0].reason == "no single value of it stands out"


def test_a_single_record_is_not_anomalous(tmp_path: Path) -> None:
    done = scored(tmp_path / "a", "ssh", [pl.DataFrame({"uid": ["C1"], "client": ["SSH-2.0-OpenSSH_9.6"], "_system_name": ["hq"]})])
    assert done.unusual[0].anomaly_score < 0.6 and done.unusual[0].record["sensor"] == "hq"


def test_texts_of_an_attacker_are_cut_and_no_formulas(tmp_path: Path) -> None:
    rows = pl.DataFrame(
        {"uid": ["C1", "C2"], "host": ["=cmd|' /C calc'!A0", "+1\n2"], "uri": ["/" + "a" * 65_536, None], "id.orig_h": ["@x", "y"]}
    )
    scored(tmp_path / "a", "http", [rows], tmp_path / "o.csv")
    found = pl.read_csv(tmp_path / "o.http.csv", infer_schema_length=None)
    assert found["host"].to_list() == ["'=cmd|' /C calc'!A0", "'+1\\x0a2"] and found["id.orig_h"].to_list() == ["'@x", "y"]
    assert found["uri"].str.len_chars().max() == 256


def test_forests_learned_elsewhere_are_used_and_said(real_data: Path, tmp_path: Path) -> None:
    samples = RecordSamples(["dns", "ssl", "conn"])
    read_records([real_data / "more/benign-day"], samples, Reading())
    forests = samples.forests()
    assert set(forests) == {"dns", "ssl"}
    scoring = RecordScoring(tmp_path, SCORED_LOGS, forests=forests, trained_on="another day")
    read_records([real_data / "more/benign-day"], scoring, Reading())
    assert {s.log: s.trained_on for s in scoring.finish()} == {"http": THEMSELVES, "dns": "another day", "ssl": "another day"}


def test_a_bad_file_never_stops_the_others(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "dns.log").write_bytes(b"\x00\x01 not a log\n")
    good = [json.dumps({"_path": "http", "uid": f"C{n}", "host": "example.com", "uri": f"/{n}"}) for n in range(20)]
    (folder / "http.log").write_text("\n".join([*good, "{torn", ""]))
    (folder / "ssl.log").write_text("#fields\tts\n")
    (tmp_path / "spill").mkdir()
    reading, scoring = Reading(), RecordScoring(tmp_path / "spill", SCORED_LOGS)
    read_records([folder], scoring, reading)
    assert [(s.log, s.rows) for s in scoring.finish()] == [("http", 20)]
    assert reading.rejected == 1 and any("dns.log" in p.source for p in reading.problems)


def test_logs_are_chosen_by_a_list() -> None:
    assert parse_logs(None) == SCORED_LOGS == ("conn", "http", "dns", "ssh", "ssl")
    assert parse_logs("ssl, Conn") == ("conn", "ssl")
    for text, what in (("conn,dsn", "'dsn' is not scored"), ("", "no log is named"), (" , ", "no log is named"), ("files", "'files'")):
        with pytest.raises(InputError, match=f"--logs .*{what}.*conn,http,dns,ssh,ssl"):
            parse_logs(text)
