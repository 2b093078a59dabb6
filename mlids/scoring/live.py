"""The live loop of one sensor: follow, features, model, alerts, sinks, then checkpoint.

Nothing is acknowledged before it is kept. The sensor's log is the queue: while a sink is down nothing is
read, and what was written meanwhile is read afterwards.
"""

from __future__ import annotations

import json
import logging
import os
import random
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Protocol

import polars as pl

from mlids.alerts.aggregation import STRONGER, AlertAggregator
from mlids.alerts.delivery import Delivery
from mlids.alerts.document import Alert
from mlids.alerts.suppression import Rule
from mlids.detectors.bundle import Bundle
from mlids.detectors.verdict import judge
from mlids.errors import HostKeyError, MlidsError, ModelError, SourceError, StoreError
from mlids.features.context import live_context
from mlids.features.extract import Extractor
from mlids.files import write_atomic
from mlids.ingest.follow import Follower, Position
from mlids.ingest.place import Place
from mlids.scoring.checkpoint import Checkpoint
from mlids.scoring.live_model import NONE_YET
from mlids.settings import Sensor
from mlids.zeek.types import conn_columns, ended

log = logging.getLogger(__name__)

BATCH_ROWS = 2_048
# A look costs the same for one row as for a thousand: where a look brings few, the next comes after CALM times the poll interval.
FEW_ROWS, CALM = 64, 3
PUBLISH_S = 1.0
FLUSH_S = 2.0
RULES_S = 5.0
BACKOFF_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
# Rows scored and not recorded as such, because the disk refuses: then it goes back to the last checkpoint and waits.
UNRECORDED_ROWS = 2_000_000


class ModelSource(Protocol):
    """Where the model in production comes from; it may change between two batches."""

    error: str | None  # why the newest one is not in use

    def current(self) -> Bundle | None:
        """Return the model to score with; None while there is none."""


@dataclass
class Status:
    """What people and probes read about a running scorer; times are ISO 8601, UTC."""

    sensor: str
    state: str = "starting"
    state_since: str = ""
    model_version: str | None = None
    model_error: str | None = None
    rows: int = 0
    rejected: int = 0
    alerts: int = 0
    errors: int = 0
    dead_letters: int = 0
    left_to_ledger: int = 0  # rotated logs that could not be read to their end
    last_error: str | None = None
    last_row_ts: str | None = None  # when the newest scored conn ended
    lag_s: float = 0.0  # seconds that the scoring is behind what the sensor has written; 0 when it has caught up
    rows_per_s: float = 0.0
    updated_at: str = ""
    pid: int = 0


