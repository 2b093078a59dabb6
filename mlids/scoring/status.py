"""The status of a running scorer: its states, its counters, and the file `status.json` that people and probes read."""

from __future__ import annotations

import json
import logging
import os
import time
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

from mlids.files import write_atomic
from mlids.text import redact

log = logging.getLogger(__name__)

PUBLISH_S = 1.0
RATE_S = 5.0
# A sensor or sink that is down for less than this is not reported as a fault.
GRACE_S = 60.0
# A scorer that failed this often within this time is not well, whatever it does at the moment.
LOOP_FAILURES, LOOP_S = 3, 300.0
# A clock that is corrected by less than this was not set back.
CLOCK_STEP_S = 5.0
# Upper bounds of the buckets of latencies in seconds, included; what is above the last one has a bucket of its own.
LATENCY_BOUNDS_S = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 3_600.0)
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class ScorerState(StrEnum):
    """What a scorer does now. The values are the texts in `status.json`, which are a file format."""

    STARTING = "starting"
    FOLLOWING = "following"
    WAITING = "waiting"  # for a sensor, a model or a disk, after an error: see `last_error`
    WAITING_FOR_SINK = "waiting for a sink"
    WAITING_FOR_LOG = "waiting for the log"
    WAITING_FOR_ARCHIVE = "waiting for the archive"
    REFUSED = "refused"  # the sensor cannot be followed until someone acts: its host key changed, another scorer has it
    FAILED = "failed; starts again"
    STOPPED = "stopped"
    UNKNOWN = "unknown"  # never written: the text of another version

    @classmethod
    def _missing_(cls, value: object) -> ScorerState:
        return cls.UNKNOWN

    @property
    def is_following(self) -> bool:
        """Whether new rows are scored as they are written."""
        return self is ScorerState.FOLLOWING

    @property
    def is_blocked(self) -> bool:
        """Whether scoring waits because of an error; a fault when it lasts."""
        return self in {ScorerState.WAITING, ScorerState.WAITING_FOR_SINK}

    @property
    def is_good(self) -> bool:
        """Whether the scorer works, or waits for something that may come by itself."""
        return self not in {ScorerState.REFUSED, ScorerState.FAILED, ScorerState.UNKNOWN}


