"""Every form of a Zeek log, in small files named for their trouble."""

from __future__ import annotations

import gzip
import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import zstandard

from mlids.errors import InputError, NotAZeekLogError
from mlids.zeek.jsonl import JsonParser
from mlids.zeek.log_types import log_type_of
from mlids.zeek.reader import LogReader, ReadReport, find_logs
from tests.conftest import CONN_HEADER, conn_line


def read(data: bytes | str, name: str = "conn.log", **options: Any) -> tuple[pl.DataFrame, ReadReport]:
    reader = LogReader(io.BytesIO(data.encode() if isinstance(data, str) else data), name, **options)
    frames = [b.frame for b in reader]
    return (pl.concat(frames, how="diagonal_relaxed") if frames else pl.DataFrame()), reader.report


def test_values_have_zeeks_types() -> None:
    frame, report = read(CONN_HEADER + conn_line(tunnel_parents="CAbc,CDef"))
    row = frame.row(0, named=True)
    assert row["ts"] == datetime(2024, 4, 19, 0, 0, 0, 1, tzinfo=UTC)
    assert (row["id.orig_p"], row["duration"], row["local_orig"], row["tunnel_parents"]) == (50000, 1.5, True, ["CAbc", "CDef"])
    assert (report.rows, report.rejected, report.problems) == (1, 0, [])


def test_unset_and_empty_are_two_facts() -> None:
    frame, _ = read(
        CONN_HEADER
        + conn_line(service="-", duration="-", orig_bytes="-", resp_bytes="-", history="(empty)", tunnel_parents="(empty)")
        + conn_line(tunnel_parents="-", local_orig="-")
    )
    first, second = frame.rows(named=True)
    assert (first["service"], first["duration"], first["orig_bytes"]) == (None, None, None)
    assert (first["history"], first["tunnel_parents"]) == ("", [])
    assert (second["tunnel_parents"], second["local_orig"]) == (None, None)


@pytest.mark.parametrize("stamp", ["0.000001", "1.000001", "1331901000.123457", "2147483648.999999", "9999999999.123457", "-1.500000"])
@pytest.mark.parametrize("form", ["tsv", "json"])
def test_ts_is_exact_to_the_microsecond(stamp: str, form: str) -> None:
    text = CONN_HEADER + conn_line(ts=stamp) if form == "tsv" else '{"ts":%s,"uid":"C1","id.orig_h":"10.0.0.1","conn_state":"SF"}\n' % stamp
    frame, report = read(text)
    assert report.rejected == 0
    whole, part = stamp.lstrip("-").split(".")
    wanted = int(whole) * 1_000_000 + int(part)
    assert frame["ts"].dt.epoch("us")[0] == (-wanted if stamp.startswith("-") else wanted)


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        ("1713484800123", 1713484800123000),
        ('"2024-04-19T00:00:00.000001Z"', 1713484800000001),
        ('"2024-04-19T02:00:00+02:00"', 1713484800000000),
    ],
)
def test_json_times_of_zeeks_other_settings(written: str, wanted: int) -> None:
    frame, report = read('{"ts":%s,"uid":"C1","id.orig_h":"10.0.0.1","conn_state":"SF"}\n' % written)
    assert report.rejected == 0 and frame["ts"].dt.epoch("us")[0] == wanted


def test_short_long_and_wrong_rows_are_refused_with_line_and_reason() -> None:
    good = conn_line()
    text = CONN_HEADER + good + "1713484800.1\tC2\t10.0.0.1\n" + good + conn_line(id__orig_p="x") + good.rstrip("\n") + "\textra\n" + good
    frame, report = read(text)
    assert frame.height == 3
    assert [(r.line, r.reason) for r in report.rejects] == [
        (10, "3 fields, header names 21; is the file still being written?"),
        (12, "id.orig_p: 'x' is not a port"),
        (13, "22 fields, header names 21"),
    ]
    assert frame["line"].to_list() == [9, 11, 14]


