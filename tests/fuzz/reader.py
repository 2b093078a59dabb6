"""The reader: any bytes, plain or compressed, in whatever blocks. What it reads depends on the bytes and not on the blocks."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable

import polars as pl
import zstandard

from mlids.errors import MlidsError
from mlids.zeek.reader import LogReader
from tests.conftest import CONN_HEADER, conn_line

NAMES = ("conn.log", "dns.log", "hosts.txt", "conn.00:00:00-01:00:00.log.gz")
FORMS: tuple[Callable[[bytes], bytes], ...] = (
    lambda text: text,
    gzip.compress,
    lambda text: gzip.compress(text)[:-9],
    lambda text: gzip.compress(text[: len(text) // 2]) + gzip.compress(text[len(text) // 2 :]),
    lambda text: zstandard.compress(text),
    lambda text: zstandard.compress(text)[:-3],
)
SMALL, LARGE = 97, 32 << 20


def check(data: bytes) -> None:
    """Read the bytes after the first as a file whose name and form the first chooses, in small and in large blocks."""
    if not data:
        return
    name, form = NAMES[data[0] % len(NAMES)], FORMS[data[0] // len(NAMES) % len(FORMS)]
    file = form(data[1:])
    small, large = read(file, name, SMALL), read(file, name, LARGE)
    assert small == large, f"blocks of {SMALL} bytes: {small}; of {LARGE} bytes: {large}"


def read(file: bytes, name: str, block_bytes: int) -> tuple[int, int, int, str]:
    """Return rows, rejects and problems, and what was refused; rows have the line they come from, each once."""
    reader = LogReader(io.BytesIO(file), name, block_bytes=block_bytes)
    lines: list[int] = []
    refused = ""
    try:
        for batch in reader:
            assert batch.frame.height and batch.log and batch.frame.columns.count("line") == 1
            assert "ts" not in batch.frame.columns or batch.frame["ts"].dtype in (
                pl.Datetime("us", "UTC"),
                pl.String,
                pl.Int64,
                pl.UInt64,
                pl.Float64,
                pl.Boolean,
            )
            lines += batch.frame["line"].to_list()
    except MlidsError as error:
        refused = type(error).__name__
    rejected = [r.line for r in reader.report.rejects]
    assert len(set(lines)) == len(lines) and not set(lines) & set(rejected), "a line is a row once, or rejected"
    assert reader.report.rows == len(lines) and reader.report.rejected == len(rejected)
    assert all(r.reason for r in reader.report.rejects)
    # Where it is refused, how much was read before depends on the blocks.
    return (0, 0, 0, refused) if refused else (len(lines), len(rejected), len(reader.report.problems), refused)


def seeds() -> dict[str, bytes]:
    """Return a log in each form."""
    rows = CONN_HEADER.encode() + b"".join(conn_line(f"C{n}", orig_bytes=str(n)).encode() for n in range(3))
    json = b'{"ts":1.5,"uid":"C1","id.orig_h":"10.0.0.1","id.resp_p":443,"duration":0.5,"tunnel_parents":["a"]}\n'
    iso = b'{"_path":"dns","ts":"2026-11-20T12:00:00.5Z","uid":"C2","id":{"orig_h":"10.0.0.1"},"query":"a.example"}\n'
    texts = {
        "tsv": rows, "json": json + iso, "header": CONN_HEADER.replace("#path", "#separator |\n#path").encode(),
        "two-headers": rows + rows + b"#close\t2026-11-20-13-00-00\n", "escapes": rows + conn_line("\\x09\\xff", service="(empty)").encode(),
        "csv": b"ts,uid,id.orig_h,id.resp_h,proto\n1.5,C1,10.0.0.1,10.0.0.2,tcp\n", "bom": b"\xef\xbb\xbf" + rows,
        "no-newline": rows[:-1], "bad-cells": rows.replace(b"443", b"70000").replace(b"1.5", b"nan"), "crlf": rows.replace(b"\n", b"\r\n"),
    }  # fmt: skip
    made = {name: b"\x00" + text for name, text in texts.items()}
    return made | {f"form-{n}": bytes([n * len(NAMES)]) + rows for n in range(1, len(FORMS))} | {"form-1-json": b"\x04" + json}
