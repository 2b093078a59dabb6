"""Tables in one file: written while other threads read them, and damaged."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from mlids.scoring.tables_file import dump_tables, read_tables, write_tables

# In a process of its own: what fails here is a deadlock of native locks, which no test can interrupt.
_READ_WHILE_WRITTEN = """
import io, threading
import polars as pl
from mlids.scoring.tables_file import dump_tables
table = pl.DataFrame({"a": [str(i) for i in range(20_000)]})
stop = threading.Event()
def read():
    while not stop.is_set():
        table.lazy().filter(pl.col("a") == "7").collect()
readers = [threading.Thread(target=read) for _ in range(3)]
for r in readers: r.start()
for _ in range(300): dump_tables({"t": table}, io.BytesIO())
stop.set()
for r in readers: r.join()
print("done")
"""


def test_tables_that_other_threads_read_are_written() -> None:
    done = subprocess.run([sys.executable, "-c", _READ_WHILE_WRITTEN], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == "done\n"


def test_tables_come_back_and_a_damaged_file_says_so(tmp_path: Path) -> None:
    tables = {"a/b": pl.DataFrame({"x": [1, None]}), "empty": pl.DataFrame(schema={"t": pl.Datetime("us", "UTC")})}
    write_tables(tmp_path / "t.zip", tables)
    found = read_tables(tmp_path / "t.zip")
    assert found.keys() == tables.keys() and all(found[n].equals(t) and found[n].schema == t.schema for n, t in tables.items())
    whole = (tmp_path / "t.zip").read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"PK" + whole[2:50]):
        (tmp_path / "t.zip").write_bytes(damaged)
        with pytest.raises(ValueError, match="damaged"):
            read_tables(tmp_path / "t.zip")
    out = io.BytesIO()
    dump_tables({}, out)
    assert out.getvalue()
