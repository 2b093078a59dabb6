"""Real logs compared with independent results: line counts, `zat`, Python's json and csv."""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from collections import Counter
from pathlib import Path

import polars as pl
import pytest

from mlids.errors import NotAZeekLogError
from mlids.zeek.reader import LogReader, ReadReport

# Rejected rows of files with known faults, and files that are not Zeek logs.
REJECTED = {
    "rita/has_unknown_field/http.log": 1,  # 29 fields under 30 names
    "rita/truncated/conn.log": 1,  # the last line ends in the middle
    "rita/truncated/conn_json.log": 2,  # a port of 93145, and a last line that ends in the middle
    "slips/test10-mixed-zeek-dir/notice.log": 1,  # 23 fields under 26 names
}
NOT_ZEEK_LOGS = {"rita/text_file/conn.log", "rita/truncated/conn_top.log", "zat/data/top_domains_1k.csv"}


def lines_of(path: Path) -> list[bytes]:
    raw = path.read_bytes()
    if path.name.endswith(".gz"):
        raw = gzip.decompress(raw)
    return [line for line in raw.split(b"\n") if line.strip() and not line.lstrip().startswith(b"#")]


def read(path: Path) -> tuple[pl.DataFrame, ReadReport]:
    reader = LogReader(path)
    frames = [b.frame for b in reader]
    return (pl.concat(frames, how="diagonal_relaxed") if frames else pl.DataFrame()), reader.report


def test_all_conn_baselines_keep_every_row_and_value(real_data: Path) -> None:
    files = sorted((real_data / "zeek-btest").rglob("conn*.log"))
    assert len(files) == 207
    for path in files:
        frame, report = read(path)
        lines = lines_of(path)
        fields = next((ln for ln in path.read_bytes().split(b"\n") if ln.startswith(b"#fields")), None)
        if fields is None:  # zeek-cut output: the first line holds the names
            names, lines = lines[0].decode().split("\t"), lines[1:]
        else:
            names = fields.decode().split("\t")[1:]
        assert (report.rows, report.rejected, report.problems) == (len(lines), 0, []), path
        # Text columns without escapes are compared cell by cell with a split of the line.
        for name in ("uid", "id.orig_h", "id.resp_h", "proto", "conn_state", "history", "service"):
            if name in names and frame.height:
                at = names.index(name)
                cells = [ln.decode().split("\t")[at] for ln in lines]
                wanted = [None if c == "-" else "" if c == "(empty)" else c for c in cells]
                assert [w for w in wanted if w is None or "\\x" not in w] == [
                    g for g, w in zip(frame[name].to_list(), wanted, strict=True) if w is None or "\\x" not in w
                ], (path, name)
        for name in ("orig_bytes", "resp_pkts", "id.resp_p"):
            if name in names and frame.height:
                at = names.index(name)
                cells = [ln.decode().split("\t")[at] for ln in lines]
                assert frame[name].to_list() == [None if c == "-" else int(c) for c in cells], (path, name)


def test_every_other_log_keeps_every_row(real_data: Path) -> None:
    seen = 0
    for folder in ("rita", "slips", "stratosphere", "iot23", "otrf", "saitama", "zat", "zed"):
        for path in sorted((real_data / folder).rglob("*")):
            name = path.relative_to(real_data).as_posix()
            if not path.is_file() or not path.name.endswith((".log", ".log.gz", ".json.gz", ".labeled", ".csv")):
                continue
            if name in NOT_ZEEK_LOGS or path.name.startswith("conn-summary"):
                with pytest.raises(NotAZeekLogError, match="not a Zeek log"):
                    read(path)
                continue
            if path.name == "http.log.corrupt.gz":
                continue
            frame, report = read(path)
            want = len(lines_of(path)) - (path.suffix == ".csv")
            if name == "slips/test10-mixed-zeek-dir/conn.log":
                want = sum(not ln.lstrip().startswith(b"#") for ln in lines_of(path))
            assert report.rejected == REJECTED.get(name, 0), (name, report.take_rejects()[:3])
            assert report.rows == frame.height == want - report.rejected, name
            assert not report.problems, name
            seen += 1
    assert seen > 500


