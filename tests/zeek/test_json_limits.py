"""Counts of JSON lines on their bytes, against Python's json module."""

from __future__ import annotations

import json

from mlids.zeek.json_limits import MAX_DEPTH, MAX_KEYS, Measured, limit_exceeded, measure


def test_rows_and_cells_are_those_of_the_json_module() -> None:
    lines = [{"ts": n, "id.orig_h": "::1", "answers": ["::2", "a:b"], f"k{n}": [[1], {"a": 'x":'}]} for n in range(5_000)]
    data = "\n".join(json.dumps(line, separators=(",", ":")) for line in lines).encode()
    assert measure(data) == measure(data + b"\n") == Measured(5_000, 5 * 5_000, True, nested=True)  # the nested key `a` is the fifth


def test_a_line_beyond_a_limit_is_noticed_wherever_it_lies() -> None:
    good = b'{"a":1}\n'
    for bad in (b'{"a":' * (MAX_DEPTH + 1), b"[" * (MAX_DEPTH + 1), b'{"a":1,' + b'"b" :1,' * MAX_KEYS):
        for data in (bad, bad + b"\n" + good, good * 70_000 + bad, good * 40_000 + bad + b"\n" + good):
            assert not measure(data).within_limits
        assert limit_exceeded(bad) is not None
    assert limit_exceeded(b"[" * MAX_DEPTH) is None
