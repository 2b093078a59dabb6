"""What a sink is: it takes alert documents, and when `write` returns they are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Document = dict[str, Any]


@dataclass(frozen=True)
class Refused:
    """A document that a sink will never take, and why."""

    document: Document
    reason: str


class Sink(Protocol):
    """Takes alert documents; when `write` returns, they are kept. The same alert twice is kept once."""

    name: str

    def write(self, documents: Sequence[Document]) -> list[Refused]:
        """Keep the documents; return those refused for good. Raises StoreError when it may work later."""