class Scorer:
    """Scores one sensor's growing conn.log until told to stop."""

    def __init__(
        self, sensor: Sensor, *, open_place: Callable[[], Place], model: ModelSource, delivery: Delivery, checkpoint: Checkpoint,
        networks: Sequence[str] = (), threshold: float | None = None, poll_s: float = 0.25,
    ) -> None:  # fmt: skip
        self._sensor, self._poll_s, self._threshold, self._networks = sensor, poll_s, threshold, networks
        self._open_place, self._models, self._delivery, self._checkpoint = open_place, model, delivery, checkpoint
        self._follower: Follower | None = None
        self._start: Position | None = None
        self._rebuild = False
        self._rules: list[Rule] | None = None  # None: not read yet
        self._rules_read = 0.0
        self._extractor, self._aggregator = self._fresh()
        self._rejected = 0  # before this follower
        self._grown: dict[str, Alert] = {}  # alerts whose count the sinks do not know yet
        self._flushed = 0.0
        self._published = 0.0
        self._counted = (time.monotonic(), 0)
        self._stop = threading.Event()
        self.status = Status(sensor.name, pid=os.getpid())

    def _fresh(self) -> tuple[Extractor, AlertAggregator]:
        return Extractor(self._networks, live_context()), AlertAggregator(self._rules or ())

    def stop(self) -> None:
        """Ask the loop to end after the batch at hand."""
        self._stop.set()

    def failed(self, error: Exception, seconds: float) -> bool:
        """Note a fault of our own that ended `run`, and wait a while; return True when asked to stop meanwhile.

        `run` may be called again then: it goes on from the last checkpoint.
        """
        self.status.errors += 1
        self.status.last_error = f"{type(error).__name__}: {error}"
        self._publish("failed; starts again", force=True)
        return self._stop.wait(seconds)

    def run(self, seconds: float | None = None) -> Status:
        """Follow and score for `seconds`, or until `stop`.

        While there is no model yet, or the sensor or a sink is down, it waits and says so in its status.
        Raises StoreError when another scorer has this sensor, HostKeyError when its key is unknown or changed.
        """
        self._checkpoint.lock(self._sensor.name)
        try:
            self._restore()
            self._follow(None if seconds is None else time.monotonic() + seconds)
            self._finish()
        except HostKeyError as error:
            self._note(error)
            self._publish("refused", force=True)
            raise
        finally:
            self._close()
            self._checkpoint.unlock()
        return self.status

    def _finish(self) -> None:
        try:
            self._save(force=True)
        except StoreError as error:  # a sink is down: the checkpoint before stays, and its rows are read again
            self._note(error)
            self._restore()
        self._publish("stopped")

    def _follow(self, until: float | None) -> None:
        failures = 0
        while not self._stop.is_set() and (until is None or time.monotonic() < until):
            try:
                took = self._round()
                self._save(force=False)
                failures = 0
            except HostKeyError:
                raise
            except (SourceError, StoreError) as error:
                self._note(error)
                # Where the log broke, every row that it gave was scored: state and position fit each other.
                broke = isinstance(error, SourceError)
                if broke and self._follower is not None:
                    self._start = self._follower.position
                self._close()
                if not broke:
                    self._restore()
                self._wait(self._backoff(failures), until)
                failures += 1
                continue
            if took < BATCH_ROWS:  # caught up
                self._wait(self._poll_s * (CALM if took < FEW_ROWS else 1), until)

    def _round(self) -> int:
        """Take what is there, score it, and return how many conns it was."""
        if self._models.current() is None:
            raise ModelError(self._models.error or NONE_YET)
        self._refresh_rules()
        if self._follower is None:
            self._follower = Follower(self._open_place(), self._sensor, start=self._start, rebuild=self._rebuild)
            self._rejected = self.status.rejected
        follower = self._follower
        took = 0
        for batch in follower.poll():
            if batch.is_type("conn"):
                conns = conn_columns(batch.frame).with_columns(sensor=pl.lit(self._sensor.name))
                for start in range(0, conns.height, BATCH_ROWS):
                    self._score(conns.slice(start, BATCH_ROWS), follower.warming)
                took += conns.height
        self._rebuild = False
        self.status.rejected = self._rejected + follower.rejected
        self.status.left_to_ledger = follower.given_up
        if not took and not follower.behind:
            self.status.lag_s = 0.0
        self._publish(follower.state)
        return took

    def _score(self, conns: pl.DataFrame, warming: bool) -> None:
        """Take a batch: its features in any case; verdicts and alerts save where it was scored before."""
        x = self._extractor.features(conns)
        model = self._models.current()
        if warming or model is None:
            return
        self.status.model_version, self.status.model_error = model.version, self._models.error
        known = {i: a.score for i, a in self._aggregator.open.items()}
        alerts = self._aggregator.add(model, conns, x, judge(model, x, self._threshold))
        # What is new or stronger goes out at once; a count that only grows, every few seconds.
        urgent = [a for a in alerts if a.score > known.get(a.id, -STRONGER) + STRONGER]
        self._delivery.send(urgent, self._again)
        self._grown |= {a.id: a for a in alerts}
        for alert in urgent:
            del self._grown[alert.id]
        self._checkpoint.scored.add(conns)
        self.status.rows += conns.height
        self.status.alerts += sum(a.id not in known for a in urgent)
        self.status.dead_letters = self._delivery.dead_letters
        newest = conns.select(ended()).to_series().max()
        if isinstance(newest, datetime):
            self.status.last_row_ts = newest.isoformat(timespec="milliseconds")
            self.status.lag_s = round(max((datetime.now(UTC) - newest).total_seconds(), 0.0), 3)
        self._publish("following")

    def _refresh_rules(self) -> None:
        """Take up the rules that hold alerts back; while the database is away, those at hand stay."""
        if self._rules is not None and time.monotonic() - self._rules_read < RULES_S:
            return
        try:
            self._rules = self._aggregator.rules = self._delivery.rules()
        except StoreError:
            if self._rules is None:
                raise
        self._rules_read = time.monotonic()

    def _flush(self) -> None:
        """Bring the sinks up to date with counts that have grown."""
        self._delivery.send(list(self._grown.values()), self._again)
        self._grown.clear()
        with suppress(StoreError):  # they are counted the next time
            self._delivery.count_suppressed(self._aggregator)
        self._flushed = time.monotonic()
        self.status.dead_letters = self._delivery.dead_letters

    def _again(self, error: StoreError, attempt: int) -> bool:
        """Wait for a sink that is down; the sensor's log is the queue meanwhile."""
        self._note(error)
        self._publish("waiting for a sink", force=True)
        self._wait(self._backoff(attempt), None)
        return not self._stop.is_set()

    @staticmethod
    def _backoff(failures: int) -> float:
        """Return seconds to wait, with jitter: fifty scorers must not come back at one moment."""
        return BACKOFF_S[min(failures, len(BACKOFF_S) - 1)] * random.uniform(0.75, 1.25)

    def _note(self, error: MlidsError) -> None:
        self.status.errors += 1
        self.status.last_error = str(error)
        log.warning("scorer: %s", error, extra={"sensor": self._sensor.name})
        self._publish("waiting", force=True)

    def _wait(self, seconds: float, until: float | None) -> None:
        end = time.monotonic() + seconds
        if until is not None:
            end = min(end, until)
        while (left := end - time.monotonic()) > 0 and not self._stop.wait(min(left, PUBLISH_S)):
            self._publish(self.status.state)  # a long wait is no silence

    def _close(self) -> None:
        if self._follower is not None:
            self._follower.close()
            self._follower = None

    def _save(self, *, force: bool) -> None:
        """Store position and state where it is time. A disk that refuses is noted: the checkpoint before stays good."""
        position = self._follower.position if self._follower is not None else None
        if time.monotonic() - self._flushed > FLUSH_S or force or self._checkpoint.due:
            self._flush()
        if position is None or self._rebuild or not (force or self._checkpoint.due):
            return
        try:
            self._checkpoint.save(position, self._extractor.context, self._aggregator, self.status.rows, self.status.rejected)
            self._start = position
        except StoreError as error:
            if self._checkpoint.scored.pending_rows > UNRECORDED_ROWS:
                raise
            self._note(error)

    def _restore(self) -> None:
        """Take position, past and open alerts from the last checkpoint, which belong together."""
        self._extractor, self._aggregator = self._fresh()
        self._start, self._rebuild = None, False
        self._grown.clear()
        held = self._checkpoint.load()
        self.status.rows, self.status.rejected = (held.rows, held.rejected) if held is not None else (0, 0)
        if held is None:
            return
        self._start, self._aggregator.open = held.position, held.alerts
        if held.context is not None:
            self._extractor.context = held.context
        self._rebuild = held.context is None

    def _publish(self, state: str, *, force: bool = False) -> None:
        """Write the status file: at once when the state changes, else every second."""
        now = time.monotonic()
        if state == self.status.state and not force and now - self._published < PUBLISH_S:
            return
        before, rows = self._counted
        if now - before >= 5 * PUBLISH_S:
            self.status.rows_per_s = round(max(self.status.rows - rows, 0) / (now - before), 1)
            self._counted = (now, self.status.rows)
        self._published = now
        if state != self.status.state or not self.status.state_since:
            self.status.state_since = datetime.now(UTC).isoformat(timespec="seconds")
        self.status.state = state
        self.status.model_error = self._models.error
        self.status.updated_at = datetime.now(UTC).isoformat(timespec="milliseconds")
        try:
            write_atomic(self._checkpoint.folder / "status.json", json.dumps(asdict(self.status)).encode(), sync=False)
        except OSError as error:  # a full disk must not end the scoring
            log.warning("the status file could not be written: %s", error, extra={"sensor": self._sensor.name})
