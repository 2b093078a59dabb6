"""What a scorer keeps on disk between two batches: position, past, open alerts, and which rows it has scored.

Position, past and alerts belong together and change together: the past lies in a file of its own, and one
rename of `checkpoint.json` makes it current. A killed scorer goes on from the last one; what it had scored
since is scored again, under the same ids.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import time
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from mlids.alerts.aggregation import AlertAggregator
from mlids.alerts.document import Alert
from mlids.alerts.grouping import GroupKey
from mlids.errors import ModelError, StoreError
from mlids.features.context import Context
from mlids.files import write_atomic
from mlids.ingest.follow import Position
from mlids.scoring.late import ScoredRecord

log = logging.getLogger(__name__)

SCORED = "scored"  # folder of the record, below the sensor's
EVERY_S = 5.0
# A past of a million hosts takes long to write: checkpoints may take this share of the time.
SHARE = 0.02


@dataclass
class Held:
    """A checkpoint that was read. `context` is None where it was made by another version, or is damaged."""

    position: Position
    context: Context | None
    alerts: dict[str, Alert]
    rows: int
    rejected: int


class Checkpoint:
    """The state folder of one sensor's scorer; one scorer at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.scored = ScoredRecord(folder / SCORED)
        self._lock: int | None = None
        self._next = time.monotonic() + EVERY_S

    def lock(self, sensor: str) -> None:
        """Take the sensor. Raises StoreError when another scorer has it."""
        self._lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.unlock()
            raise StoreError(f"another scorer follows sensor {sensor} already (lock {self.folder / 'lock'})") from error

    def unlock(self) -> None:
        """Let go of the sensor."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @property
    def due(self) -> bool:
        """Whether it is time for the next one."""
        return time.monotonic() >= self._next

    def save(self, position: Position, context: Context, aggregator: AlertAggregator, rows: int, rejected: int) -> None:
        """Store the state. Raises StoreError when the disk refuses: the one before stays in force."""
        began = time.monotonic()
        self._next = began + EVERY_S
        self.scored.store()
        past = self.folder / f"context-{position.identity}-{position.offset}.npz"
        _write(past, context.dump)
        held = {
            "position": asdict(position), "context": past.name, "rows": rows, "rejected": rejected,
            "alerts": [asdict(a) | {"ts": a.ts.isoformat(), "last_ts": a.last_ts.isoformat()} for a in aggregator.open.values()],
        }  # fmt: skip
        _write(self.folder / "checkpoint.json", json.dumps(held).encode())
        for old in self.folder.glob("context-*.npz"):
            if old != past:
                old.unlink(missing_ok=True)
        now = time.monotonic()
        self._next = now + max(EVERY_S, (now - began) / SHARE)

    def load(self) -> Held | None:
        """Return the last checkpoint; None when there is none, or it is not one."""
        self.scored.forget()
        path = self.folder / "checkpoint.json"
        try:
            held = json.loads(path.read_text(encoding="utf-8"))
            position = Position(**held["position"])
            rows, rejected = int(held["rows"]), int(held["rejected"])
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            log.warning("%s cannot be read: %s; the log is read from its beginning", path, error)
            return None
        alerts: dict[str, Alert] = {}
        try:
            alerts = _alerts(held["alerts"])
            with (self.folder / held["context"]).open("rb") as past:
                context = Context.load(past)
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, ModelError) as error:
            log.warning("%s: what it holds of the past cannot be used: %s; it is read again from the log", path, error)
            context = None
        return Held(position, context, alerts, rows, rejected)


def _alerts(held: list[dict[str, Any]]) -> dict[str, Alert]:
    out = {}
    for entry in held:
        times = {name: datetime.fromisoformat(str(entry[name])) for name in ("ts", "last_ts")}
        alert = Alert(**(entry | times | {"key": GroupKey(**entry["key"])}))
        out[alert.id] = alert
    return out


def _write(path: Path, data: bytes | Callable[[BinaryIO], None]) -> None:
    try:
        write_atomic(path, data)
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or error}") from error
