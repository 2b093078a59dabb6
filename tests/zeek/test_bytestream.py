"""Compressed sources, faults in them, and blocks of bounded size."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import pytest
import zstandard

from mlids.zeek.bytestream import Block, ByteStream, blocks, count_lines
from mlids.zeek.reader import LogReader
from tests.conftest import CONN_HEADER, conn_line
from tests.zeek.conftest import read_log


def test_gzip_zstd_and_concatenated_gzip(tmp_path: Path) -> None:
    plain = (CONN_HEADER + conn_line()).encode()
    for name, data in (
        ("a.log.gz", gzip.compress(plain)),
        ("b.log.zst", zstandard.compress(plain)),
        ("c.log.gz", gzip.compress(plain[:900]) + gzip.compress(plain[900:])),
    ):
        (tmp_path / name).write_bytes(data)
        reader = LogReader(tmp_path / name)
        assert sum(b.frame.height for b in reader) == 1 and not reader.report.problems


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_a_truncated_archive_keeps_the_readable_rows(pack: object) -> None:
    plain = (
        CONN_HEADER
        + "".join(
            conn_line(f"C{n:06d}", ts=f"{1713484800 + n * 7919 % 10_007}.{n * 7907 % 1_000_000:06d}", orig_bytes=str(n * n))
            for n in range(40_000)
        )
    ).encode()
    data = pack(plain)  # type: ignore[operator]
    frame, report = read_log(data[: len(data) * 2 // 3])
    assert 10_000 < frame.height < 40_000
    assert frame["uid"].to_list() == [f"C{n:06d}" for n in range(frame.height)]
    assert "truncated" in report.problems[0].reason and "compressed" in report.problems[0].reason


def test_corrupt_gzip_is_reported_with_its_position() -> None:
    data = bytearray(gzip.compress((CONN_HEADER + conn_line() * 50_000).encode()))
    data[len(data) // 2] ^= 0xFF
    data[len(data) // 2 + 1] ^= 0xFF
    _, report = read_log(bytes(data))
    assert report.problems


def test_a_bomb_stops_at_the_ratio(monkeypatch: pytest.MonkeyPatch) -> None:
    from mlids.zeek import bytestream

    monkeypatch.setattr(bytestream, "_RATIO_FLOOR_BYTES", 1 << 20)
    stream = bytestream.ByteStream(io.BytesIO(gzip.compress(b"\n" * (64 << 20))), "bomb.gz", max_ratio=100)
    assert sum(len(p) for p in stream) < 20 << 20
    assert stream.problem is not None and "bomb" in stream.problem.reason


def test_an_endless_line_is_skipped_in_bounded_memory() -> None:
    text = CONN_HEADER + conn_line("C1") + "x" * (9 << 20) + "\n" + conn_line("C2")
    frame, report = read_log(text, block_bytes=1 << 20)
    assert frame["uid"].to_list() == ["C1", "C2"] and report.rejected == 1
    assert "1 MiB" in report.rejects[0].reason


def test_a_plain_source_is_read_as_it_is() -> None:
    stream = ByteStream(io.BytesIO(b"ab"), "x")
    assert b"".join(stream) == b"ab" and (stream.plain_bytes, stream.compressed_bytes, stream.problem) == (2, 0, None)


def test_blocks_end_at_newlines_and_count_lines() -> None:
    found = list(blocks(iter([b"a\nbb", b"b\nc\nd"]), 4))
    assert found == [Block(b"a\n", 1, 1), Block(b"bbb\nc\n", 2, 2), Block(b"d", 4, 1, complete=False)]


def test_lines_are_counted_alike_for_small_and_large_data() -> None:
    data = b"ab\n" * 50_000
    assert count_lines(data) == 50_000 and count_lines(data, 3, 9) == 2 and count_lines(data, 1) == 50_000
