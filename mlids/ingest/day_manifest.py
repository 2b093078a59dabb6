"""The manifest of a lake day: `_manifest.json` beside its parts."""

from __future__ import annotations

from dataclasses import dataclass, field

MANIFEST = "_manifest.json"


@dataclass(frozen=True)
class SourceEntry:
    """One source file of a lake day."""

    name: str
    size: int
    sha256: str | None
    rows: int
    rejected: int
    problem: str | None = None


@dataclass
class DayManifest:
    """What a lake day holds, and the files it was made from."""

    log: str
    sensor: str
    date: str
    rows: int = 0
    rejected: int = 0
    sources: list[SourceEntry] = field(default_factory=list)
    fields: list[str] = field(default_factory=list)  # Zeek fields seen
    columns: dict[str, str] = field(default_factory=dict)  # name → polars type
    written_at: str = ""
