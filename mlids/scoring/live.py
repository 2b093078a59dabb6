"""Live scoring of one sensor: follow the log, compute features, judge, deliver alerts, store a checkpoint.

No row is acknowledged before its alerts are delivered. The sensor's log is the queue: while a sink is down nothing
is read, and the rows written meanwhile are read afterwards.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Protocol

import polars as pl

from mlids.alerts.aggregation import AlertAggregator
from mlids.alerts.delivery import Delivery
from mlids.detectors.bundle import Model
from mlids.detectors.verdict import judge
from mlids.errors import HostKeyError, MlidsError, ModelError, SourceError, StoreError
from mlids.features.context import live_context
from mlids.features.extract import Extractor
from mlids.ingest.cursor import Position
from mlids.ingest.follow import Follower, FollowOptions
from mlids.ingest.read_mark import ReadMark
from mlids.ingest.storage import LogStorage
from mlids.scoring.checkpoint import Checkpoint
from mlids.scoring.latency import add_counts, latencies
from mlids.scoring.live_cases import CaseOptions, LiveCases
from mlids.scoring.live_model import NONE_YET
from mlids.scoring.outbox import Outbox, RuleCache
from mlids.scoring.pauses import Pauses, backoff_s
from mlids.scoring.status import ScorerState, Status, StatusFile, log_failure
from mlids.settings import Sensor
from mlids.zeek.types import conn_columns, ended

log = logging.getLogger(__name__)

BATCH_ROWS = 2_048
# A poll costs the same for one row as for a thousand: after one that gave few rows, idle logs are polled three times less often.
FEW_ROWS, IDLE_FACTOR = 64, 3
# Scored rows that the disk does not take: beyond this many, the scorer returns to the last checkpoint and waits.
UNRECORDED_ROWS = 2_000_000


class ModelSource(Protocol):
    """Where the model in production comes from; it may change between two batches."""

    error: str | None  # why the newest version is not in use
    note: str | None  # why the reference model scores

    def current(self) -> Model | None:
        """Return the model to score with; None while there is none."""


@dataclass(frozen=True)
class ScorerOptions:
    """How a scorer scores: the site's own networks (CIDR), the alert threshold (None: the model's), the poll interval."""

    networks: tuple[str, ...] = ()
    threshold: float | None = None
    poll_s: float = 0.25
    follow: FollowOptions = field(default_factory=FollowOptions)
    cases: CaseOptions = field(default_factory=CaseOptions)


class Scorer:
    """Scores one sensor's growing conn.log until it is stopped. `status` is updated as it works."""

    def __init__(
        self,
        sensor: Sensor,
        open_storage: Callable[[], LogStorage],
        model: ModelSource,
        delivery: Delivery,
        checkpoint: Checkpoint,
        options: ScorerOptions | None = None,
    ) -> None:
        self._sensor, self._options = sensor, options or ScorerOptions()
        self._open_storage, self._models, self._checkpoint = open_storage, model, checkpoint
        status_path = checkpoint.folder / "status.json"
        self.status = Status(sensor.name, failed_at=Status.load(status_path, sensor.name).failed_at)
        self._status_file = StatusFile(status_path, self.status)
        self._delivery, self._mark = delivery, ReadMark(checkpoint.folder)
        self._pauses = Pauses(lambda: self._publish(self.status.state))
        self._outbox, self._rules = Outbox(delivery, self._retry), RuleCache(delivery)
        self._cases = LiveCases(sensor, open_storage, checkpoint.folder, delivery.put_cases, self._options.networks, self._options.cases)
        self._follower: Follower | None = None
        self._start: Position | None = None
        self._rebuild = False  # the context is lost and is computed again from the log
        self._reset_state()

    def stop(self) -> None:
        """Ask the loop to end after the current batch."""
        self._pauses.stop()

    def leave(self) -> None:
        """Take back the mark on what is read now: the process ends, and not because of that."""
        self._mark.leave()
        self._cases.logs.leave()

    def close(self) -> None:
        """Close the sinks and the stores."""
        self._delivery.close()

    def failed(self, error: BaseException, seconds: float) -> bool:
        """Record an unexpected error that ended `run`, and wait; return whether `stop` was called meanwhile.

        `run` may then be called again: it continues from the last checkpoint.
        """
        loops = self.status.note_failure(f"{type(error).__name__}: {error}")
        log_failure(self.status, loops=loops, error=error)
        self._publish(ScorerState.FAILED, force=True)
        self._pauses.wait(seconds, past_limit=True)
        return self._pauses.stopped

    def refused(self, error: MlidsError) -> None:
        """Record an error that keeps the sensor from being followed until someone acts."""
        self.status.last_error = str(error)
        self.status.state = ScorerState.REFUSED  # not written: the status file may be that of another scorer

    def run(self, seconds: float | None = None) -> Status:
        """Follow and score for `seconds`, or until `stop`; return the status.

        While there is no model, or the sensor or a sink is down, it waits and its status says so.
        Raises StoreError when another scorer follows this sensor, HostKeyError when its host key is unknown or changed.
        """
        self._checkpoint.lock(self._sensor.name)
        try:
            self._pauses.limit(seconds)
            self._mark.begin()
            self._restore()
            self._cases.logs.start()
            self._score_until_over()
            self._finish()
        except HostKeyError as error:
            self._note(error)
            self._publish(ScorerState.REFUSED, force=True)
            raise
        except MlidsError:
            raise
        except BaseException:  # what is read now may be the reason: if it fails here again and again, it is put aside
            self._mark.failed()
            raise
        finally:
            self._cases.logs.stop()
            self._mark.close()
            self._close_follower()
            self._checkpoint.unlock()
        return self.status

    def _finish(self) -> None:
        try:
            self._save(force=True)
            self._cases.gather(self._models.current(), self._options.threshold, force=True)
        except StoreError as error:  # a sink is down: the last checkpoint stays, and the rows since then are read again
            self._note(error)
            self._restore()
        self._publish(ScorerState.STOPPED)

    def _score_until_over(self) -> None:
        failures = 0
        while not self._pauses.over:
            try:
                rows = self._score_new_rows()
                self._save(force=False)
                self._cases.gather(self._models.current(), self._options.threshold)
                failures = 0
            except HostKeyError:
                raise
            except (SourceError, StoreError) as error:
                self._recover(error)
                self._pauses.wait(backoff_s(failures))
                failures += 1
                continue
            if rows < BATCH_ROWS:  # all written rows are scored
                self._pauses.wait(self._options.poll_s * (IDLE_FACTOR if rows < FEW_ROWS else 1))

    def _recover(self, error: MlidsError) -> None:
        """Close the follower after an error, and return to a position that fits the state."""
        self._note(error)
        storage_failed = isinstance(error, SourceError)
        if storage_failed and self._follower is not None:  # every row that it gave was scored: position and state fit
            self._start = self._follower.position
        self._close_follower()
        if not storage_failed:
            self._restore()

    def _score_new_rows(self) -> int:
        """Poll the log once and score its rows; return how many conns there were."""
        if self._models.current() is None:
            raise ModelError(self._models.error or NONE_YET)
        if self._rules.refresh():
            self._aggregator.rules = self._cases.rules = self._rules.rules
        follower = self._follower or self._open_follower()
        rows = 0
        for batch in follower.poll():
            if batch.is_type("conn"):
                conns = conn_columns(batch.frame).with_columns(sensor=pl.lit(self._sensor.name))
                for start in range(0, conns.height, BATCH_ROWS):
                    self._score(conns.slice(start, BATCH_ROWS), follower.warming)
                rows += conns.height
        self._rebuild = False
        self._mark.leave()
        self._note_put_aside()
        self.status.rejected = self._rejected_before + follower.rejected
        self.status.left_to_ledger = follower.left_to_ledger
        if not rows and not follower.behind_bytes:
            self.status.lag_s = 0.0
        self._publish(ScorerState(follower.state.value))
        return rows

    def _open_follower(self) -> Follower:
        follow = replace(self._options.follow, mark=self._mark)
        self._follower = Follower(self._open_storage(), self._sensor, self._start, follow, rebuild=self._rebuild)
        self._rejected_before = self.status.rejected
        return self._follower

    def _score(self, conns: pl.DataFrame, warming: bool) -> None:
        """Add a batch to the context; judge it and deliver its alerts unless it was scored before (`warming`)."""
        x = self._extractor.features(conns)
        model = self._models.current()
        if warming or model is None:
            return
        status = self.status
        status.model_version, status.model_error = model.version, self._models.error
        sent_scores = {i: a.score for i, a in self._aggregator.open.items()}
        verdicts, clock = judge(model, x, self._options.threshold), self._extractor.context.clock
        alerts = self._aggregator.add(model, conns, x, verdicts, clock)
        self._cases.add(conns, x, verdicts, model, clock)
        status.alerts += self._outbox.send(alerts, sent_scores)
        self._checkpoint.scored.add(conns)
        status.rows += conns.height
        newest, now = conns.select(ended()).to_series().max(), datetime.now(UTC)
        if isinstance(newest, datetime):
            status.last_row_ts = newest.isoformat(timespec="milliseconds")
            status.lag_s = round(max((now - newest).total_seconds(), 0.0), 3)
        seconds = latencies(conns, now)
        status.latency_counts = add_counts(status.latency_counts, seconds)
        status.latency_sum_s = round(status.latency_sum_s + float(seconds.sum()), 3)
        self._publish(ScorerState.FOLLOWING)

    def _retry(self, error: StoreError, attempt: int) -> bool:
        """Wait for a sink that is down; return whether to try again."""
        self._note(error)
        self._publish(ScorerState.WAITING_FOR_SINK, force=True)
        self._pauses.wait(backoff_s(attempt), past_limit=True)
        return not self._pauses.stopped

    def _note_put_aside(self) -> None:
        self.status.put_aside = self._mark.put_aside
        if self._mark.news is not None:
            self.status.last_error, self._mark.news = f"put aside: {self._mark.news}", None
            self.status.errors += 1

    def _note(self, error: MlidsError) -> None:
        self._mark.leave()  # a process that ends while it waits has not died of what it read
        self.status.errors += 1
        self.status.last_error = str(error)
        log.warning("live scoring: %s", error, extra={"sensor": self._sensor.name})
        self._publish(ScorerState.WAITING, force=True)

    def _close_follower(self) -> None:
        if self._follower is not None:
            self._follower.close()
            self._follower = None

    def _save(self, *, force: bool) -> None:
        """Flush the alert counts and store a checkpoint, each when it is due.

        A checkpoint that the disk does not take is recorded as an error, and the one before stays in force.
        """
        position = self._follower.position if self._follower is not None else None
        if force or self._outbox.due or self._checkpoint.due:
            self._outbox.flush(self._aggregator)
        if position is None or self._rebuild or not (force or self._checkpoint.due):
            return
        try:
            day = self._cases.day.state()
            self._checkpoint.save(position, self._extractor.context, self._aggregator, self.status.rows, self.status.rejected, day)
            self._start = position
        except StoreError as error:
            if self._checkpoint.scored.pending_rows > UNRECORDED_ROWS:
                raise
            self._note(error)

    def _reset_state(self) -> None:
        self._extractor = Extractor(self._options.networks, live_context())
        self._aggregator = AlertAggregator(self._rules.rules)
        self._rejected_before = 0  # by the followers before this one
        self._start, self._rebuild = None, False
        self._cases.day.restore({})
        self._outbox.clear()

    def _restore(self) -> None:
        """Load position, context and open alerts from the last checkpoint; they belong together."""
        self._reset_state()
        stored = self._checkpoint.load()
        self.status.rows, self.status.rejected = (stored.rows, stored.rejected) if stored is not None else (0, 0)
        if stored is None:
            return
        self._start, self._aggregator.open = stored.position, stored.alerts
        self._cases.day.restore(stored.day)
        if stored.context is not None:
            self._extractor.context = stored.context
        self._rebuild = stored.context is None

    def _publish(self, state: ScorerState, *, force: bool = False) -> None:
        self.status.model_error, self.status.model_note = self._models.error, self._models.note
        if self.status.model_version is None and (model := self._models.current()) is not None:
            self.status.model_version = model.version
        self.status.other_logs = self._cases.logs.status.as_dict()
        self.status.dead_letters, self.status.stopped_sinks = self._outbox.dead_letters, dict(self._outbox.stopped_sinks)
        self._status_file.publish(state, force=force)
