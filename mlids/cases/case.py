"""One case: what happened to one host of the site, with its evidence."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from typing import Any

from mlids.cases.severity import Severity
from mlids.cases.weighing import Other
from mlids.cases.words import next_step, sentence, words_of
from mlids.evidence.attack import tactics, technique_name
from mlids.evidence.base import Evidence
from mlids.window import stamp

UIDS_SHOWN = 10


@dataclass(frozen=True)
class Subject:
    """What a case is about: a host of the site, or the service of one that is attacked from outside."""

    host: str
    service: str = ""  # `22/tcp` of an attacked service
    source: str = ""  # of a talk that only one outside host has with it

    @property
    def key(self) -> tuple[str, str, str]:
        """What distinguishes it from other subjects."""
        return (self.host, self.service, self.source)


@dataclass(frozen=True)
class Case:
    """A case as it is gathered. `evidence` is sorted, the strongest first; `evidence` of one kind and target is one piece."""

    sensor: str
    subject: Subject
    score: float  # 0 to 100
    severity: Severity
    evidence: tuple[Evidence, ...]
    others: Mapping[str, Other] = field(default_factory=dict)  # what is known of the other sides, by address

    @property
    def id(self) -> str:
        """The id of a sensor's case about this subject that begins on this day: the same however often it is gathered."""
        day = f"{self.first:%Y-%m-%d}" if self.first is not None else ""
        return hashlib.sha256("\x1f".join(["case", self.sensor, *self.subject.key, day]).encode()).hexdigest()[:16]

    @property
    def first(self) -> datetime | None:
        """When the first of its evidence began, UTC; None when no evidence has a time."""
        return min((e.first for e in self.evidence if e.first is not None), default=None)

    @property
    def last(self) -> datetime | None:
        """When the last of its evidence was seen, UTC."""
        return max((e.last for e in self.evidence if e.last is not None), default=None)

    @property
    def title(self) -> str:
        """One sentence: who does what."""
        strongest = self.evidence[0]
        who = strongest.source or "an unknown host"
        return f"{who} {sentence(strongest)}{self._named(strongest)}"

    def _named(self, evidence: Evidence) -> str:
        name = self.others.get(evidence.target, Other()).name
        return f" ({name})" if name is not None else ""

    @property
    def uids(self) -> list[str]:
        """Uids of conns: of each piece of evidence the first, the strongest evidence first, then the others."""
        lists = [e.uids for e in self.evidence]
        longest = max((len(u) for u in lists), default=0)
        turns = [uids[i] for i in range(min(longest, UIDS_SHOWN)) for uids in lists if i < len(uids)]
        return list(dict.fromkeys(turns))[:UIDS_SHOWN]

    @property
    def techniques(self) -> list[str]:
        """ATT&CK ids of its evidence, the strongest first."""
        return list(dict.fromkeys(t for e in self.evidence if (t := words_of(e.kind).technique)))

    @property
    def timeline(self) -> list[tuple[datetime, str]]:
        """When each piece of evidence began, and what it was, in order of time; evidence without a time is left out."""
        entries = [(e.first, f"{e.source} {sentence(e)}") for e in self.evidence if e.first is not None]
        return sorted(entries, key=lambda entry: entry[0])

    @property
    def next_steps(self) -> list[str]:
        """What to look at next, by the three strongest kinds of evidence."""
        return list(dict.fromkeys(next_step(e) for e in self.evidence))[:3]

    def as_dict(self) -> dict[str, Any]:
        """Return the case as JSON values."""
        return {
            "id": self.id, "sensor": self.sensor, "host": self.subject.host, "service": self.subject.service or None,
            "severity": str(self.severity), "score": round(self.score, 1), "title": self.title,
            "first": stamp(self.first) if self.first else None, "last": stamp(self.last) if self.last else None,
            "techniques": self.techniques, "attack": [{"id": t, "name": technique_name(t), "tactics": list(tactics(t))} for t in self.techniques],
            "uids": self.uids, "next_steps": self.next_steps,
            "others": [
                {"address": t, "name": o.name, "hosts": o.hosts}
                for t, o in self.others.items()
            ],
            "evidence": [evidence_dict(e) for e in self.evidence],
        }  # fmt: skip


def evidence_dict(e: Evidence) -> dict[str, Any]:
    """Return a piece of evidence as JSON values."""
    return {
        "kind": e.kind, "log": e.log, "score": round(e.score, 3), "sentence": f"{e.source} {sentence(e)}", "text": e.text,
        "source": e.source, "target": e.target or None, "port": e.port, "proto": e.proto or None, "subject": e.subject or None,
        "first": stamp(e.first) if e.first else None, "last": stamp(e.last) if e.last else None, "count": e.count,
        "technique": words_of(e.kind).technique or None, "uids": list(e.uids[:UIDS_SHOWN]),
    }  # fmt: skip


def strongest_first(evidence: Sequence[Evidence]) -> tuple[Evidence, ...]:
    """Return evidence by score, then by how much of it there is."""
    return tuple(sorted(evidence, key=lambda e: (-e.score, -e.count, e.kind, e.target)))


def record_of(e: Evidence) -> dict[str, Any]:
    """Return a piece of evidence as JSON values that `evidence_of` takes back; uids beyond UIDS_SHOWN are dropped."""
    out = asdict(e) | {"uids": list(e.uids[:UIDS_SHOWN]), "score": round(e.score, 6)}
    return out | {n: stamp(t) if (t := getattr(e, n)) is not None else None for n in ("first", "last")}


def evidence_of(record: Mapping[str, Any]) -> Evidence:
    """Return the evidence of a record; fields of other versions are ignored."""
    known = {f.name: record[f.name] for f in fields(Evidence) if f.name in record}
    times = {n: datetime.fromisoformat(known[n]) if known.get(n) else None for n in ("first", "last")}
    return Evidence(**(known | times | {"uids": tuple(known.get("uids") or ())}))
