"""The identity of a Zeek log: it stays the same when the log grows, is renamed or is compressed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import BinaryIO

IDENTITY_BYTES = 4_096


def read_identity(log: BinaryIO) -> str:
    """Return the identity of an open, uncompressed log; moves its file position."""
    log.seek(0)
    return identity_of(log.read(IDENTITY_BYTES))


def identity_of(head: bytes) -> str:
    """Return the hash of the `#open` line and the first row, from the first IDENTITY_BYTES of a log.

    Empty while there is no row: such a log has nothing that could be lost.
    """
    digest = hashlib.sha256()
    for line in head[:IDENTITY_BYTES].lstrip(b"\0").splitlines(keepends=True):
        if line.startswith(b"#open"):
            digest.update(line)
        elif line.strip() and not line.startswith(b"#"):
            digest.update(line)
            return digest.hexdigest()[:24] if line.endswith(b"\n") or len(head) >= IDENTITY_BYTES else ""
    return ""


def first_bytes(pieces: Iterable[bytes]) -> bytes:
    """Return the first IDENTITY_BYTES of a stream."""
    head = b""
    for piece in pieces:
        head += piece
        if len(head) >= IDENTITY_BYTES:
            break
    return head[:IDENTITY_BYTES]
