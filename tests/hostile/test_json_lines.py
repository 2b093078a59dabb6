"""JSON lines made to crash or fill the reader: nested deeply, with ever new keys, too long. Read in a child with limits."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlids.zeek.bytestream import MAX_LINE_BYTES
from mlids.zeek.json_limits import MAX_DEPTH, MAX_KEYS, limit_exceeded
from tests.zeek.conftest import read_log

NESTED = pytest.mark.attack(
    row=1,
    attack="JSON lines nested so deeply that a parser overflows its stack",
    held="at most 32 levels and 1,024 keys in a line (`mlids/zeek/json_limits.py`), counted on the bytes before any parser reads them",
)
NEW_KEYS = pytest.mark.attack(
    row=13,
    attack="a JSON log in which every line has new keys",
    held="1,024 keys in a file that Zeek itself does not use, 32 million cells in a frame",
)
LONG_LINE = pytest.mark.attack(row=13, attack="a line without an end", held="1 MiB in a line (`MAX_LINE_BYTES`)")
GOOD = '{"ts":1.5,"uid":"C1","id.orig_h":"10.0.0.1","conn_state":"SF"}\n'
MEMORY_BYTES = 1_500 << 20
READ = """
import json, sys
from pathlib import Path
from mlids.zeek.reader import LogReader
reader, report = LogReader(Path(sys.argv[1])), {}
height = sum(b.frame.height for b in reader)
# VmHWM is this program's own peak; ru_maxrss begins with that of the process that started it.
peak = next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps({"rows": height, "rejects": [(r.line, r.reason) for r in reader.report.rejects[:3]], "rejected": reader.report.rejected, "peak": peak}))
"""


def read_in_child(path: Path, text: str) -> dict[str, Any]:
    """Return what a process of its own reads: a native crash or a bomb must not take the tests with it."""
    path.write_text(text)
    done = subprocess.run([sys.executable, "-c", READ, str(path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"the reader ended with {done.returncode}: {done.stderr[-300:]}"
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["peak"] < MEMORY_BYTES
    return found


@NESTED
@pytest.mark.parametrize("nested", ["[" * 950 + "]" * 950, '{"a":' * 950 + "1" + "}" * 950, "[ " * 950 + "] " * 950])
def test_a_deeply_nested_line_is_rejected_with_line_and_reason(nested: str, tmp_path: Path, happened: Callable[[str], None]) -> None:
    deep = GOOD.replace('"SF"', f'"SF","x":{nested}')
    found = read_in_child(tmp_path / "conn.log", GOOD * 50 + deep * 3 + GOOD)
    assert found["rows"] == 51 and found["rejected"] == 3
    assert found["rejects"][0] == [51, f"nested 951 deep; at most {MAX_DEPTH} levels are read"]
    happened("three lines nested 951 deep are rejected with line and reason, the 51 others are read")


@NESTED
def test_brackets_inside_strings_are_not_nesting() -> None:
    frame, report = read_log(GOOD + GOOD.replace("SF", "[{" * 2_000 + '\\"[') + GOOD)
    assert frame.height == 3 and report.rejected == 0
    assert limit_exceeded(b'{"a":"' + b"[" * 99) is not None, "a string without an end hides nothing"


@NEW_KEYS
def test_ever_new_keys_are_bounded_in_memory_and_time(tmp_path: Path, happened: Callable[[str], None]) -> None:
    lines = ("{" + ",".join(f'"k{n * 10 + k}":1' for k in range(10)) + "}\n" for n in range(60_000))
    found = read_in_child(tmp_path / "conn.log", GOOD * 50 + "".join(lines) + GOOD)
    assert found["rows"] == 51 + MAX_KEYS // 10 and found["rows"] + found["rejected"] == 60_051
    assert "is a new key, and the log has 1,020 others" in found["rejects"][0][1]
    happened(
        f"600,000 new keys in 60,000 lines: {found['rejected']:,} lines are rejected with line and reason, below {MEMORY_BYTES >> 20:,} MiB"
    )


@NEW_KEYS
def test_many_rows_under_many_keys_are_bounded_in_memory(tmp_path: Path, happened: Callable[[str], None]) -> None:
    wide = "".join(f'{{"k{n}":1}}\n' for n in range(MAX_KEYS - 1))
    found = read_in_child(tmp_path / "conn.log", wide + '{"k1":1}\n' * 300_000)
    assert found["rows"] == 300_000 + MAX_KEYS - 1 and found["rejected"] == 0
    happened(f"300,000 rows under {MAX_KEYS - 1:,} keys are read in parts, below {MEMORY_BYTES >> 20:,} MiB")


@NESTED
def test_too_many_keys_in_one_line_reject_it() -> None:
    keys = ",".join(f'"k{n}" : 1' for n in range(MAX_KEYS))
    frame, report = read_log(GOOD + GOOD.replace("}", f",{keys}}}") + GOOD)
    assert frame.height == 2 and [r.reason for r in report.rejects] == ["1,028 keys in one line; at most 1,024 are read"]


@LONG_LINE
@pytest.mark.parametrize("block_bytes", [1 << 16, 32 << 20])
def test_a_line_that_is_too_long_is_rejected_wherever_it_lies_in_a_block(block_bytes: int, happened: Callable[[str], None]) -> None:
    long = GOOD.replace("SF", "x" * (MAX_LINE_BYTES + 9))
    fits = GOOD.replace("SF", "x" * (MAX_LINE_BYTES - 99))
    frame, report = read_log(GOOD * 9_000 + long + fits + GOOD + long + long + GOOD, block_bytes=block_bytes)
    assert frame.height == 9_003 and [r.line for r in report.rejects] == [9_001, 9_004, 9_005]
    assert frame["line"].to_list()[-3:] == [9_002, 9_003, 9_006]
    happened("three lines above 1 MiB are skipped and rejected wherever they lie, the 9,003 others are read")
