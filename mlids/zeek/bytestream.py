"""Reads a log file as decompressed bytes, in pieces of bounded size and in blocks of whole lines.

A damaged source ends the bytes early; the reason is kept in `ByteStream.problem`.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

READ_SIZE = 1 << 20
MAX_LINE_BYTES = 1 << 20
# igzip and zstd reach about 100 on real Zeek logs and 1,000 on a day of one repeated scan line;
# a file beyond this is treated as a decompression bomb.
MAX_RATIO = 2_000
_RATIO_FLOOR_BYTES = 256 << 20
# Members of one gzip, frames of one zstd file: each costs 30 µs. bgzip makes one of 64 KB.
MAX_MEMBERS = 250_000
# The rest of what was read is copied at each member: of a small part of it.
_MEMBER_STEP = 1 << 16
_ZSTD_STEP = 1 << 10
_NEWLINE = 10
_FEW_BYTES = 1 << 16
_FEW_PIECES = 1 << 12


@dataclass(frozen=True)
class Problem:
    """A fault of one source that did not stop the reading: which source, and the reason with the position in the file."""

    source: str
    reason: str


@dataclass(frozen=True)
class _Compression:
    """How a format is decompressed: `decompress` returns the output of some input, and the input that is left."""

    name: str
    step: int  # bytes that are given to a decoder at once
    decoder: Callable[[], Any]  # of one member; its `eof` tells the member's end
    decompress: Callable[[Any, bytes], tuple[bytes, bytes]]
    errors: tuple[type[Exception], ...]


def _gzip() -> _Compression:
    from isal import isal_zlib

    def decompress(decoder: Any, data: bytes) -> tuple[bytes, bytes]:
        out = decoder.decompress(data, 8 * READ_SIZE)
        return out, decoder.unused_data.lstrip(b"\0") if decoder.eof else decoder.unconsumed_tail

    errors: Any = (zlib.error, isal_zlib.IsalError)  # a bad header raises isal's own class, which its annotations take for an instance
    return _Compression("gzip", _MEMBER_STEP, lambda: isal_zlib.decompressobj(wbits=31), decompress, errors)


def _zstd() -> _Compression:
    import zstandard

    frames = zstandard.ZstdDecompressor(max_window_size=1 << 27)

    def decompress(decoder: Any, data: bytes) -> tuple[bytes, bytes]:
        out = decoder.decompress(data)
        return out, decoder.unused_data if decoder.eof else b""

    # zstandard returns the whole output of one call: small inputs bound the memory that a bomb can take.
    return _Compression("zstd", _ZSTD_STEP, lambda: frames.decompressobj(write_size=READ_SIZE), decompress, (zstandard.ZstdError,))


class ByteStream:
    """Iterates over the decompressed bytes of a plain, gzip or zstd file, in pieces.

    Corrupt or truncated input, and a decompression bomb, end the iteration after the readable bytes;
    `problem` then holds the reason and the position. It stays None for a file without faults.
    """

    def __init__(self, source: Path | BinaryIO, name: str | None = None, *, max_ratio: int = MAX_RATIO) -> None:
        self.name = name or str(source)
        self.problem: Problem | None = None
        self._source = source
        self._max_ratio = max_ratio
        self.compressed_bytes = 0
        self.plain_bytes = 0
        self._members = 0

    def __iter__(self) -> Iterator[bytes]:
        raw: BinaryIO = self._source.open("rb") if isinstance(self._source, Path) else self._source
        try:
            yield from self._pieces(raw)
        finally:
            if isinstance(self._source, Path):
                raw.close()

    def _pieces(self, raw: BinaryIO) -> Iterator[bytes]:
        head = raw.read(4)
        while 0 < len(head) < 4 and (more := raw.read(4 - len(head))):
            head += more
        first = io.BytesIO(head)
        if head[:2] == b"\x1f\x8b":
            yield from _joined(self._decompressed(_gzip(), first, raw))
        elif head == b"\x28\xb5\x2f\xfd":
            yield from _joined(self._decompressed(_zstd(), first, raw))
        else:
            for piece in _read_pieces(first, raw):
                self.plain_bytes += len(piece)
                yield piece

    def _decompressed(self, form: _Compression, *parts: BinaryIO) -> Iterator[bytes]:
        decoder, started = form.decoder(), False
        for data in _steps(form.step, *parts):
            self.compressed_bytes += len(data)
            while data:
                try:
                    out, data = form.decompress(decoder, data)
                except form.errors as error:
                    self._fail(f"corrupt {form.name}: {error}")
                    return
                started = True
                if not self._count(out):
                    return
                if out:
                    yield out
                if decoder.eof:  # another member may follow: `cat a.gz b.gz`
                    decoder, started = form.decoder(), False
                    if not self._count_member():
                        return
        if started and not decoder.eof:
            self._fail(f"truncated {form.name}: the end of the stream is missing; is the copy complete?")

    def _count_member(self) -> bool:
        self._members += 1
        if self._members >= MAX_MEMBERS:
            self._fail(f"more than {MAX_MEMBERS:,} compressed members: not read further")
        return self._members < MAX_MEMBERS

    def _count(self, out: bytes) -> bool:
        self.plain_bytes += len(out)
        if self.plain_bytes > max(_RATIO_FLOOR_BYTES, self._max_ratio * self.compressed_bytes):
            self._fail(f"more than {self._max_ratio} times its compressed size: not read further, this may be a decompression bomb")
            return False
        return True

    def _fail(self, reason: str) -> None:
        where = f"after {self.compressed_bytes:,} compressed and {self.plain_bytes:,} decompressed bytes"
        self.problem = Problem(self.name, f"{reason} ({where}; the rows before it were read)")


def _read_pieces(*parts: BinaryIO) -> Iterator[bytes]:
    for part in parts:
        while piece := part.read(READ_SIZE):
            yield piece


def _steps(size: int, *parts: BinaryIO) -> Iterator[bytes]:
    for piece in _read_pieces(*parts):
        for start in range(0, len(piece), size):
            yield piece[start : start + size]


def _joined(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the bytes of `pieces`, small ones joined: a million members of one byte each would take 50 MB as pieces."""
    small: list[bytes] = []
    size = 0
    for piece in pieces:
        small.append(piece)
        size += len(piece)
        if size >= min(_FEW_BYTES, READ_SIZE) or len(small) >= _FEW_PIECES:
            yield b"".join(small) if len(small) > 1 else piece
            small, size = [], 0
    if small:
        yield b"".join(small)


