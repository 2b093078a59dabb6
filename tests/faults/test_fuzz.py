"""Mutated lines of real logs, TSV and JSON: no crash, no hang, and every line is accounted for."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from mlids.features.extract import Extractor
from mlids.ingest.follow import Follower, FollowOptions
from mlids.ingest.local import LocalStorage
from mlids.settings import Sensor
from mlids.zeek.bytestream import ByteStream
from mlids.zeek.types import conn_columns
from tests.faults.conftest import LONG

LINES = 200_000 if LONG else 30_000
_TOKENS = [
    b"-", b"(empty)", b"", b"\\x09", b"\\x", b"999999999999999999999", b"-1", b"1e400", b"NaN", b"inf", b"T", b"\x00", b"\xff\xfe", b"\xf0\x9f\x92\xa9",
    b"'", b'"', b"{", b"}", b"[", b"]", b",", b":", b"null", b"\\u0000", b"\\ud800", b"#fields", b"#close", b"%s", b"../..", b"\r", b" " * 50,
]  # fmt: skip


def _lines(real_data: Path, kind: str) -> tuple[bytes, list[bytes]]:
    """Return a header, and real conn lines from the many files that have it; JSON has none."""
    found: dict[bytes, list[bytes]] = {}
    headers: dict[bytes, bytes] = {}
    for path in sorted(real_data.rglob("conn*.log*"))[:400]:
        head = next(iter(islice(_plain(path), 1)), b"")
        whole = head.splitlines(keepends=True)[:400]
        lines = [ln.rstrip(b"\n") for ln in whole if ln.strip() and not ln.startswith(b"#")]
        fields = next((ln for ln in whole if ln.startswith(b"#fields")), b"")
        if lines and (lines[0].startswith(b"{") if kind == "json" else fields):
            found.setdefault(fields, []).extend(lines[:60])
            headers.setdefault(fields, b"".join(ln for ln in whole if ln.startswith(b"#") and not ln.startswith(b"#close")))
    most = max(found, key=lambda fields: len(found[fields]))
    return headers[most], found[most]


def _plain(path: Path) -> Iterator[bytes]:
    with path.open("rb") as handle:
        yield b"".join(islice(ByteStream(handle, str(path)), 3))[: 1 << 18]


def mutate(line: bytes, rng: np.random.Generator, others: list[bytes]) -> bytes:
    """Return the line with one to three of a fuzzer's usual changes."""
    for _ in range(int(rng.integers(1, 4))):
        at = int(rng.integers(0, len(line) + 1))
        match int(rng.integers(0, 9)):
            case 0:
                line = line[:at]
            case 1:
                line = line[:at] + _TOKENS[int(rng.integers(len(_TOKENS)))] + line[at:]
            case 2:
                line = line[:at] + bytes(rng.integers(0, 256, int(rng.integers(1, 8)), dtype=np.uint8)) + line[at + 3 :]
            case 3:
                line = line + b"\t" + line
            case 4:
                other = others[int(rng.integers(len(others)))]
                line = line[:at] + other[min(at, len(other)) :]
            case 5:
                cells = line.split(b"\t")
                cells[int(rng.integers(len(cells)))] = _TOKENS[int(rng.integers(len(_TOKENS)))]
                line = b"\t".join(cells)
            case 6:
                cells = line.split(b",")
                del cells[int(rng.integers(len(cells)))]
                line = b",".join(cells)
            case 7:
                line = line[::-1]
            case _:
                line = line.replace(b"1", b"9" * int(rng.integers(1, 30)))
    # A line feed would make two lines of it; a `#` first makes it a header or a comment, which is no row.
    line = line.replace(b"\n", b"?")
    return b"~" + line if line.lstrip()[:1] in (b"#", b"") else line


@pytest.mark.parametrize("kind", ["tsv", "json"])
def test_every_mutated_line_is_accounted_for(real_data: Path, tmp_path: Path, kind: str) -> None:
    header, lines = _lines(real_data, kind)
    assert len(lines) > 50, f"no {kind} conn lines among the real logs"
    rng = np.random.default_rng(2026)
    (tmp_path / "current").mkdir()
    path = tmp_path / "current" / "conn.log"
    path.write_bytes(header if kind == "tsv" else lines[0] + b"\n")
    follower = Follower(LocalStorage(), Sensor(name="hq", kind="folder", logs=str(tmp_path)), options=FollowOptions(check_s=0))
    extractor = Extractor()
    rows = scored = 0
    written = int(kind == "json")
    began = time.monotonic()
    while written < LINES:
        some = [lines[int(rng.integers(len(lines)))] for _ in range(2_000)]
        some = [mutate(line, rng, lines) if rng.random() < 0.9 else line for line in some]
        with path.open("ab") as out:
            out.write(b"\n".join(some) + b"\n")
        written += len(some)
        for batch in follower.poll():
            rows += batch.frame.height
            if batch.is_type("conn"):
                x = extractor.features(conn_columns(batch.frame))
                assert np.isfinite(x).all()
                scored += batch.frame.height
    follower.close()
    assert rows + follower.rejected == written, (rows, follower.rejected, written)
    assert rows > 0.02 * written and follower.rejected > 0.3 * written, "a fuzz that breaks nothing, or everything, shows nothing"
    assert time.monotonic() - began < LINES / 200, "a line must not cost more than five milliseconds"
