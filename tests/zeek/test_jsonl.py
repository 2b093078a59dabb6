"""Rows of JSON logs: spellings, late keys, bad lines, and the exact count that guards the fast path."""

from __future__ import annotations

import json

import pytest

from mlids.zeek.json_limits import measure
from mlids.zeek.jsonl import JsonParser
from tests.zeek.conftest import read_log


def test_both_spellings_of_id_nested_objects_and_null() -> None:
    lines = [
        {"ts": 1.5, "uid": "C1", "id.orig_h": "10.0.0.1", "id.orig_p": 1, "conn_state": "SF"},
        {"ts": 2.5, "uid": "C2", "id_orig_h": "10.0.0.2", "id_orig_p": 2, "conn_state": None},
        {"ts": 3.5, "uid": "C3", "id": {"orig_h": "10.0.0.3", "orig_p": 3}, "new": "later"},
    ]
    frame, report = read_log("".join(json.dumps(line) + "\n" for line in lines))
    assert frame["id.orig_h"].to_list() == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    assert frame["conn_state"].to_list() == ["SF", None, None] and frame["new"].to_list() == [None, None, "later"]
    assert report.rejected == 0


def test_a_key_that_appears_late_is_kept() -> None:
    rows = [f'{{"ts":{n}.5,"uid":"C{n}","id.orig_h":"10.0.0.1","conn_state":"SF"}}' for n in range(3_000)]
    rows.append('{"ts":9.5,"uid":"CLast","id.orig_h":"10.0.0.1","vlan":7}')
    frame, _ = read_log("\n".join(rows) + "\n")
    assert frame["vlan"].drop_nulls().to_list() == [7]


def test_a_value_that_contains_json_syntax() -> None:
    row = {"ts": 1.5, "uid": "C1", "id.orig_h": "10.0.0.1", "service": 'a":"b","c":', "conn_state": "SF"}
    frame, _ = read_log(json.dumps(row, separators=(",", ":")) + "\n")
    assert frame["service"][0] == row["service"]


def test_bad_lines_do_not_stop_the_rest() -> None:
    good = '{"ts":1.5,"uid":"C1","id.orig_h":"10.0.0.1","conn_state":"SF"}\n'
    frame, report = read_log(good + "{nonsense\n" + good + "[1,2]\n" + '{"ts":NaN,"uid":"C"}\n' + "{" * 3_000 + "\n" + good)
    assert frame.height == 3 and report.rejected == 4 and [r.line for r in report.rejects] == [2, 4, 5, 6]


def test_an_unpaired_surrogate_raises_no_error() -> None:
    good = '{"ts":1.5,"uid":"C1","id.orig_h":"10.0.0.1","conn_state":"SF"}\n'
    _, report = read_log(good + '{"uid":"\\ud800","id.orig_h":"10.0.0.1"}\n{nonsense\n')
    assert report.rows + report.rejected == 3


@pytest.mark.parametrize("cell", ['"ts":1e999999999999999999999', '"ts":9' + "9" * 500 + ".5"])
def test_a_value_out_of_range_rejects_its_row_only(cell: str) -> None:
    good = '{"ts":1.5,"uid":"C1","id.orig_h":"10.0.0.1","conn_state":"SF"}\n'
    frame, report = read_log(good + "{" + cell + ',"id.orig_h":"10.0.0.1"}\n' + good)
    assert frame.height == 2 and report.rejected == 1


def test_a_number_too_large_for_a_column_of_numbers_becomes_text() -> None:
    good = '{"ts":1.5,"uid":"C1","id.orig_h":"10.0.0.1","conn_state":"SF","extra":7}\n'
    frame, _ = read_log(good + good.replace("7", "9" * 30) + "{nonsense\n")
    assert frame["extra"].to_list() == ["7", "9" * 30]


def test_values_that_begin_with_a_colon_take_the_fast_path() -> None:
    """Every log with IPv6 holds the unspecified address; on the slow path a day took twenty times as long."""
    rows = [
        '{"ts":1793750400.005672,"uid":"C1","id.orig_h":"::","id.resp_h":"ff02::16","query":"a\\":b"}',
        '{"ts":1793750401.5,"uid":"C2","id.orig_h":"fe80::1","id.resp_h":"::1","answers":["::2","x",":"]}',
        '{"ts":1793750402.5,"uid": "C3", "id.orig_h": "::3"}',
    ]
    data = "\n".join(rows).encode() + b"\n"
    fast = JsonParser()._fast(data, measure(data))
    assert fast is not None
    assert fast["id.orig_h"].to_list() == ["::", "fe80::1", "::3"] and fast["answers"].to_list() == [None, ["::2", "x", ":"], None]
    assert fast["query"].to_list() == ['a":b', None, None]
    # A value of another type is still noticed: a port that is text.
    other = data.replace(b'"id.resp_h":"::1"', b'"id.resp_p":"no"')
    assert JsonParser()._fast(other, measure(other)) is None


@pytest.mark.parametrize("text", ["{}\n", "{}\n{}\n", "{}\nnonsense\n", "nonsense\n{ }\n", '{}\n{"ts":1.5,"uid":"C1"}\n'])
def test_objects_without_a_key_are_rows(text: str) -> None:
    """Found by fuzzing: beside a rejected line they raised an error of polars, alone they were not counted."""
    if text.startswith("nonsense"):
        text = '{"ts":1.5}\n' + text
    _, report = read_log(text)
    assert report.rows + report.rejected == text.count("\n") and report.rejected == text.count("nonsense")
