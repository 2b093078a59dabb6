"""zeekctl's archive: `YYYY-MM-DD/TYPE.HH:MM:SS-HH:MM:SS.log.gz`, and which names may be trusted."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from fnmatch import fnmatchcase
from typing import BinaryIO, Protocol

from mlids.errors import UnsafeNameError
from mlids.window import zone
from mlids.zeek.log_types import NOT_LOGS

_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:+\-]{0,200}\Z")
_TIME = re.compile(r"\.(\d{2}):\d{2}:\d{2}-")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}\Z")
_LOG = re.compile(r"\.(log|json|jsonl)(\.gz|\.zst)?\Z")


@dataclass(frozen=True)
class RemoteFile:
    """A file as its source lists it."""

    name: str
    size: int
    mtime: int


class Archive(Protocol):
    """A tree of day folders, wherever it is."""

    name: str

    def days(self) -> list[date]:
        """Return the days that have a folder."""

    def list_day(self, day: date) -> list[RemoteFile]:
        """Return the files of a day. Raises SourceError when there is no such day."""

    def open(self, day: date, name: str, offset: int) -> BinaryIO:
        """Return the file from `offset` on, for reading."""

    def stat(self, day: date, name: str) -> RemoteFile:
        """Return the file's size and time now."""


def safe_name(name: str, where: str) -> str:
    """Return the name when it can neither leave the landing folder nor disturb it.

    Raises UnsafeNameError otherwise: names on a sensor are not ours.
    """
    if not _SAFE.match(name) or ".." in name:
        raise UnsafeNameError(f"{where}: the name {name[:80]!r} is refused: only letters, digits and _ . : + - are taken")
    return name


def log_type(name: str) -> str:
    """Return the log type of an archived file: what stands before the first dot."""
    return name.split(".", 1)[0]


def is_wanted(name: str, types: tuple[str, ...]) -> bool:
    """Say whether an archived file is a log of a wanted type; `conn` does not catch `conn-summary`."""
    kind = log_type(name)
    if not _LOG.search(name) or kind in NOT_LOGS:
        return False
    return any(fnmatchcase(kind, pattern) for pattern in types)


def hour_of(name: str, start: datetime, zone_name: str) -> datetime:
    """Return the hour, UTC, in which an archived file begins: `conn.13:00:00-14:00:00.log.gz` of the day that begins at `start`.

    A name without a time counts for the day's first hour; the hour that a clock change repeats, for its first pass.
    """
    found = _TIME.search(name)
    if found is None:
        return start
    local = start.astimezone(zone(zone_name)).replace(hour=int(found[1]) % 24, minute=0, second=0)
    return local.astimezone(UTC).replace(minute=0)


def as_day(name: str) -> date | None:
    """Return the day that a folder stands for; None for `current`, `stats` and the like."""
    if not _DAY.match(name):
        return None
    try:
        return date.fromisoformat(name)
    except ValueError:
        return None
