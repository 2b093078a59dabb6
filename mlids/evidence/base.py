"""What a log beside conn.log adds: evidence about conns, with a score, words and the conns' uids."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Protocol

import polars as pl


@dataclass(frozen=True)
class Evidence:
    """One piece of evidence: what a source did, judged by one log. None and empty: not known."""

    kind: str  # the behaviour that it supports; also the kind of its alert
    score: float  # 0 to 1
    text: str  # what was seen, with numbers
    uids: tuple[str, ...]  # of the conns that it is about
    source: str  # address of the originator
    subject: str  # what tells it from other evidence of this kind and source: a DNS zone, a host name
    target: str = ""  # address of the responder that most of it went to
    port: int | None = None  # of that responder
    proto: str = ""
    first: datetime | None = None  # UTC
    last: datetime | None = None
    count: int = 1  # of names, requests, sessions …
    log: str = ""  # Zeek's name of the log that it was read from; set by whoever runs the collector


class LogEvidence(Protocol):
    """Collects evidence from the rows of one log. State is bounded, whatever the log holds.

    `log` is Zeek's name of the log, `fields` are those that are read. A log may lack any of them: evidence that
    cannot be judged is absent. `one_day` counts all rows as one day, as a day of the lake is the sensor's own.
    """

    log: ClassVar[str]
    fields: ClassVar[tuple[str, ...]]

    def __init__(self, *, one_day: bool = False) -> None: ...

    def add(self, rows: pl.DataFrame) -> None:
        """Take a batch of rows in the log's order."""

    def evidence(self, conns: Iterable[pl.DataFrame]) -> list[Evidence]:
        """Return the evidence found so far, the clearest first; `conns` (`id.resp_h`) are read only where that is needed."""
