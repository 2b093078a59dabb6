"""The reader as a whole: formats, blocks, log types, files of a folder."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from mlids.errors import InputError, NotAZeekLogError, SourceError
from mlids.zeek.reader import LogReader, find_logs
from tests.conftest import CONN_HEADER, conn_line
from tests.zeek.conftest import read_log


def test_several_log_types_in_one_json_stream() -> None:
    text = (
        '{"_path":"conn","ts":1.5,"uid":"C1","id.orig_h":"10.0.0.1","conn_state":"SF"}\n{"_path":"dns","ts":1.6,"uid":"C1","query":"a"}\n'
    )
    assert sorted(b.log for b in LogReader(io.BytesIO(text.encode()), "combined.log")) == ["conn", "dns"]


def test_a_header_is_found_after_many_values_with_hashes() -> None:
    rows = "".join(conn_line(f"C#{n}", service="#a#b#") for n in range(1_000))
    short = CONN_HEADER.replace("\ttunnel_parents", "").replace("\tset[string]", "")
    frame, report = read_log(CONN_HEADER + rows + short + conn_line("CLast").rpartition("\t")[0] + "\n")
    assert frame.height == 1_001 and report.rejected == 0 and frame["uid"][-1] == "CLast" and frame["service"][0] == "#a#b#"


@pytest.mark.parametrize("size", [300, 1_000, 5_000, 1 << 20])
def test_the_block_size_does_not_change_the_result(size: int) -> None:
    text = CONN_HEADER + "".join(conn_line(f"C{n}", ts=f"{n}.000001") for n in range(500)) + "bad row\n" + CONN_HEADER + conn_line("CEnd")
    frame, report = read_log(text, block_bytes=size)
    assert frame["uid"].to_list() == [*(f"C{n}" for n in range(500)), "CEnd"]
    assert [r.line for r in report.rejects] == [509]
    assert frame["line"].to_list() == [*range(9, 509), 518]


@pytest.mark.parametrize("text", ["Lorem ipsum dolor sit amet\n", "\x00\x01\x02" * 100, "<html></html>", "a,b,c\n1,2,3\n"])
def test_a_file_that_is_not_a_zeek_log_is_named(text: str) -> None:
    with pytest.raises(NotAZeekLogError, match=r"conn\.log line 1: not a Zeek log"):
        read_log(text)


@pytest.mark.parametrize("text", ["", "\n\n", CONN_HEADER, CONN_HEADER + "#close\t2024-04-19-01-00-00\n"])
def test_an_empty_log_is_no_error(text: str) -> None:
    frame, report = read_log(text)
    assert frame.height == 0 and (report.rows, report.rejected) == (0, 0)


def test_find_logs_omits_conn_summary_and_stats(tmp_path: Path) -> None:
    day = tmp_path / "2024-04-19"
    day.mkdir()
    for name in ("conn.00:00:00-01:00:00.log.gz", "conn-summary.00:00:00-01:00:00.log.gz", "dns.log", "readme.txt"):
        (day / name).touch()
    (tmp_path / "stats").mkdir()
    (tmp_path / "stats" / "conn.log").touch()
    assert [p.name for p in find_logs(tmp_path)] == ["conn.00:00:00-01:00:00.log.gz", "dns.log"]
    with pytest.raises(InputError, match="no such file"):
        find_logs(tmp_path / "nowhere")


def test_a_reader_continues_with_the_format_of_another() -> None:
    first = LogReader(io.BytesIO(), "conn.log")
    assert first.form() == {}
    first.skim(CONN_HEADER[:100].encode())
    first.skim(CONN_HEADER[100:].encode() + conn_line("CSkipped").encode())
    second = LogReader(io.BytesIO(), "conn.log")
    second.restore_form(json.loads(json.dumps(first.form())))
    assert [b.frame["uid"].to_list() for b in second.feed(conn_line("CNext").encode())] == [["CNext"]]
    third = LogReader(io.BytesIO(), "conn.log")
    third.restore_form({"json": True})
    assert next(third.feed(b'{"ts":1.5,"uid":"CJson","id.orig_h":"10.0.0.1"}\n')).frame["uid"].to_list() == ["CJson"]


def test_lines_are_numbered_on_from_feed_to_feed() -> None:
    reader = LogReader(io.BytesIO(), "conn.log")
    batches = [b for part in (CONN_HEADER, conn_line("C1"), "bad\n" + conn_line("C2")) for b in reader.feed(part.encode())]
    assert [b.frame["line"].to_list() for b in batches] == [[9], [11]] and reader.report.take_rejects()[0].line == 10
    assert reader.report.take_rejects() == [] and reader.report.rejected == 1


def test_a_batch_is_of_a_type_also_under_its_other_names() -> None:
    reader = LogReader(io.BytesIO((CONN_HEADER.replace("#path\tconn", "#path\topen_conn") + conn_line()).encode()), "x.log")
    batch = next(iter(reader))
    assert batch.log == "open_conn" and batch.is_type("conn") and not batch.is_type("dns")


def test_a_file_that_cannot_be_opened_is_a_source_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be read"):
        list(LogReader(tmp_path))