@dataclass
class Status:
    """State and counters of one scorer; times are ISO 8601 in UTC. The field names are those of `status.json`."""

    sensor: str
    state: ScorerState = ScorerState.STARTING
    state_since: str = ""
    model_version: str | None = None
    model_error: str | None = None
    model_note: str | None = None  # why the reference model scores; None while the site's own does
    rows: int = 0
    rejected: int = 0
    alerts: int = 0
    errors: int = 0
    dead_letters: int = 0
    left_to_ledger: int = 0  # rotated logs that could not be read to their end
    stopped_sinks: dict[str, str] = field(default_factory=dict)  # sinks that do not let us write, with the reason
    last_error: str | None = None
    last_row_ts: str | None = None  # when the newest scored conn ended
    lag_s: float = 0.0  # seconds from the end of the newest conn to its scoring; 0 when all written rows are scored
    rows_per_s: float = 0.0
    latency_counts: list[int] = field(
        default_factory=list
    )  # conns by seconds from their end to their scoring, in the buckets of LATENCY_BOUNDS_S
    latency_sum_s: float = 0.0
    updated_at: str = ""
    updated_boot_s: float = 0.0  # the same as seconds since the machine started, which nobody can set
    boot_id: str = ""  # which start of which machine that was
    pid: int = field(default_factory=os.getpid)
    failed_at: list[str] = field(default_factory=list)  # when it failed and started again, within the last LOOP_S
    other_logs: dict[str, Any] = field(
        default_factory=dict
    )  # rows and rejected lines of each log beside conn.log; `error` when they are not read
    put_aside: int = 0  # lines that killed the scorer, kept in put-aside.jsonl

    @classmethod
    def of(cls, stored: dict[str, Any]) -> Status:
        """Return a status from the values of a status file, which another version may have written.

        Without a state it is unknown. Raises ValueError or TypeError when they are no values of a status.
        """
        if not isinstance(stored, dict):
            raise ValueError("a status is a JSON object")
        known = {f.name for f in fields(cls)}
        status = cls(**{name: value for name, value in stored.items() if name in known})
        status.state = ScorerState(stored.get("state", ""))
        return status

    @classmethod
    def load(cls, path: Path, sensor: str) -> Status:
        """Return the status in a file; a new one when there is none or it cannot be read."""
        try:
            return cls.of(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return cls(sensor)

    def note_failure(self, reason: str) -> bool:
        """Record that the scorer failed and will start again; return whether this makes it a crash loop."""
        now = datetime.now(UTC)
        since = (now - timedelta(seconds=LOOP_S)).isoformat()
        was = self.recent_failures >= LOOP_FAILURES
        self.failed_at = [at for at in self.failed_at if at > since] + [now.isoformat()]
        self.failed_at = self.failed_at[-10:]
        self.errors += 1
        self.last_error, self.state = reason, ScorerState.FAILED
        return not was and self.recent_failures >= LOOP_FAILURES

    @property
    def age_s(self) -> float:
        """Seconds since the last report, whatever the clock was set to meanwhile; below 0 for one of the future of another machine."""
        if self.boot_id and self.boot_id == boot_id():
            return max(time.clock_gettime(time.CLOCK_BOOTTIME) - self.updated_boot_s, 0.0)
        return age_s(self.updated_at)

    @property
    def log_rows(self) -> dict[str, int]:
        """Rows read of each log beside conn.log, over all runs."""
        logs = self.other_logs.get("logs")
        return {name: counts.get("rows", 0) for name, counts in logs.items()} if isinstance(logs, dict) else {}

    @property
    def log_error(self) -> str | None:
        """Why logs beside conn.log are not read as they should be; None while they are."""
        error = self.other_logs.get("error")
        return str(error) if error else None

    @property
    def silence(self) -> str | None:
        """Why it is not known what the scorer does, when its last report is from the future; None otherwise."""
        if self.updated_at and self.age_s < -CLOCK_STEP_S:
            return f"its last report is from {self.updated_at}, which is in the future (state {self.state}): was the clock set back? is it still running?"
        return None

    @property
    def recent_failures(self) -> int:
        """How often the scorer failed within the last LOOP_S."""
        since = (datetime.now(UTC) - timedelta(seconds=LOOP_S)).isoformat()
        return sum(at > since for at in self.failed_at)

    @property
    def fault(self) -> str | None:
        """What is wrong with the scorer; None while it works, or waits for something that may come by itself."""
        return self.fault_after(GRACE_S)

    def fault_after(self, grace_s: float) -> str | None:
        """Return the same, with another time after which it is a fault that a sensor or a sink is down."""
        if self.recent_failures >= LOOP_FAILURES:
            return f"failed {self.recent_failures} times within {LOOP_S:.0f} s and starts again each time: {self.last_error}"
        if not self.state.is_good:
            return f"{self.state}: {self.last_error}"
        if self.state.is_blocked and self.state_since and not -CLOCK_STEP_S <= age_s(self.state_since) <= grace_s:
            return f"{self.state}: {self.last_error}"
        return None

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as plain values, as `status.json` has them; texts hold no passwords of URLs."""
        shown = {name: redact(value) if isinstance(value, str) else value for name, value in asdict(self).items()}
        stopped = {name: redact(why) for name, why in self.stopped_sinks.items()}
        return shown | {"state": str(self.state), "stopped_sinks": stopped}


@cache
def boot_id() -> str:
    """Return the name of this start of this machine; empty where the kernel gives none."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def age_s(stamp: str) -> float:
    """Return the seconds since a time in ISO 8601."""
    return (datetime.now(UTC) - datetime.fromisoformat(stamp)).total_seconds()


class StatusFile:
    """Writes a status to `path`: at once when the state changes, else once a second."""

    def __init__(self, path: Path, status: Status) -> None:
        self._path, self._status = path, status
        self._written = 0.0
        self._rate_from = (time.monotonic(), 0)  # when, and how many rows by then

    def publish(self, state: ScorerState, *, force: bool = False) -> None:
        """Set the state and write the file when it is time. A full disk is logged and does not end the scoring."""
        status, now = self._status, time.monotonic()
        if state is status.state and not force and now - self._written < PUBLISH_S:
            return
        self._written = now
        self._update_rate(now)
        if state is not status.state or not status.state_since:
            status.state_since = datetime.now(UTC).isoformat(timespec="seconds")
        status.state = state
        status.updated_at = datetime.now(UTC).isoformat(timespec="milliseconds")
        status.updated_boot_s, status.boot_id = time.clock_gettime(time.CLOCK_BOOTTIME), boot_id()
        try:
            write_atomic(self._path, json.dumps(status.as_dict()), sync=False)
        except OSError as error:
            log.warning("the status file could not be written: %s", error, extra={"sensor": status.sensor})

    def _update_rate(self, now: float) -> None:
        since, rows = self._rate_from
        if now - since >= RATE_S:
            self._status.rows_per_s = round(max(self._status.rows - rows, 0) / (now - since), 1)
            self._rate_from = (now, self._status.rows)


def log_failure(status: Status, *, loops: bool, error: BaseException | None = None) -> None:
    """Write one line about a failure of a scorer, with a traceback when it is the first; a crash loop is an error of its own."""
    if loops:
        log.error("the scorer of sensor %s is in a crash loop: %s", status.sensor, status.fault)
    elif status.recent_failures == 1:
        log.error("the scorer of sensor %s failed; it starts again: %s", status.sensor, status.last_error, exc_info=error)
    else:
        log.warning("the scorer of sensor %s failed again: %s", status.sensor, status.last_error)