def count_lines(data: bytes, start: int = 0, end: int | None = None) -> int:
    """Return the number of newlines in `data[start:end]`. numpy counts four times as fast as bytes.count and releases the interpreter lock."""
    end = len(data) if end is None else end
    if end - start < _FEW_BYTES:
        return data.count(b"\n", start, end)
    return int(np.count_nonzero(np.frombuffer(data, np.uint8, end - start, start) == _NEWLINE))


@dataclass(frozen=True)
class Block:
    """Whole lines of a file. Each ends in a newline; only the last line of the file may lack it."""

    data: bytes
    first_line: int  # 1-based number of the first line
    lines: int
    complete: bool = True  # False: the last line had no newline
    too_long: int = 0  # size in bytes of one line that was skipped because it is too long; `data` is then empty


def blocks(pieces: Iterator[bytes], block_bytes: int) -> Iterator[Block]:
    """Yield blocks of about `block_bytes` that end at a newline.

    A line longer than MAX_LINE_BYTES is skipped and yielded as a block of its own without data:
    memory stays bounded for every input.
    """
    for block in _blocks(pieces, block_bytes):
        yield from without_long_lines(block)


def without_long_lines(block: Block) -> Iterator[Block]:
    """Yield the block in parts, with each line longer than MAX_LINE_BYTES as a block of its own without data."""
    data, first, start = block.data, block.first_line, 0
    half = MAX_LINE_BYTES // 2  # a line that is too long has a whole step without a newline: a step costs one short search
    at = 0
    while at + half <= len(data):
        if data.find(b"\n", at, at + half) >= 0:
            at += half
            continue
        begin, end = data.rfind(b"\n", start, at) + 1 or start, data.find(b"\n", at) + 1 or len(data)
        size = end - begin - data.endswith(b"\n", begin, end)
        if size > MAX_LINE_BYTES:
            before = count_lines(data, start, begin)
            if before:
                yield Block(data[start:begin], first, before)
            yield Block(b"", first + before, 1, complete=end < len(data) or block.complete, too_long=size)
            first, start = first + before + 1, end
        at = max(end - end % half, at + half)
    if not start:
        yield block
    elif start < len(data):
        yield Block(data[start:], first, block.first_line + block.lines - first, block.complete)


def _blocks(pieces: Iterator[bytes], block_bytes: int) -> Iterator[Block]:
    line = 1
    pending: list[bytes] = []
    size = 0
    skipped = 0
    for piece in pieces:
        rest = piece
        if skipped:
            end = rest.find(b"\n")
            if end < 0:
                skipped += len(rest)
                continue
            yield Block(b"", line, 1, too_long=skipped + end)
            line, rest, skipped = line + 1, rest[end + 1 :], 0
        pending.append(rest)
        size += len(rest)
        if size < block_bytes:
            continue
        data = b"".join(pending)
        whole = data.rfind(b"\n") + 1
        if whole:
            lines = count_lines(data, 0, whole)
            yield Block(data[:whole], line, lines)
            line += lines
        pending, size = [data[whole:]], len(data) - whole
        if size > MAX_LINE_BYTES:
            skipped, pending, size = size, [], 0
    if skipped:
        yield Block(b"", line, 1, complete=False, too_long=skipped)
    data = b"".join(pending)
    if not data:
        return
    whole = data.rfind(b"\n") + 1
    if whole:
        lines = count_lines(data, 0, whole)
        yield Block(data[:whole], line, lines)
        line += lines
    if whole < len(data):
        yield Block(data[whole:], line, 1, complete=False)
