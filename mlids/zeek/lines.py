"""Finds lines in a block of bytes: those with content, and the directives of a header. Blank lines and comments cost a search each run."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mlids.zeek.bytestream import count_lines

_WORDS = rb"(?:separator|set_separator|empty_field|unset_field|path|open|close|fields|types)\b"
_DIRECTIVE = re.compile(rb"#" + _WORDS)
# Possessive: a run of ten million lines needs no memory. The last line of a file may lack its newline.
_BLANK = re.compile(rb"(?:[^\S\n]*+\n)++")
_COMMENTS = re.compile(rb"(?:#(?!" + _WORDS + rb")[^\n]*+\n)++")
_BEGINS_A_RUN = frozenset(b" \t\r\v\f\n#")
_HASH, _NEWLINE = b"#\n"
_MANY_HASHES = 1_000
_MAGIC = frozenset({b"\x1f\x8b", b"x\x01", b"x^", b"x\x9c", b"x\xda"})


def is_directive(line: bytes, at: int = 0) -> bool:
    """Return whether the line that begins at `at` is a Zeek directive; other lines that start with `#` are comments."""
    return _DIRECTIVE.match(line, at) is not None


def looks_compressed(data: bytes) -> bool:
    """Return whether polars would decompress `data`, without any limit: a row may begin with the first bytes of a gzip, zstd or zlib stream."""
    return data[:2] in _MAGIC or data[:4] == b"\x28\xb5\x2f\xfd"


def content_lines(data: bytes, start: int = 0, *, comments: bool = False) -> Iterator[tuple[int, int, int]]:
    """Yield number (from 0), begin and end (without the newline) of each line that is not blank.

    With `comments` lines that start with `#` and are no directives are left out, too.
    """
    number, at = 0, start
    while at < len(data):
        if data[at] in _BEGINS_A_RUN:
            run = _BLANK.match(data, at) or (_COMMENTS.match(data, at) if comments else None)
            if run is not None:
                number += count_lines(data, at, run.end())
                at = run.end()
                continue
        end = data.find(b"\n", at)
        if end < 0:
            end = len(data)
        if not data[at:end].isspace() and not (comments and data[at] == _HASH and not is_directive(data, at)):
            yield number, at, end
        number += 1
        at = end + 1


def directives(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield begin and end (with the newline) of each directive.

    Searching for the one byte `#` is many times faster than for newline and `#`, unless values contain many of it.
    """
    at, inside = 0, 0
    while True:
        at = data.find(b"#", at) if inside < _MANY_HASHES else data.find(b"\n#", max(at - 1, 0)) + 1 or -1
        if at < 0:
            return
        if at and data[at - 1] != _NEWLINE:
            at, inside = at + 1, inside + 1
            continue
        if is_directive(data, at):
            end = data.find(b"\n", at) + 1 or len(data)
            yield at, end
        else:
            run = _COMMENTS.match(data, at)
            end = run.end() if run is not None else len(data)
        at = end
        if at >= len(data):
            return
