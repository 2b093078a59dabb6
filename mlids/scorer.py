"""The live loop: follow, features, model, alerts, sinks, then checkpoint. Nothing is acknowledged before it is kept."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from mlids.alerts.gather import Gatherer
from mlids.alerts.sinks import Sink
from mlids.detectors.bundle import Bundle
from mlids.detectors.verdict import judge
from mlids.errors import HostKeyError, MlidsError, ModelError, SourceError, StoreError
from mlids.features.context import Context
from mlids.features.extract import Extractor, conn_columns
from mlids.files import write_aside
from mlids.settings import Sensor
from mlids.sources.follow import Follower, Position
from mlids.sources.place import Place
from mlids.zeek.reader import is_conn

log = logging.getLogger(__name__)

BATCH_ROWS = 2_048
CHECKPOINT_S = 5.0
MODEL_POLL_S = 2.0
BACKOFF_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


@dataclass
class Status:
    """What people and probes read about a running scorer; times are ISO 8601, UTC."""

    sensor: str
    state: str = "starting"
    model_version: str | None = None
    rows: int = 0
    rejected: int = 0
    alerts: int = 0
    errors: int = 0
    last_error: str | None = None
    last_row_ts: str | None = None
    lag_s: float | None = None  # seconds between a row's end and its scoring
    updated_at: str = ""
    pid: int = 0


class Scorer:
    """Scores one sensor's growing conn.log until told to stop."""

    def __init__(
        self, sensor: Sensor, *, open_place: Callable[[], Place], load_model: Callable[[], Bundle],
        model_version: Callable[[], str | None], sinks: Sequence[Sink], state: Path, networks: Sequence[str] = (),
        threshold: float | None = None, poll_s: float = 0.25,
    ) -> None:  # fmt: skip
        self._sensor, self._sinks, self._poll_s, self._threshold = sensor, sinks, poll_s, threshold
        self._open_place, self._load_model, self._model_version = open_place, load_model, model_version
        self._folder = state / sensor.name
        self._folder.mkdir(parents=True, exist_ok=True)
        self._networks = networks
        self._extractor = Extractor(networks)
        self._gatherer = Gatherer()
        self._model: Bundle | None = None
        self._follower: Follower | None = None
        self._start: Position | None = None
        self._looked_at = 0.0
        self._saved_at = time.monotonic()
        self._stop = False
        self._lock: int | None = None
        self.status = Status(sensor.name, pid=os.getpid())

    def stop(self) -> None:
        """Ask the loop to end after the batch at hand."""
        self._stop = True

    def run(self, seconds: float | None = None) -> Status:
        """Follow and score for `seconds`, or until `stop`.

        While there is no model yet, or the sensor or MLflow is down, it waits and says so in its status.
        Raises StoreError when another scorer has this sensor, HostKeyError when its key is unknown or changed.
        """
        self._take_lock()
        try:
            self._restore()
            until = None if seconds is None else time.monotonic() + seconds
            failures = 0
            while not self._stop and (until is None or time.monotonic() < until):
                try:
                    self._refresh_model()
                    took = self._round()
                    failures = 0
                except HostKeyError:
                    raise
                except (SourceError, StoreError) as error:  # ModelError too: the first model may be on its way
                    self._note(error)
                    self._drop_follower(keep_state=isinstance(error, SourceError))
                    self._wait(BACKOFF_S[min(failures, len(BACKOFF_S) - 1)], until)
                    failures += 1
                    continue
                self._checkpoint(force=False)
                if not took:
                    self._wait(self._poll_s, until)
            self._checkpoint(force=True)
            self._publish("stopped")
        finally:
            self._drop_follower(keep_state=True)
            self._release_lock()
        return self.status

    def _round(self) -> bool:
        if self._follower is None:
            self._follower = Follower(self._open_place(), self._sensor, start=self._start)
        took = False
        for batch in self._follower.poll():
            if not is_conn(batch):
                continue
            frame = conn_columns(batch.frame).with_columns(sensor=pl.lit(self._sensor.name))
            for start in range(0, frame.height, BATCH_ROWS):
                self._score(frame.slice(start, BATCH_ROWS))
            took = True
        self.status.rejected = self._follower.rejected
        self._publish("following" if self._follower.position else "waiting for the log")
        return took

    def _score(self, conns: pl.DataFrame) -> None:
        assert self._model is not None
        x = self._extractor.features(conns)
        verdicts = judge(self._model, x, self._threshold)
        before = set(self._gatherer.open)
        alerts = self._gatherer.add(self._model, conns, x, verdicts)
        if alerts:
            self._keep(alerts)
        self.status.rows += conns.height
        self.status.alerts += sum(a.id not in before for a in alerts)
        ended = conns.select(pl.col("ts") + pl.duration(seconds=pl.col("duration").fill_null(0.0))).to_series().max()
        if isinstance(ended, datetime):
            self.status.last_row_ts = ended.isoformat(timespec="milliseconds")
            self.status.lag_s = round((datetime.now(UTC) - ended).total_seconds(), 3)

    def _keep(self, alerts: list) -> None:  # type: ignore[type-arg]
        """Hand alerts to every sink; a sink that is down is waited for: the sensor's log is the queue."""
        for sink in self._sinks:
            for attempt in range(10_000):
                try:
                    sink.write(alerts)
                    break
                except StoreError as error:
                    self._note(error)
                    if self._stop:
                        raise
                    self._wait(BACKOFF_S[min(attempt, len(BACKOFF_S) - 1)], None)

    def _refresh_model(self) -> None:
        if self._model is not None and time.monotonic() - self._looked_at < MODEL_POLL_S:
            return
        self._looked_at = time.monotonic()
        try:
            version = self._model_version()
            if self._model is None or (version is not None and version != self._model.version):
                self._model = self._load_model()
                log.info("model loaded", extra={"sensor": self._sensor.name, "version": self._model.version})
        except MlidsError as error:
            if self._model is None:
                raise
            self._note(error)  # go on with the good one
        self.status.model_version = self._model.version

    def _note(self, error: MlidsError) -> None:
        self.status.errors += 1
        self.status.last_error = str(error)
        log.warning("scorer: %s", error, extra={"sensor": self._sensor.name})
        self._publish("waiting")

    def _wait(self, seconds: float, until: float | None) -> None:
        end = time.monotonic() + seconds
        if until is not None:
            end = min(end, until)
        while not self._stop and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, 0.2))

    def _drop_follower(self, *, keep_state: bool = False) -> None:
        """Let go of the log.

        A source that breaks leaves a state that fits its position: every row it gave was scored. In any other
        case, position and state are taken from the last checkpoint, where they belong together.
        """
        if self._follower is None:
            return
        position = self._follower.position
        self._follower.close()
        self._follower = None
        if keep_state and position is not None:
            self._start = position
        else:
            self._restore()

    def _checkpoint(self, *, force: bool) -> None:
        if self._follower is None or (not force and time.monotonic() - self._saved_at < CHECKPOINT_S):
            return
        position = self._follower.position
        if position is None:
            return
        context = self._folder / f"context-{position.identity}-{position.offset}.npz"
        _write(context, self._extractor.context.dump())
        held = {"position": asdict(position), "context": context.name, "rows": self.status.rows, "alerts": _open(self._gatherer)}
        _write(self._folder / "checkpoint.json", json.dumps(held).encode())
        for old in self._folder.glob("context-*.npz"):
            if old != context:
                old.unlink(missing_ok=True)
        self._start = position
        self._saved_at = time.monotonic()

    def _restore(self) -> None:
        """Take position, context and open alerts from the last checkpoint, which belong together."""
        self._extractor, self._gatherer, self._start = Extractor(self._networks), Gatherer(), None
        self.status.rows = 0
        try:
            held = json.loads((self._folder / "checkpoint.json").read_text(encoding="utf-8"))
            self._start = Position(**held["position"])
            self._extractor.context = Context.load((self._folder / held["context"]).read_bytes())
            self._gatherer.open = _reopen(held["alerts"])
            self.status.rows = int(held["rows"])
        except FileNotFoundError:
            return
        except (ValueError, KeyError, TypeError, ModelError) as error:
            log.warning("the checkpoint's state cannot be used; its position is: %s", error, extra={"sensor": self._sensor.name})

    def _publish(self, state: str) -> None:
        self.status.state = state
        self.status.updated_at = datetime.now(UTC).isoformat(timespec="milliseconds")
        _write(self._folder / "status.json", json.dumps(asdict(self.status)).encode(), sync=False)

    def _take_lock(self) -> None:
        import fcntl

        self._lock = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            self._lock = None
            raise StoreError(f"another scorer follows sensor {self._sensor.name} already (lock {self._folder / 'lock'})") from error

    def _release_lock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _open(gatherer: Gatherer) -> list[dict[str, object]]:
    return [asdict(a) | {"ts": a.ts.isoformat(), "last_ts": a.last_ts.isoformat()} for a in gatherer.open.values()]


def _reopen(held: list[dict[str, object]]) -> dict[str, Any]:
    from mlids.alerts.document import Alert
    from mlids.alerts.grouping import GroupKey

    out = {}
    for entry in held:
        entry = dict(entry)
        entry["key"] = GroupKey(**entry["key"])  # type: ignore[arg-type]
        for name in ("ts", "last_ts"):
            entry[name] = datetime.fromisoformat(str(entry[name]))
        alert = Alert(**entry)  # type: ignore[arg-type]
        out[alert.id] = alert
    return out


def _write(path: Path, data: bytes, *, sync: bool = True) -> None:
    try:
        write_aside(path, data, sync=sync)
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or error}") from error