@pytest.mark.parametrize(
    "cells",
    [
        {"duration": "nan"}, {"duration": "inf"}, {"orig_bytes": "-5"}, {"orig_bytes": "99999999999999999999"}, {"id__resp_p": "70000"},
        {"local_orig": "maybe"}, {"ts": "yesterday"}, {"ts": "1e300"}, {"ts": "1e999999999"}, {"id__orig_p": "1e400999999999999999999999"}, {"orig_pkts": "1.5"}, {"orig_bytes": "1e999999999"},
    ],
)  # fmt: skip
def test_a_cell_that_does_not_fit_refuses_its_row_only(cells: dict[str, str]) -> None:
    frame, report = read(CONN_HEADER + conn_line("CGood1") + conn_line("CBad", **cells) + conn_line("CGood2"))
    assert frame["uid"].to_list() == ["CGood1", "CGood2"] and report.rejected == 1


def test_values_full_of_hashes_hide_no_header() -> None:
    rows = "".join(conn_line(f"C#{n}", service="#a#b#") for n in range(1_000))
    short = CONN_HEADER.replace("\ttunnel_parents", "").replace("\tset[string]", "")
    frame, report = read(CONN_HEADER + rows + short + conn_line("CLast").rpartition("\t")[0] + "\n")
    assert frame.height == 1_001 and report.rejected == 0 and frame["uid"][-1] == "CLast" and frame["service"][0] == "#a#b#"


def test_largest_count_is_kept() -> None:
    frame, _ = read(CONN_HEADER + conn_line(orig_bytes="18446744073709551615"))
    assert frame["orig_bytes"][0] == 2**64 - 1


def test_a_new_header_in_the_middle_never_shifts_a_column() -> None:
    other = CONN_HEADER.replace("\tservice\tduration", "\tduration\tservice").replace(
        "\tenum\tstring\tinterval", "\tenum\tinterval\tstring"
    )
    swapped = conn_line("CSwapped").split("\t")
    swapped[7], swapped[8] = swapped[8], swapped[7]
    frame, report = read(CONN_HEADER + conn_line("CFirst") + "#close\t2024-04-19-01-00-00\n" + other + "\t".join(swapped))
    assert frame["service"].to_list() == ["ssl", "ssl"] and frame["duration"].to_list() == [1.5, 1.5]
    assert report.rejected == 0


def test_a_column_added_in_the_middle() -> None:
    wider = CONN_HEADER.replace("tunnel_parents\n", "tunnel_parents\tip_proto\n").replace("set[string]\n", "set[string]\tcount\n")
    frame, _ = read(CONN_HEADER + conn_line() + wider + conn_line().rstrip("\n") + "\t6\n")
    assert frame["ip_proto"].to_list() == [None, 6]


def test_a_hash_inside_and_at_the_start_of_a_value() -> None:
    header = "#separator \\x09\n#unset_field\t-\n#path\thttp\n#fields\turi\tuid\n#types\tstring\tstring\n"
    frame, report = read(header + "/a#b\tC1\n\\x23c\tC2\n", "http.log")
    assert frame["uri"].to_list() == ["/a#b", "#c"] and report.rejected == 0


def test_escapes_are_undone_after_unset() -> None:
    frame, _ = read(
        CONN_HEADER + conn_line(service="a\\x09b") + conn_line(service="\\x2d") + conn_line(service="\\xff") + conn_line(service="-")
    )
    assert frame["service"].to_list() == ["a\tb", "-", "\\xff", None]


def test_quotes_are_letters() -> None:
    frame, _ = read(CONN_HEADER + conn_line(service='"ssl') + conn_line(service='x"y"'))
    assert frame["service"].to_list() == ['"ssl', 'x"y"']


def test_other_separators() -> None:
    text = "#separator |\n#set_separator|;\n#empty_field|EMPTY\n#unset_field|*\n#path|ssh\n#fields|ts|uid|tags\n#types|time|string|set[string]\n1.5|C1|a;b\n2.5|*|EMPTY\n"
    frame, _ = read(text, "ssh.log")
    assert frame["tags"].to_list() == [["a", "b"], []] and frame["uid"].to_list() == ["C1", None]


