"""The cases of the present day of one sensor, gathered every minute while it is scored live."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

from mlids.alerts.suppression import Rule
from mlids.cases.case import Case
from mlids.cases.gathering import gather
from mlids.cases.severity import LEVELS
from mlids.detectors.bundle import Model
from mlids.detectors.verdict import Verdicts, lowest_threshold
from mlids.errors import StoreError
from mlids.ingest.storage import LogStorage
from mlids.scoring.conn_day import ConnDay, DaySoFar
from mlids.scoring.evidence_alerts import unsuppressed
from mlids.scoring.other_logs import OtherLogs
from mlids.settings import Sensor
from mlids.window import zone

log = logging.getLogger(__name__)

# Stores the cases of a sensor and of one gathering (`day 2026-11-04`).
PutCases = Callable[[str, str, Sequence[Case]], object]


@dataclass(frozen=True)
class CaseOptions:
    """How cases are gathered live: every `gather_s` seconds, with these scores of severities, from these logs beside conn.log."""

    gather_s: float = 60.0
    levels: Sequence[float] = LEVELS
    logs: Sequence[str] = ()


@dataclass(frozen=True)
class _Gathering:
    """The cases of one gathering; None: the day is stored already."""

    part: str
    cases: Sequence[Case] | None
    took_s: float


class LiveCases:
    """Cases of the present day. The night's gathering of the same day replaces what is stored here."""

    def __init__(
        self, sensor: Sensor, open_storage: Callable[[], LogStorage], folder: Path, put: PutCases, networks: Sequence[str], options: CaseOptions,
    ) -> None:  # fmt: skip
        self._sensor, self._put, self._options = sensor, put, options
        self._zone = zone(sensor.zone)
        self.day = ConnDay(networks, lambda when: when.astimezone(self._zone).date())
        self.logs = OtherLogs(sensor, open_storage, folder / "logs", networks, options.logs)
        self.rules: Sequence[Rule] = ()
        self._next = time.monotonic() + options.gather_s
        # Alerts and cases are stored by one thread, the scorer's.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"cases-{sensor.name}")
        self._running: Future[_Gathering] | None = None
        self._model: Model | None = None
        self._threshold: float | None = None

    def add(self, conns: pl.DataFrame, x: np.ndarray, verdicts: Verdicts, model: Model, clock: float | None) -> None:
        """Add a judged batch of conns; `clock` is the log's time in seconds. When a day ends, its cases are gathered once more before it is forgotten."""
        when = datetime.fromtimestamp(clock, UTC) if clock else None
        if when is not None and self.day.day is not None and when.astimezone(self._zone).date() > self.day.day:
            self.gather(self._model, self._threshold, force=True)
        if self.day.add(conns, x, verdicts, model, when) and self.day.day is not None:
            self.logs.begin(self.day.day)

    def gather(self, model: Model | None, threshold: float | None, *, force: bool = False) -> None:
        """Gather the cases of the day so far when it is time, and store them once they are there; with `force` both are done on return.

        A database that is down is tried again later.
        """
        self._model, self._threshold = model, threshold
        self._store(wait=force)
        if model is None or self.day.day is None or self._running is not None or not (force or time.monotonic() >= self._next):
            return
        least = lowest_threshold(model.spec, threshold)
        self._running = self._thread.submit(self._gathered, self.day.so_far(), model, least, self.rules)
        self._store(wait=force)

    def _gathered(self, so_far: DaySoFar, model: Model, least: float, rules: Sequence[Rule]) -> _Gathering:
        """Return the cases of a day so far. It runs in a thread of its own: a large day takes seconds."""
        began = time.monotonic()
        of_logs = self.logs.evidence(so_far.day, so_far.site) if so_far.day is not None else None
        if of_logs is None:  # rows of conn.log from before the last checkpoint: the cases of their day were stored when it ended
            return _Gathering(f"day {so_far.day}", None, time.monotonic() - began)
        site, found = of_logs
        evidence = unsuppressed([*so_far.evidence(model, least), *found], self._sensor.name, rules)
        cases = gather(evidence, site, self._sensor.name, self._options.levels).cases
        return _Gathering(f"day {so_far.day}", cases, time.monotonic() - began)

    def _store(self, *, wait: bool) -> None:
        """Store what was gathered, if it is done or `wait` is set. Raises what the gathering raised."""
        if self._running is None or not (wait or self._running.done()):
            return
        running, self._running = self._running, None
        done, began = running.result(), time.monotonic()
        try:
            if done.cases is not None:
                self._put(self._sensor.name, done.part, done.cases)
        except StoreError as error:
            log.warning("cases: %s", error, extra={"sensor": self._sensor.name})
        took = done.took_s + time.monotonic() - began
        self._next = time.monotonic() + max(self._options.gather_s, 50.0 * took)  # at most a fiftieth of the time
