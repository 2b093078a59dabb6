"""`mlids serve`: one process per sensor, started again when it dies; one process that watches the registry; metrics.

A crash of native code ends a process. With a process for each sensor it ends the reading of one sensor, for a second.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from mlids import errors
from mlids.errors import MlidsError
from mlids.pipeline.health import MetricsServer, notify
from mlids.pipeline.health_documents import HealthReporter
from mlids.pipeline.registry_watch import watch_command
from mlids.pipeline.signals import STOP_S, stopped_by_signals
from mlids.scoring.live_model import RegistryWatch
from mlids.scoring.status import Status, StatusFile, log_failure
from mlids.settings import Settings
from mlids.zeek.trial import signal_name

log = logging.getLogger(__name__)

_LOOK_S = 0.5
# After its first death a scorer starts again at once, after further ones this much later.
_FIRST_RESTART_S, _RESTART_S = 0.5, 5.0


class ScorerProcess:
    """The process that scores one sensor. `folder` is the sensor's state folder."""

    def __init__(self, sensor: str, folder: Path, seconds: float | None) -> None:
        self._sensor, self._status_path = sensor, folder / "status.json"
        self._until = None if seconds is None else time.monotonic() + seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._start_at: float | None = time.monotonic()
        self._ended: Status | None = None  # its last status, when it has ended for good
        self._stopping = False
        self.error: MlidsError | None = None  # why the sensor cannot be followed

    def keep(self) -> bool:
        """Start the process when it is due, look at how it ended; return whether it runs or will start again."""
        if self._start_at is not None:
            if time.monotonic() >= self._start_at:
                self._start()
            return True
        if self._process is None:
            return False
        if self._process.poll() is None:
            return True
        self._note_end(self._process)
        return self._start_at is not None

    @property
    def status(self) -> Status:
        """The status as the process wrote it; `starting` until it has written its first one."""
        if self._ended is not None:
            return self._ended
        status = Status.load(self._status_path, self._sensor)
        if self._process is None or status.pid != self._process.pid:
            kept = {name: getattr(status, name) for name in ("failed_at", "last_error", "updated_at", "updated_boot_s", "boot_id")}
            return Status(self._sensor, **kept)
        return status

    def stop(self) -> None:
        """Ask the process to end, and start it no more."""
        self._stopping, self._start_at = True, None
        if self._process is not None:
            self._process.terminate()

    def kill(self) -> None:
        """End the process at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._close_pipes(self._process)

    def _start(self) -> None:
        left = "-" if self._until is None else f"{max(self._until - time.monotonic(), 0.1):.3f}"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mlids.pipeline.scorer_process", self._sensor, left], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._start_at = None
        if self._stopping:  # a signal came meanwhile
            self._process.terminate()

    def _note_end(self, process: subprocess.Popen[bytes]) -> None:
        """Keep the last status of a process that ended by itself; start one that died again."""
        assert process.stdout is not None
        said = process.stdout.read().strip().rpartition(b"\n")[2]
        self._close_pipes(process)
        if said:
            found = json.loads(said)
            self._ended = Status.of(found["status"])
            if found["error"] is not None:
                kind, message = found["error"]
                self.error = getattr(errors, kind)(message)
        elif not self._stopping and (self._until is None or time.monotonic() < self._until):
            self._note_death(process)
            return
        self._ended = self._ended or self.status
        self._process = None

    def _note_death(self, process: subprocess.Popen[bytes]) -> None:
        status = self.status
        loops = status.note_failure(f"its process ended ({signal_name(process.returncode)})")
        status.pid = process.pid
        log_failure(status, loops=loops)
        StatusFile(self._status_path, status).publish(status.state, force=True)
        self._start_at = time.monotonic() + (_FIRST_RESTART_S if status.recent_failures == 1 else _RESTART_S)

    @staticmethod
    def _close_pipes(process: subprocess.Popen[bytes]) -> None:
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def supervise(settings: Settings, names: Sequence[str], seconds: float | None, metrics_port: int) -> list[dict[str, Any]]:
    """Follow sensors, each in a process of its own, and return their last statuses; 0 is no port. See `live.serve`."""
    scorers = [ScorerProcess(name, settings.state / name, seconds) for name in names]
    stopped = threading.Event()

    def stop() -> None:
        for scorer in scorers:
            scorer.stop()
        stopped.set()

    def end() -> None:
        for scorer in scorers:
            scorer.kill()

    with ExitStack() as stack:
        watch = RegistryWatch(watch_command(settings.tracking_uri, settings.model_name), settings.state / "model")
        stack.callback(watch.stop)
        if metrics_port:
            stack.enter_context(MetricsServer(lambda: [s.status for s in scorers], settings.metrics_host, metrics_port))
        stack.enter_context(HealthReporter(settings, lambda: [s.status for s in scorers]))
        stack.callback(end)
        stack.enter_context(stopped_by_signals(stop, end, STOP_S + 1.0))
        _keep(scorers, watch, stopped)
    for failure in (s.error for s in scorers):
        if failure is not None:
            raise failure
    return [s.status.as_dict() for s in scorers]


def _keep(scorers: Sequence[ScorerProcess], watch: RegistryWatch, stopped: threading.Event) -> None:
    """Keep the processes running until all scorers have ended, and tell systemd."""

    def keep() -> bool:
        if not stopped.is_set():
            watch.keep()
        running = [s.keep() for s in scorers]
        return any(running)

    going = keep()
    notify("READY=1")
    while going:
        notify(f"WATCHDOG=1\nSTATUS={_one_line([s.status for s in scorers])}")
        stopped.wait(_LOOK_S) if not stopped.is_set() else time.sleep(0.05)
        going = keep()
    notify("STOPPING=1")


def _one_line(found: Sequence[Status]) -> str:
    return ", ".join(f"{s.sensor}: {s.state}, {s.rows:,} conns" for s in found)[:400]