def test_iot23_three_names_in_one_cell() -> None:
    header = CONN_HEADER.replace("tunnel_parents\n", "tunnel_parents   label   detailed-label\n").replace(
        "set[string]\n", "set[string]   string   string\n"
    )
    frame, report = read(header + conn_line(tunnel_parents="(empty)   Malicious   C&C") + conn_line(tunnel_parents="-   Benign   -"))
    assert frame.select("tunnel_parents", "label", "detailed-label").rows() == [([], "Malicious", "C&C"), (None, "Benign", None)]
    assert report.rejected == 0


def test_names_of_csv_re_exports_and_zeek_cut() -> None:
    piped, _ = read("ts|uid|id.orig_h|conn_state|label\n1.5|C1|10.0.0.1|SF|Benign\n", "conn.log.labeled.csv")
    comma, _ = read('ts,uid,id.orig_h,conn_state,label\n1.5,C1,10.0.0.1,SF,"Malicious, sort of"\n2.5,C2,,,\n', "conn.csv")
    cut, _ = read("uid\tservice\thistory\nC1\t-\tShADadFf\n")
    assert piped["label"].to_list() == ["Benign"]
    assert comma["label"].to_list() == ["Malicious, sort of", None]
    assert cut.select("uid", "service", "history").rows() == [("C1", None, "ShADadFf")]


def test_last_line_without_a_newline() -> None:
    whole, report = read(CONN_HEADER + conn_line("C1") + conn_line("C2").rstrip("\n"))
    assert whole["uid"].to_list() == ["C1", "C2"] and report.rejected == 0
    half, report = read(CONN_HEADER + conn_line("C1") + conn_line("C2")[:40])
    assert half["uid"].to_list() == ["C1"] and report.rejects[0].line == 10


def test_windows_line_ends_and_byte_order_mark() -> None:
    frame, report = read(("\ufeff" + CONN_HEADER + conn_line()).replace("\n", "\r\n"))
    assert frame.height == 1 and frame["tunnel_parents"][0] is None and report.rejected == 0


def test_json_with_either_spelling_nested_and_null() -> None:
    lines = [
        {"ts": 1.5, "uid": "C1", "id.orig_h": "10.0.0.1", "id.orig_p": 1, "conn_state": "SF"},
        {"ts": 2.5, "uid": "C2", "id_orig_h": "10.0.0.2", "id_orig_p": 2, "conn_state": None},
        {"ts": 3.5, "uid": "C3", "id": {"orig_h": "10.0.0.3", "orig_p": 3}, "new": "later"},
    ]
    frame, report = read("".join(json.dumps(line) + "\n" for line in lines))
    assert frame["id.orig_h"].to_list() == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    assert frame["conn_state"].to_list() == ["SF", None, None] and frame["new"].to_list() == [None, None, "later"]
    assert report.rejected == 0


def test_a_json_key_that_appears_late_is_not_lost() -> None:
    rows = [f'{{"ts":{n}.5,"uid":"C{n}","id.orig_h":"10.0.0.1","conn_state":"SF"}}' for n in range(3_000)]
    rows.append('{"ts":9.5,"uid":"CLast","id.orig_h":"10.0.0.1","vlan":7}')
    frame, _ = read("\n".join(rows) + "\n")
    assert frame["vlan"].drop_nulls().to_list() == [7]


def test_json_value_that_looks_like_keys() -> None:
    row = {"ts": 1.5, "uid": "C1", "id.orig_h": "10.0.0.1", "service": 'a":"b","c":', "conn_state": "SF"}
    frame, _ = read(json.dumps(row, separators=(",", ":")) + "\n")
    assert frame["service"][0] == row["service"]


def test_bad_json_lines_do_not_stop_the_rest() -> None:
    good = '{"ts":1.5,"uid":"C1","id.orig_h":"10.0.0.1","conn_state":"SF"}\n'
    frame, report = read(good + "{nonsense\n" + good + "[1,2]\n" + '{"ts":NaN,"uid":"C"}\n' + "{" * 3_000 + "\n" + good)
    assert frame.height == 3 and report.rejected == 4 and [r.line for r in report.rejects] == [2, 4, 5, 6]


