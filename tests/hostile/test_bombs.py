"""Files of some kilobytes that would take minutes or gigabytes to read: read to their end in bounded time and memory, or up to a limit."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from mlids.zeek.bytestream import MAX_MEMBERS
from mlids.zeek.header import MAX_COLUMNS
from mlids.zeek.reader import MAX_DIRECTIVES, MAX_FIELDS, MAX_TABLES
from tests.conftest import CONN_HEADER, conn_line
from tests.support.measured import run_measured

HEAD, ROW, JSON_ROW = CONN_HEADER.encode(), conn_line().encode(), b'{"ts":1.5,"uid":"C1"}\n'
LINES = 27_000_000
MEMORY_BYTES = 700 << 20  # of a reader with blocks of 32 MiB; 65 MB of it are Python with polars
SECONDS = 60.0  # on a loaded machine: most take 2, ten thousand tables 10 to 30; before, each took more than 40 or did not end
READ = """
import json, sys
from pathlib import Path
from mlids.errors import MlidsError
from mlids.zeek.reader import LogReader
reader, rows, error = LogReader(Path(sys.argv[1])), 0, ""
try:
    for batch in reader:
        rows += batch.frame.height
except MlidsError as fault:
    error = str(fault)
report = reader.report
print(json.dumps({"rows": rows, "rejected": report.rejected, "error": error, "problems": [p.reason for p in report.problems]}))
"""

pytestmark = pytest.mark.attack(
    row=13,
    attack="a small file that grows when it is read: millions of blank lines, comments, headers, columns or compressed members",
    held="blank lines and comments are searched, not parsed; 1,024 columns in a header and 2,048 in a file, 10,000 tables, 100,000 header "
    "lines, 250,000 compressed members, 2,000 times the compressed size (`mlids/zeek/reader.py`, `mlids/zeek/header.py`, `mlids/zeek/bytestream.py`)",
)


def columns(number: int, prefix: str = "c") -> bytes:
    names = "\t".join(f"{prefix}{n}" for n in range(number))
    return f"#separator \\x09\n#path\tconn\n#fields\t{names}\n#types\t{chr(9).join(['string'] * number)}\n".encode()


def wide(tables: int) -> bytes:
    """Return a log whose every table has a thousand new columns."""
    return b"".join(columns(1_000, f"t{n}_") + b"\t".join([b"x"] * 1_000) + b"\n" for n in range(tables))


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=1).compress(data)


# What the file holds, and what is read of it: rows, the error or problem.
BOMBS: dict[str, tuple[Callable[[], bytes], int, str]] = {
    "27 million blank lines before a header": (lambda: gzip.compress(b"\n" * LINES + HEAD + ROW, 1), 1, ""),
    "27 million blank lines between rows": (lambda: gzip.compress(HEAD + ROW + b"\n" * LINES + ROW, 1), 2, ""),
    "27 million lines of CR and spaces": (lambda: gzip.compress(HEAD + ROW + b" \r\n" * (LINES // 3) + ROW, 1), 2, ""),
    "27 million blank lines between JSON rows": (lambda: gzip.compress(JSON_ROW + b"\n" * LINES + JSON_ROW, 1), 2, ""),
    "7 million comments": (lambda: gzip.compress(b"# x\n" * 7_000_000 + HEAD + ROW + b"# x\n" * 7_000_000 + ROW, 1), 2, ""),
    "a header of 100,000 columns": (lambda: columns(100_000) + b"x\n", 0, f"names 100,000 columns; at most {MAX_COLUMNS:,} are read"),
    "a CSV of 100,000 columns": (lambda: b"ts,uid," + b",".join(b"c%d" % n for n in range(100_000)) + b"\n1,2\n", 0, "at most 1,024 are read"),
    "ever new columns": (lambda: wide(300), 2, f"more than {MAX_FIELDS:,} columns"),
    "a header line without end": (lambda: b"#separator \\x09\n#fields\tts\t" + b"x" * (300 << 20), 0, ""),
    "45,000 headers": (lambda: gzip.compress(HEAD * 45_000, 1), 0, f"more than {MAX_DIRECTIVES:,} header lines"),
    "ever new tables of a row": (lambda: gzip.compress(HEAD + (b"#path\tconn\n" + ROW) * (MAX_TABLES + 100), 1), MAX_TABLES, f"more than {MAX_TABLES:,} tables"),
    "250,000 empty gzip members": (lambda: gzip.compress(HEAD + ROW) + gzip.compress(b"") * (MAX_MEMBERS + 9), 1, f"more than {MAX_MEMBERS:,} compressed members"),
    "a gzip member for each byte": (lambda: b"".join(gzip.compress(bytes([b])) for b in HEAD + ROW) + gzip.compress(b"\n") * 200_000, 1, ""),
    "250,000 empty zstd frames": (lambda: zstd(HEAD + ROW) + zstd(b"") * (MAX_MEMBERS + 9), 1, f"more than {MAX_MEMBERS:,} compressed members"),
    "1.5 GB of blank lines as zstd": (lambda: zstd(HEAD + ROW + b"\n" * 1_500_000_000), 1, "may be a decompression bomb"),
    "a row that begins a gzip of 280 MB": (lambda: HEAD + gzip.compress(ROW * 2_000_000, 9).replace(b"\n", b" ") + b"\n" + ROW, 1, ""),
    "a gzip in a gzip": (lambda: gzip.compress(gzip.compress(HEAD + ROW)), 0, "not a Zeek log"),
    "a field of 900 KB in each row": (lambda: gzip.compress(HEAD + conn_line(service="s" * 900_000).encode() * 60, 1), 60, ""),
    "values full of #": (lambda: gzip.compress(HEAD + conn_line(service="#" * 900_000).encode() * 60, 1), 60, ""),
}  # fmt: skip
LONG = {"250,000 empty gzip members", "1.5 GB of blank lines as zstd", "ever new tables of a row", "a gzip member for each byte"}


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.long if n in LONG else ()) for n in BOMBS])
def test_a_bomb_is_read_in_bounded_time_and_memory(name: str, tmp_path: Path, happened: Callable[[str], None]) -> None:
    make, rows, said = BOMBS[name]
    path = tmp_path / "conn.log"
    path.write_bytes(make())
    done = run_measured(READ, [str(path)])
    assert done.code == 0, done.err
    found: dict[str, Any] = json.loads(done.out)
    assert found["rows"] == rows, found
    assert said in " ".join([found["error"], *found["problems"]]) if said else not found["error"] and not found["problems"], found
    assert done.peak < MEMORY_BYTES and done.seconds < SECONDS, done.says()
    happened(f"{name} ({path.stat().st_size / 1e3:,.0f} KB): {done.says()}")


def test_the_ingest_of_a_bomb_names_it_and_keeps_the_rows_of_the_others(home: Path, tmp_path: Path) -> None:
    (tmp_path / "conn.00:00:00-01:00:00.log.gz").write_bytes(gzip.compress(wide(300)))
    (tmp_path / "conn.01:00:00-02:00:00.log.gz").write_bytes(gzip.compress(HEAD + ROW * 1_000))
    done = run_measured(
        "import sys\nfrom pathlib import Path\nfrom mlids import pipeline\n"
        "print(pipeline.ingest_paths('hq', '2026-11-02', [Path(sys.argv[1])]))", [str(tmp_path)],
    )  # fmt: skip
    assert done.code == 0 and "'rows': 1002" in done.out and "more than 2,048 columns" in done.out, (done.out, done.err)
    assert done.peak < MEMORY_BYTES
