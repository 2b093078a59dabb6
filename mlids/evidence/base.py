"""What a log beside conn.log adds: evidence about conns, with a score, words and the conns' uids."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar

import polars as pl

from mlids.evidence.names import Names
from mlids.features.flow import ON_LINK_NETWORKS, PRIVATE_NETWORKS, Distinct


@dataclass(frozen=True)
class Kind:
    """A kind of evidence: what it is called, and what an analyst does about it."""

    name: str  # also the kind of its alerts
    title: str  # of an alert: "TITLE by 10.0.0.5"
    sentence: str  # completes "10.0.0.5 …" in the title of a case; `{target}` and `{subject}` are the evidence's own
    technique: str  # ATT&CK id, checked against `mlids.evidence.attack`
    next_step: str  # what to look at next


@dataclass(frozen=True)
class Evidence:
    """One piece of evidence: what a source did, judged by one log. None and empty: not known."""

    kind: str  # a behaviour, or the name of a Kind; also the kind of its alert
    score: float  # 0 to 1: how sure it is by itself; from 0.5 on it makes a case of medium severity without any other
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
    log: str = ""  # Zeek's name of the log that it comes from; set by `Collectors`
    sentence: str = ""  # completes "10.0.0.5 …"; empty: the sentence of its kind


@dataclass(frozen=True)
class SiteView:
    """What a collector may ask about the site besides its own logs."""

    networks: Sequence[str] = ()  # inside, as CIDR; none: private addresses, and `local`
    local: frozenset[str] = frozenset()  # further addresses of the site; with `networks` they are ignored
    names: Names = field(default_factory=Names)
    conns: Callable[[], Iterable[pl.DataFrame]] = tuple  # conn.log in batches with `id.orig_h` and `id.resp_h`; every call reads it anew

    def inside(self, addresses: pl.Series) -> pl.Series:
        """Return for each address whether it belongs to the site; false for null and for what is no address."""
        networks = tuple(self.networks)
        found = Distinct(addresses).inside((*networks, *ON_LINK_NETWORKS) if networks else PRIVATE_NETWORKS)
        return found if networks or not self.local else found | addresses.is_in(list(self.local)).fill_null(value=False)


class Collector(ABC):
    """Collects evidence from the rows of one log, or of a few. State is bounded, whatever the logs hold.

    `reads` are the fields that are read, by Zeek's name of the log; the first log is the one that evidence is said to come
    from. `kinds` are what may be found. A log may lack any field: evidence that cannot be judged is absent. `one_day` counts
    all rows as one day, as a day of the lake is the sensor's own. All state is in `tables`, which a checkpoint stores.
    """

    reads: ClassVar[Mapping[str, tuple[str, ...]]]
    kinds: ClassVar[tuple[Kind, ...]] = ()

    def __init__(self, *, one_day: bool = False) -> None:
        self.one_day = one_day
        self.tables: dict[str, pl.DataFrame] = {}

    @abstractmethod
    def add(self, log: str, rows: pl.DataFrame) -> None:
        """Take a batch of rows of one of the logs, in its order. Logs come in any order."""

    @abstractmethod
    def evidence(self, site: SiteView) -> list[Evidence]:
        """Return the evidence found so far, the clearest first. It does not change the state."""