def test_half_a_surrogate_pair_is_no_crash() -> None:
    good = '{"ts":1.5,"uid":"C1","id.orig_h":"10.0.0.1","conn_state":"SF"}\n'
    _, report = read(good + '{"uid":"\\ud800","id.orig_h":"10.0.0.1"}\n{nonsense\n')
    assert report.rows + report.rejected == 3


@pytest.mark.parametrize("cell", ['"ts":1e999999999999999999999', '"ts":9' + "9" * 500 + ".5"])
def test_absurd_json_values_refuse_their_row_only(cell: str) -> None:
    good = '{"ts":1.5,"uid":"C1","id.orig_h":"10.0.0.1","conn_state":"SF"}\n'
    frame, report = read(good + "{" + cell + ',"id.orig_h":"10.0.0.1"}\n' + good)
    assert frame.height == 2 and report.rejected == 1


def test_a_number_too_large_for_a_column_of_numbers_becomes_text() -> None:
    good = '{"ts":1.5,"uid":"C1","id.orig_h":"10.0.0.1","conn_state":"SF","extra":7}\n'
    frame, _ = read(good + good.replace("7", "9" * 30) + "{nonsense\n")
    assert frame["extra"].to_list() == ["7", "9" * 30]


def test_several_logs_in_one_json_stream() -> None:
    text = (
        '{"_path":"conn","ts":1.5,"uid":"C1","id.orig_h":"10.0.0.1","conn_state":"SF"}\n{"_path":"dns","ts":1.6,"uid":"C1","query":"a"}\n'
    )
    assert sorted(b.log for b in LogReader(io.BytesIO(text.encode()), "combined.log")) == ["conn", "dns"]


