"""Rows of Zeek tables: types, unset and empty, escapes, rejected rows."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mlids.zeek.header import Header, apply_directive
from mlids.zeek.tsv import parse_table
from tests.conftest import CONN_HEADER, conn_line
from tests.zeek.conftest import read_log


def test_values_have_zeeks_types() -> None:
    frame, report = read_log(CONN_HEADER + conn_line(tunnel_parents="CAbc,CDef"))
    row = frame.row(0, named=True)
    assert row["ts"] == datetime(2024, 4, 19, 0, 0, 0, 1, tzinfo=UTC)
    assert (row["id.orig_p"], row["duration"], row["local_orig"], row["tunnel_parents"]) == (50000, 1.5, True, ["CAbc", "CDef"])
    assert (report.rows, report.rejected, report.problems) == (1, 0, [])


def test_unset_and_empty_are_two_facts() -> None:
    frame, _ = read_log(
        CONN_HEADER
        + conn_line(service="-", duration="-", orig_bytes="-", resp_bytes="-", history="(empty)", tunnel_parents="(empty)")
        + conn_line(tunnel_parents="-", local_orig="-")
    )
    first, second = frame.rows(named=True)
    assert (first["service"], first["duration"], first["orig_bytes"]) == (None, None, None)
    assert (first["history"], first["tunnel_parents"]) == ("", [])
    assert (second["tunnel_parents"], second["local_orig"]) == (None, None)


def test_short_long_and_wrong_rows_are_rejected_with_line_and_reason() -> None:
    good = conn_line()
    text = CONN_HEADER + good + "1713484800.1\tC2\t10.0.0.1\n" + good + conn_line(id__orig_p="x") + good.rstrip("\n") + "\textra\n" + good
    frame, report = read_log(text)
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
def test_a_cell_that_does_not_fit_rejects_its_row_only(cells: dict[str, str]) -> None:
    frame, report = read_log(CONN_HEADER + conn_line("CGood1") + conn_line("CBad", **cells) + conn_line("CGood2"))
    assert frame["uid"].to_list() == ["CGood1", "CGood2"] and report.rejected == 1


def test_largest_count_is_kept() -> None:
    frame, _ = read_log(CONN_HEADER + conn_line(orig_bytes="18446744073709551615"))
    assert frame["orig_bytes"][0] == 2**64 - 1


def test_escapes_are_decoded_after_unset_is_recognized() -> None:
    frame, _ = read_log(
        CONN_HEADER + conn_line(service="a\\x09b") + conn_line(service="\\x2d") + conn_line(service="\\xff") + conn_line(service="-")
    )
    assert frame["service"].to_list() == ["a\tb", "-", "\\xff", None]


def test_quotes_are_ordinary_characters() -> None:
    frame, _ = read_log(CONN_HEADER + conn_line(service='"ssl') + conn_line(service='x"y"'))
    assert frame["service"].to_list() == ['"ssl', 'x"y"']


def test_iot23_three_names_in_one_cell() -> None:
    header = CONN_HEADER.replace("tunnel_parents\n", "tunnel_parents   label   detailed-label\n").replace(
        "set[string]\n", "set[string]   string   string\n"
    )
    frame, report = read_log(header + conn_line(tunnel_parents="(empty)   Malicious   C&C") + conn_line(tunnel_parents="-   Benign   -"))
    assert frame.select("tunnel_parents", "label", "detailed-label").rows() == [([], "Malicious", "C&C"), (None, "Benign", None)]
    assert report.rejected == 0


def test_last_line_without_a_newline() -> None:
    whole, report = read_log(CONN_HEADER + conn_line("C1") + conn_line("C2").rstrip("\n"))
    assert whole["uid"].to_list() == ["C1", "C2"] and report.rejected == 0
    half, report = read_log(CONN_HEADER + conn_line("C1") + conn_line("C2")[:40])
    assert half["uid"].to_list() == ["C1"] and report.rejects[0].line == 10


def test_windows_line_ends_and_byte_order_mark() -> None:
    frame, report = read_log(("\ufeff" + CONN_HEADER + conn_line()).replace("\n", "\r\n"))
    assert frame.height == 1 and frame["tunnel_parents"][0] is None and report.rejected == 0


def test_fast_and_slow_path_agree() -> None:
    """A row to reject makes its whole block take the exact path: the other rows must not change."""
    rows = (
        conn_line("C1", service="a\\x09b", tunnel_parents="CAbc,CDef") + conn_line("C2", service="(empty)", duration="-")
        + conn_line("C3", tunnel_parents="(empty)", local_orig="-", ts="1.500000") + conn_line("C4", history="\\xff", tunnel_parents="x\\x2cy")
    )  # fmt: skip
    fast, _ = read_log(CONN_HEADER + rows)
    slow, report = read_log(CONN_HEADER + rows + conn_line("CBad", orig_pkts="x"))
    assert report.rejected == 1 and fast.equals(slow)


def test_the_raw_text_of_a_reject_is_bounded() -> None:
    header = apply_directive(Header(), "#fields\tts\tuid", "x")
    parsed = parse_table(b"x" * 5_000 + b"\n", header, 3, 1)
    assert parsed.rejects[0].line == 3 and len(parsed.rejects[0].raw) == 2_048