def test_corrupt_gzip_of_zat_keeps_what_zlib_can_read(real_data: Path) -> None:
    path = real_data / "zat/data/http.log.corrupt.gz"
    frame, report = read(path)
    decoder = zlib.decompressobj(wbits=31)
    plain = b""
    for start in range(0, path.stat().st_size, 64):
        try:
            plain += decoder.decompress(path.read_bytes()[start : start + 64])
        except zlib.error:
            break
    readable = [ln for ln in plain.split(b"\n")[:-1] if ln and not ln.startswith(b"#")]
    assert report.problems
    assert frame.height <= len(readable) + 1


def test_tsv_logs_agree_with_zat(real_data: Path) -> None:
    from zat.zeek_log_reader import ZeekLogReader

    checked = 0
    for path in [
        real_data / "zat/data/conn.log",
        real_data / "zat/data/dns.log",
        real_data / "zat/data/http.log",
        real_data / "stratosphere/008-zeek-mixed/data/conn.log.labeled",
        real_data / "slips/test10-mixed-zeek-dir/ssl.log",
    ]:
        ours, _ = read(path)
        assert path.read_bytes().startswith(b"#separator"), "zat does not return for anything else"
        theirs = list(ZeekLogReader(str(path)).readrows())
        assert len(theirs) == ours.height, path
        for name in ("uid", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "proto"):
            if name not in ours.columns:
                continue
            got = [str(v) for v in ours[name].to_list()]
            assert got == [str(r[name]) for r in theirs], (path, name)
        stamps = [round(r["ts"].timestamp(), 3) for r in theirs]
        micros = [round(v / 1e6, 3) for v in ours["ts"].dt.epoch("us").to_list()]
        # zat gives local time on some versions: the differences between rows must agree to the millisecond.
        assert [round(a - stamps[0], 3) for a in stamps] == pytest.approx([round(b - micros[0], 3) for b in micros], abs=2e-3)
        checked += ours.height
    assert checked > 6_000


def test_json_logs_agree_with_pythons_json(real_data: Path) -> None:
    for path in [
        real_data / "otrf/datasets/compound/apt29/day1/zeek/individual_zeek_logs/NASHUA_conn.log",
        real_data / "saitama/data/zeek/conn.log",
        real_data / "rita/json_with_all_fields/conn.log",
        real_data / "zat/data/json/conn.log",
    ]:
        ours, _ = read(path)
        theirs = [json.loads(ln) for ln in lines_of(path)]
        for ours_row, row in zip(ours.rows(named=True), theirs, strict=True):
            assert ours_row["uid"] == row["uid"]
            assert ours_row["id.orig_h"] == row.get("id.orig_h", row.get("id_orig_h"))
            assert ours_row.get("orig_bytes") == row.get("orig_bytes")
            if isinstance(row["ts"], float):
                assert ours_row["ts"].timestamp() == pytest.approx(row["ts"], abs=1e-6)


def test_dns_and_ssl_are_the_same_in_tsv_and_json(real_data: Path) -> None:
    for log in ("dns", "ssl", "ssh"):
        tsv, _ = read(real_data / f"zed/{log}.log.gz")
        as_json, _ = read(real_data / f"zed/{log}.json.gz")
        assert tsv.height == as_json.height > 0
        key = ["uid", "id.orig_h", "id.resp_h", "id.resp_p"]
        assert tsv.select(key).sort(key).equals(as_json.select(key).sort(key)), log


def test_labels_of_iot23(real_data: Path) -> None:
    tsv = real_data / "iot23/CTU-IoT-Malware-Capture-34-1.conn.log.labeled"
    frame, _ = read(tsv)
    words = Counter(ln.decode().split("   ")[1] for ln in lines_of(tsv))
    assert Counter(frame["label"].to_list()) == words
    comma = real_data / "iot23/CTU-Honeypot-Capture-5-1-labeled.csv"
    frame, _ = read(comma)
    with comma.open(newline="") as held:
        wanted = Counter(r["label"] for r in csv.DictReader(held))
    assert Counter(frame["label"].to_list()) == wanted


def test_relative_times_and_odd_dates(real_data: Path) -> None:
    frame, _ = read(real_data / "stratosphere/001-zeek-scenario-malicious/conn.log")
    assert frame["ts"].dt.year().unique().to_list() == [1970]
    frame, report = read(real_data / "zat/data/conn_date_issue.log")
    assert report.rejected == 0 and frame.height == len(lines_of(real_data / "zat/data/conn_date_issue.log"))
