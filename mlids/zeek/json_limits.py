"""Limits of JSON lines, checked on the bytes before a JSON parser sees them.

The parser of polars recurses once per level of nesting and overflows its stack at about 950 levels, which ends the
process; its time and memory grow with the square of the number of keys.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# Zeek nests twice at most: a list in an object, or the `id` object of some log shippers.
MAX_DEPTH = 32
# Zeek's widest log, with packages that add fields, has fewer than 200.
MAX_KEYS = 1_024
# Rows times columns of one frame. A block of ordinary rows has 4 million; rows of `{}` under 1,024 columns, 10 billion.
MAX_CELLS = 32 << 20

# Lines whose positions are kept at once: 8 MB of newlines would take 300 MB.
MAX_LINES = 1 << 20
_QUOTE, _COLON, _NEWLINE = b'":\n'
# Bytes before a quote that begins a value (the address :: and the items after it in a list) or is inside one.
_ENDS_A_KEY = np.ones(256, bool)
_ENDS_A_KEY[list(b":,[{ \t\\")] = False
_CHUNK = 1 << 18  # bytes whose masks fit the processor's cache: four times as fast as whole blocks
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))

_Positions = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Measured:
    """Counts of a block: `rows` (empty lines included), `cells` (keys with a value), whether every line keeps the limits.

    `nested` is false when no value can be a list or an object.
    """

    rows: int
    cells: int
    within_limits: bool
    nested: bool = True


def measure(data: bytes) -> Measured:
    """Return the counts of whole JSON lines. Costs a few percent of parsing them; numpy releases the interpreter lock."""
    letters = np.frombuffer(data, np.uint8)
    ends, colons, opens = _positions(letters)
    if not data.endswith(b"\n"):
        ends = np.append(ends, len(data))
    colons_of_line = np.diff(np.searchsorted(colons, ends), prepend=0)
    opens_of_line = np.diff(np.searchsorted(opens, ends), prepend=0)
    keys = colons[colons > 1]
    keys = keys[letters[keys - 1] == _QUOTE]
    cells = int(np.count_nonzero(_ENDS_A_KEY[letters[keys - 2]]))
    # Brackets and colons inside strings are counted too: the few lines with many of them are inspected.
    suspects = np.flatnonzero((colons_of_line > MAX_KEYS) | (opens_of_line > MAX_DEPTH))
    within = all(limit_exceeded(data[ends[n - 1] + 1 if n else 0 : ends[n]]) is None for n in suspects)
    return Measured(len(ends), cells, within, nested=len(opens) > len(ends))


def _positions(letters: npt.NDArray[np.uint8]) -> tuple[_Positions, _Positions, _Positions]:
    """Return the positions of newlines, of colons, and of opening brackets and braces."""
    found: tuple[list[_Positions], list[_Positions], list[_Positions]] = ([], [], [])
    for start in range(0, len(letters), _CHUNK):
        chunk = letters[start : start + _CHUNK]
        # `[` and `{` differ in one bit.
        for mask, positions in zip((chunk == _NEWLINE, chunk == _COLON, (chunk & 0xDF) == 0x5B), found, strict=True):
            positions.append(np.flatnonzero(mask) + start)
    ends, colons, opens = (np.concatenate(p) if p else np.empty(0, np.int64) for p in found)
    return ends, colons, opens


def limit_exceeded(line: bytes) -> str | None:
    """Return the reason to reject a line without parsing it; None when it keeps the limits."""
    if line.count(b"[") + line.count(b"{") <= MAX_DEPTH and line.count(b":") <= MAX_KEYS:
        return None
    bare = _STRING.sub(b"", line)
    keys = bare.count(b":")
    if keys > MAX_KEYS:
        return f"{keys:,} keys in one line; at most {MAX_KEYS:,} are read"
    depth = deepest = 0
    for letter in bare.translate(None, _NO_BRACKETS):
        depth += 1 if letter in b"[{" else -1
        deepest = max(deepest, depth)
    return f"nested {deepest:,} deep; at most {MAX_DEPTH} levels are read" if deepest > MAX_DEPTH else None
