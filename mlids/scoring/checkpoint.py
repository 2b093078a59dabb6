"""The checkpoint of a live scorer: log position, context, open alerts, and the record of the rows it has scored.

Position, context and alerts belong together and change together: the context has a file of its own, and the rename
of `checkpoint.json` makes it current. A killed scorer continues from the last checkpoint; the rows since then are
scored again, under the same alert ids.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl

from mlids.alerts.aggregation import AlertAggregator
from mlids.alerts.document import Alert
from mlids.alerts.grouping import GroupKey
from mlids.errors import ModelError, StoreError
from mlids.features.context import Context
from mlids.files import write_atomic
from mlids.ingest.cursor import Position
from mlids.scoring.scored_record import ScoredRecord
from mlids.scoring.tables_file import read_tables, write_tables

log = logging.getLogger(__name__)

SCORED = "scored"  # folder of the record, in the sensor's state folder
EVERY_S = 5.0
# A context of a million hosts takes long to write: checkpoints take at most this share of the time.
SHARE = 0.02


@dataclass(frozen=True)
class StoredState:
    """A checkpoint as it was loaded. `context` is None where another version wrote it, or it is damaged."""

    position: Position
    context: Context | None
    alerts: dict[str, Alert]
    rows: int
    rejected: int
    day: dict[str, pl.DataFrame]  # of ConnDay; empty where it is damaged or of another version


class Checkpoint:
    """The state folder of one sensor's scorer. Only one scorer may use it at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.scored = ScoredRecord(folder / SCORED)
        self._lock: int | None = None
        self._next = time.monotonic() + EVERY_S

    def lock(self, sensor: str) -> None:
        """Lock the folder. Raises StoreError when another scorer has the lock."""
        path = self.folder / "lock"
        self._lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.unlock()
            raise StoreError(f"another scorer follows sensor {sensor} already (lock {path}); stop it first") from error

    def unlock(self) -> None:
        """Release the lock."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @property
    def due(self) -> bool:
        """Whether it is time to save."""
        return time.monotonic() >= self._next

    def save(
        self, position: Position, context: Context, aggregator: AlertAggregator, rows: int, rejected: int, day: Mapping[str, pl.DataFrame]
    ) -> None:
        """Store the state. Raises StoreError when the disk does not take it: the last checkpoint stays current."""
        began = time.monotonic()
        self._next = began + EVERY_S
        self.scored.store()
        context_file = self.folder / f"context-{position.identity}-{position.offset}.npz"
        _write(context_file, context.dump)
        day_file = self.folder / f"day-{position.identity}-{position.offset}.zip"
        write_tables(day_file, day)
        state = {
            "position": asdict(position), "context": context_file.name, "day": day_file.name, "rows": rows, "rejected": rejected,
            "alerts": [asdict(a) | {"ts": a.ts.isoformat(), "last_ts": a.last_ts.isoformat()} for a in aggregator.open.values()],
        }  # fmt: skip
        _write(self.folder / "checkpoint.json", json.dumps(state).encode())
        for old in (*self.folder.glob("context-*.npz"), *self.folder.glob("day-*.zip")):
            if old not in (context_file, day_file):
                old.unlink(missing_ok=True)
        now = time.monotonic()
        self._next = now + max(EVERY_S, (now - began) / SHARE)

    def load(self) -> StoredState | None:
        """Return the last checkpoint; None when there is none, or it cannot be read (which is logged)."""
        self.scored.forget()
        path = self.folder / "checkpoint.json"
        try:
            state = json.loads(path.read_text(encoding="utf-8"))
            position = Position(**state["position"])
            rows, rejected = int(state["rows"]), int(state["rejected"])
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            log.warning("%s cannot be read: %s; the log is read from its beginning", path, error)
            return None
        alerts: dict[str, Alert] = {}
        try:
            alerts = _alerts(state["alerts"])
            with (self.folder / state["context"]).open("rb") as file:
                context = Context.load(file)
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, ModelError) as error:
            log.warning("%s: its context cannot be used: %s; it is computed again from the log", path, error)
            context = None
        return StoredState(position, context, alerts, rows, rejected, self._day(state.get("day")))

    def _day(self, name: object) -> dict[str, pl.DataFrame]:
        """Return the tables of the day; none when they cannot be read: the night gathers its cases from the archive."""
        if not isinstance(name, str):
            return {}
        try:
            return read_tables(self.folder / Path(name).name)
        except (OSError, ValueError) as error:
            log.warning("what conn.log showed of this day is lost: %s", error)
            return {}


def _alerts(stored: list[dict[str, Any]]) -> dict[str, Alert]:
    out = {}
    for entry in stored:
        times = {name: datetime.fromisoformat(str(entry[name])) for name in ("ts", "last_ts")}
        alert = Alert(**(entry | times | {"key": GroupKey(**entry["key"])}))
        out[alert.id] = alert
    return out


def _write(path: Path, data: bytes | Callable[[BinaryIO], None]) -> None:
    try:
        write_atomic(path, data)
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or error}; free some space or check its permissions") from error
