"""A property of the reader, for any bytes: every line is a row, a reject, or one that holds no row; nothing but mlids' own errors is raised.

`make test` draws the same examples each time; `make test-hostile` draws many more, new ones each time.
"""

from __future__ import annotations

import gzip
import io
import re
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mlids.errors import MlidsError, NotAZeekLogError
from mlids.zeek.bytestream import Block
from mlids.zeek.lines import is_directive
from mlids.zeek.reader import LogReader
from tests.conftest import CONN_HEADER, conn_line

SHORT = settings(max_examples=300, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
LONG = settings(max_examples=20_000, database=None, deadline=None, suppress_health_check=list(HealthCheck))

ROW = conn_line().encode()
ODD_CELLS = [
    b"-", b"(empty)", b"", b" ", b"T", b"F", b"0", b"-1", b"1e999", b"nan", b"inf", b"\\x09", b"\\x", b"\\xff", b"\xff\xfe", b"\xc3\xa9", b"#", b'"',
    b"1713484800.000001", b"253402300799", b"XXXXXXXXXX.XXXXXX", b"1,2,3", b",,", b"2024-04-19T00:00:00Z", b"65536", b"9" * 40, b"a\rb", b"\0", b"  x  y",
    b"0x10", b"1_000", b"\xd9\xa3", b"+5", b".5", b"5.", b"\x1c", b"\x85", b"\xe2\x80\xa8",
]  # fmt: skip
ODD_LINES = [
    b"", b" ", b"\r", b"\t\t\t", b"\x0b\x0c", b"# a comment", b"#", b"#fieldset", b" #fields\tts", b"#close\t2024-04-19", b"#path\tdns", b"#open\t1",
    b"#separator \\x09", b"#separator ,", b"#separator \\x0a", b"#separator \\xc3\\xa9", b"#separator ||", b"#separator", b"#set_separator\t", b"#set_separator\t;",
    b"#empty_field\t", b"#unset_field\t", b"#unset_field\tT", b"#fields\tts\tuid", b"#types\ttime\tstring", b"#types\ttime", b"#fields", b"#types", b"#fields\t",
    b"#fields\tts\tts\tts", b"#fields\tts\tts\tts_2", b"#fields\tid_orig_h\tid.orig_h", b"#fields\tline\tfile", b"#fields\ta\tb", b"#types\tset[string]\tvector[count]", b"#types\tport\tbool", b"#types\tint\tdouble",
    b"ts\tuid\tid.orig_h", b"ts,uid,id.orig_h", b'"ts","uid","id.orig_h"', b"1.5\tC1", b"1.5,C1,10.0.0.1", b'1.5,"C1', b"x", b"{", b"}", b"{}", b"[]", b"null", b"1", b'"a"',
    b'{"ts":1.5,"uid":"C1"}', b'{"ts":1.5,"uid":null}', b'{"ts":"x"}', b'{"uid":5}', b'{"id":{"orig_h":"1.2.3.4"}}', b'{"id_orig_h":"a","id.orig_h":"b"}', b'{"id":5,"id.orig_h":"a"}', b'{"a":{"b":[1,{"c":2}]}}',
    b'{"ts":1e999}', b'{"ts":NaN}', b'{"x":9223372036854775808}', b'{"x":1}', b'{"x":"1"}', b'{"x":[1,"a"]}', b'{"x":[]}', b'{"x":{}}', b'{"x":true}', b'{"":1}', b'{"a":1,"a":2}',
    b'{"uid":"\\ud800"}', b'{"uid":"a\xff"}', b'{"uid":"a":"b"}', b'{"ts":1.5}{"ts":2}', b'{"ts":1.5},', b'{"ts":1.5', b' {"ts":1.5} ', b'{"ts":1.5}\r', b'{"line":7}', b'{"_path":"dns"}',
    b'{"_path":5}', b'{"_path":null}', b'{"_path":["a"]}', b'{"id.orig_p":70000}', b'{"id.orig_p":"80/tcp"}', b'{"tunnel_parents":"x"}', b'{"tunnel_parents":[1,null,"a"]}', b'{"proto":1.5}', b"\xef\xbb\xbf{}",
    ROW.rstrip(), ROW.rstrip() + b"\tx", ROW[:40], CONN_HEADER.encode().rstrip(),
]  # fmt: skip

cells = st.sampled_from(ODD_CELLS) | st.binary(max_size=6)
rows = st.tuples(st.integers(0, 20), cells).map(
    lambda drawn: b"\t".join([*ROW.rstrip().split(b"\t")[: drawn[0]], drawn[1], *ROW.rstrip().split(b"\t")[drawn[0] + 1 :]])
)
lines = st.sampled_from(ODD_LINES) | rows | st.binary(max_size=30) | st.just(ROW.rstrip())
heads = st.sampled_from(
    [b"", CONN_HEADER.encode(), b'{"ts":1.5,"uid":"C1"}\n', b"ts,uid,id.orig_h\n", b"ts\tuid\tid.orig_h\n", b"\xef\xbb\xbf"]
)
ends = st.sampled_from([b"\n", b"", b"\r\n", b"\n\n"])


@dataclass(frozen=True)
class Read:
    """Counts of a reader: rows, rejects, the lines of both, and the error that ended it."""

    rows: int
    rejected: int
    numbers: list[int]
    error: MlidsError | None


def read(source: io.BytesIO, block_bytes: int) -> Read:
    reader, numbers, error = LogReader(source, "conn.log", block_bytes=block_bytes), [], None
    try:
        for batch in reader:
            assert batch.frame.height
            numbers += batch.frame["line"].to_list()
    except MlidsError as fault:
        error = fault
    assert reader.report.rejected == len(reader.report.rejects)
    rejected = [r.line for r in reader.report.rejects]
    assert reader.report.rows == len(numbers)
    return Read(len(numbers), len(rejected), numbers + rejected, error)


def lines_without_a_row(data: bytes, form: dict[str, object]) -> set[int]:
    """Return the numbers of blank lines, comments, directives and the line of column names, as docs/ describe them."""
    out, has_names = set(), False
    begun = False
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        text = line.strip()
        if not text:
            out.add(number)
        elif not begun and text.startswith(b"#"):
            out.add(number)
            begun = is_directive(text)
        elif not begun:
            begun = True
            has_names = not text.startswith(b"{")
            if has_names:
                out.add(number)
        elif line.startswith(b"#") and not form.get("json"):
            out.add(number)
    return out


def check(data: bytes, block_bytes: int, packed: bytes | None = None) -> None:
    """Read the bytes, and compare the lines accounted for with those there are."""
    found = read(io.BytesIO(data if packed is None else packed), block_bytes)
    assert len(set(found.numbers)) == len(found.numbers), "a line is counted once"
    if found.error is not None:
        assert isinstance(found.error, NotAZeekLogError) and re.search(r"line \d+|columns", str(found.error)), found.error
        return
    there = set(range(1, len(data.split(b"\n")) + 1))
    form = _form_of(data)
    assert set(found.numbers) == there - lines_without_a_row(data, form), (data, found)


def _form_of(data: bytes) -> dict[str, object]:
    reader = LogReader(io.BytesIO(data), "conn.log")
    try:
        for _ in reader:
            pass
    except MlidsError:
        pass
    return reader.form()


def as_log(head: bytes, body: list[bytes], end: bytes) -> bytes:
    return head + b"\n".join(body) + (end if body else b"")


def cut(data: bytes, at: int) -> bytes:
    """Return two gzip members that end and begin within a line."""
    at = at % (len(data) + 1)
    return gzip.compress(data[:at], 1) + gzip.compress(data[at:], 1)


def every_line_is_accounted_for(head: bytes, body: list[bytes], end: bytes, block_bytes: int, at: int) -> None:
    data = as_log(head, body, end)
    if data[:2] == b"\x1f\x8b" or data[:4] == b"\x28\xb5\x2f\xfd":
        return  # compressed: the bytes that remain are drawn as such
    check(data, block_bytes)
    if data:
        check(data, block_bytes, cut(data, at))
    follow(data, at)


def follow(data: bytes, at: int) -> None:
    """Feed whole lines in two pieces, as a follower does: the same lines are accounted for."""
    at = data.find(b"\n", at % (len(data) + 1)) + 1
    whole = data.rfind(b"\n") + 1
    once, twice = LogReader(io.BytesIO(), "conn.log"), LogReader(io.BytesIO(), "conn.log")
    results = []
    for reader, pieces in ((once, [data[:whole]]), (twice, [data[: min(at, whole)], data[min(at, whole) : whole]])):
        error = None
        try:
            for piece in pieces:
                for _ in reader.feed(piece):
                    pass
        except MlidsError as fault:
            error = str(fault)
        results.append((error, reader.report.rows, reader.report.rejected))
    if results[0][0] is None or results[1][0] is None:
        assert results[0] == results[1], data


drawn = given(heads, st.lists(lines, max_size=12), ends, st.sampled_from([1, 7, 64, 1 << 20]), st.integers(0, 4_000))


@SHORT
@drawn
@example(b"", [], b"", 1, 0)
@example(b"ts\tuid\tid.orig_h\n", [b"\x1f\x8b"], b"\r\n", 1, 0)
@example(b"ts\tuid\tid.orig_h\n", [b"x^\x01\ty\tz", b"\x28\xb5\x2f\xfd"], b"\n", 1, 0)
@example(b"", [b'{"_path":["a"]}', b""], b"\n", 1, 0)
@example(b"", [b'{"uid":"\\ud800"}'], b"\n\n", 1, 0)
@example(b"", [b'{"uid":"\\udc00\\ud83d"}', b'{"uid":"\\ud83d\\ude00"}'], b"\n\n", 1, 0)
@example(CONN_HEADER.encode(), [b"", b" " + ROW.rstrip(), ROW.rstrip().replace(b"\t50000\t", b"\t \t")], b"\n", 1, 461)
@example(b"", [b"", b"\xef\xbb\xbf{}"], b"\n", 1, 0)
@example(b"", [b"#fields\tts\tts\tts_2", b"1\tx"], b"\n", 1, 0)
@example(CONN_HEADER.encode(), [b"#separator \\x0a", b"#fields\tts\tuid", b"1.5\tC1"], b"\n", 1, 0)
def test_every_line_is_a_row_a_reject_or_holds_none(head: bytes, body: list[bytes], end: bytes, block_bytes: int, at: int) -> None:
    every_line_is_accounted_for(head, body, end, block_bytes, at)


@pytest.mark.long
@LONG
@drawn
def test_every_line_is_a_row_a_reject_or_holds_none_for_many_examples(
    head: bytes, body: list[bytes], end: bytes, block_bytes: int, at: int
) -> None:
    every_line_is_accounted_for(head, body, end, block_bytes, at)


@SHORT
@given(st.binary(max_size=2_000), st.sampled_from([b"", b"\x1f\x8b", b"\x1f\x8b\x08\0", b"\x28\xb5\x2f\xfd", gzip.compress(ROW)[:30]]))
def test_any_bytes_end_in_rows_rejects_problems_or_an_error_of_mlids(data: bytes, magic: bytes) -> None:
    read(io.BytesIO(magic + data), 64)


@SHORT
@given(st.lists(lines, max_size=12), st.integers(0, 4_000), st.integers(0, 255))
def test_damaged_gzip_ends_in_a_problem_and_keeps_the_rows_before(body: list[bytes], at: int, value: int) -> None:
    packed = bytearray(gzip.compress(CONN_HEADER.encode() + b"\n".join(body) + b"\n", 1))
    packed[at % len(packed)] = value
    read(io.BytesIO(bytes(packed)), 64)


def test_a_block_knows_whether_its_last_line_is_complete() -> None:
    assert Block(b"x", 1, 1, complete=False).lines == 1