def test_compressed_forms(tmp_path: Path) -> None:
    plain = (CONN_HEADER + conn_line()).encode()
    for name, data in (
        ("a.log.gz", gzip.compress(plain)),
        ("b.log.zst", zstandard.compress(plain)),
        ("c.log.gz", gzip.compress(plain[:900]) + gzip.compress(plain[900:])),
    ):
        (tmp_path / name).write_bytes(data)
        reader = LogReader(tmp_path / name)
        assert sum(b.frame.height for b in reader) == 1 and not reader.report.problems


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_truncated_archive_keeps_what_was_readable(pack: object) -> None:
    plain = (
        CONN_HEADER
        + "".join(
            conn_line(f"C{n:06d}", ts=f"{1713484800 + n * 7919 % 10_007}.{n * 7907 % 1_000_000:06d}", orig_bytes=str(n * n))
            for n in range(40_000)
        )
    ).encode()
    data = pack(plain)  # type: ignore[operator]
    frame, report = read(data[: len(data) * 2 // 3])
    assert 10_000 < frame.height < 40_000
    assert frame["uid"].to_list() == [f"C{n:06d}" for n in range(frame.height)]
    assert "truncated" in report.problems[0].reason and "compressed" in report.problems[0].reason


def test_corrupt_gzip_says_where_it_broke() -> None:
    data = bytearray(gzip.compress((CONN_HEADER + conn_line() * 50_000).encode()))
    data[len(data) // 2] ^= 0xFF
    data[len(data) // 2 + 1] ^= 0xFF
    _, report = read(bytes(data))
    assert report.problems


def test_a_bomb_stops_at_the_ratio(monkeypatch: pytest.MonkeyPatch) -> None:
    from mlids.zeek import bytestream

    monkeypatch.setattr(bytestream, "_RATIO_FLOOR_BYTES", 1 << 20)
    stream = bytestream.ByteStream(io.BytesIO(gzip.compress(b"\n" * (64 << 20))), "bomb.gz", max_ratio=100)
    assert sum(len(p) for p in stream) < 20 << 20
    assert stream.problem is not None and "bomb" in stream.problem.reason


def test_an_endless_line_is_skipped_in_bounded_memory() -> None:
    text = CONN_HEADER + conn_line("C1") + "x" * (9 << 20) + "\n" + conn_line("C2")
    frame, report = read(text, block_bytes=1 << 20)
    assert frame["uid"].to_list() == ["C1", "C2"] and report.rejected == 1
    assert "1 MiB" in report.rejects[0].reason


@pytest.mark.parametrize("size", [300, 1_000, 5_000, 1 << 20])
def test_blocks_change_nothing(size: int) -> None:
    text = CONN_HEADER + "".join(conn_line(f"C{n}", ts=f"{n}.000001") for n in range(500)) + "bad row\n" + CONN_HEADER + conn_line("CEnd")
    frame, report = read(text, block_bytes=size)
    assert frame["uid"].to_list() == [*(f"C{n}" for n in range(500)), "CEnd"]
    assert [r.line for r in report.rejects] == [509]
    assert frame["line"].to_list() == [*range(9, 509), 518]


@pytest.mark.parametrize("text", ["Lorem ipsum dolor sit amet\n", "\x00\x01\x02" * 100, "<html></html>", "a,b,c\n1,2,3\n"])
def test_what_is_no_zeek_log_is_named(text: str) -> None:
    with pytest.raises(NotAZeekLogError, match=r"conn\.log line 1: not a Zeek log"):
        read(text)


def test_rows_without_a_header_say_what_to_do() -> None:
    with pytest.raises(NotAZeekLogError, match="header"):
        read("#separator \\x09\n" + conn_line())


@pytest.mark.parametrize("text", ["", "\n\n", CONN_HEADER, CONN_HEADER + "#close\t2024-04-19-01-00-00\n"])
def test_nothing_in_it_is_no_error(text: str) -> None:
    frame, report = read(text)
    assert frame.height == 0 and (report.rows, report.rejected) == (0, 0)


def test_conn_summary_is_no_conn(tmp_path: Path) -> None:
    day = tmp_path / "2024-04-19"
    day.mkdir()
    for name in ("conn.00:00:00-01:00:00.log.gz", "conn-summary.00:00:00-01:00:00.log.gz", "dns.log", "readme.txt"):
        (day / name).touch()
    (tmp_path / "stats").mkdir()
    (tmp_path / "stats" / "conn.log").touch()
    assert [p.name for p in find_logs(tmp_path)] == ["conn.00:00:00-01:00:00.log.gz", "dns.log"]
    with pytest.raises(InputError, match="no such file"):
        find_logs(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "log"),
    [
        ("conn.log", "conn"), ("conn.00:00:00-01:00:00.log.gz", "conn"), ("conn-summary.00:00:00-01:00:00.log.gz", "conn-summary"),
        ("SCRANTON_conn.log", "conn"), ("labeled-conn.log", "conn"), ("conn.log.labeled", "conn"), ("open_conn.log", "open_conn"),
        ("NASHUA_smb_files.log", "smb_files"), ("CTU-IoT-Malware-Capture-20-1conn.log.labeled.csv", "conn"), ("combined_zeek.log", None),
    ],
)  # fmt: skip
def test_log_type_from_the_name(name: str, log: str | None) -> None:
    assert log_type_of(name) == log


def test_json_values_that_begin_with_a_colon_keep_to_the_fast_way() -> None:
    """The unspecified address is in every log with IPv6; read line by line, a day took twenty times as long."""
    rows = [
        '{"ts":1793750400.005672,"uid":"C1","id.orig_h":"::","id.resp_h":"ff02::16","query":"a\\":b"}',
        '{"ts":1793750401.5,"uid":"C2","id.orig_h":"fe80::1","id.resp_h":"::1","answers":["::2","x",":"]}',
        '{"ts":1793750402.5,"uid": "C3", "id.orig_h": "::3"}',
    ]
    data = "\n".join(rows).encode() + b"\n"
    fast = JsonParser()._fast(data)
    assert fast is not None
    assert fast["id.orig_h"].to_list() == ["::", "fe80::1", "::3"] and fast["answers"].to_list() == [None, ["::2", "x", ":"], None]
    assert fast["query"].to_list() == ['a":b', None, None]
    # A cell that got lost is still seen: a port that is none.
    assert JsonParser()._fast(data.replace(b'"id.resp_h":"::1"', b'"id.resp_p":"no"')) is None
