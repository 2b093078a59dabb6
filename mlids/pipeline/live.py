"""Live scoring of all sensors: one thread per sensor, one model for all of them."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mlids.errors import InputError, MlidsError, SourceError
from mlids.pipeline.stores import open_delivery, open_storage, sensor_names
from mlids.pipeline.views import statuses
from mlids.settings import Settings, load_settings

if TYPE_CHECKING:
    from mlids.ingest.follow import FollowOptions
    from mlids.scoring.live import Scorer
    from mlids.scoring.live_model import ProductionModel
    from mlids.scoring.status import Status

log = logging.getLogger(__name__)

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # of malloc.h
# A sensor or sink that is down for less than this is not reported as a fault.
GRACE_S = 60.0
# A stop does not wait longer than this for a sink that hangs: ending is as safe as a kill.
STOP_S = 4.0
# After an unexpected error a scorer starts again after this long.
RESTART_S = 5.0


def score_live(sensor_name: str, seconds: float | None = None) -> dict[str, Any]:
    """Follow a sensor's growing log and score it, for `seconds` or until SIGTERM or Ctrl-C; return the last status."""
    return serve([sensor_name], seconds)[0]


def serve(sensors: Sequence[str] = (), seconds: float | None = None, *, metrics_port: int | None = None) -> list[dict[str, Any]]:
    """Follow sensors (all of them by default) for `seconds` or until SIGTERM or Ctrl-C; return their last statuses.

    A sensor that is down does not delay another one. The error of a sensor that cannot be followed at all (its host
    key changed, another scorer follows it) is raised once the others have ended.
    """
    from mlids.pipeline.health import MetricsServer, notify
    from mlids.pipeline.registry_watch import watch_command
    from mlids.scoring.live_model import ProductionModel

    _limit_memory()
    settings = load_settings()
    names = list(sensors) or sensor_names(settings)
    port = settings.metrics_port if metrics_port is None else metrics_port
    for sensor in names:
        settings.sensor(sensor)
    with ExitStack() as stack:
        model = stack.enter_context(ProductionModel(watch_command(settings.tracking_uri, settings.model_name), settings.state / "model"))
        scorers = [make_scorer(settings, name, model) for name in names]
        if port:
            stack.enter_context(MetricsServer(lambda: [s.status for s in scorers], settings.metrics_host, port))
        stack.enter_context(_stopped_by_signals(scorers))
        failures = _run_all(scorers, seconds, notify)
    if failures:
        raise failures[0]
    return [s.status.as_dict() for s in scorers]


def _limit_memory() -> None:
    """Let all threads share two of glibc's heaps, and return freed arrays to the system at once: 50 MB less in a flood."""
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_ARENA_MAX, 2)
        for option in (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD):
            libc.mallopt(option, 1 << 20)


def make_scorer(settings: Settings, sensor_name: str, model: ProductionModel, follow: FollowOptions | None = None) -> Scorer:
    """Return the scorer of one sensor, with its own delivery and its own state folder."""
    from mlids.ingest.follow import FollowOptions
    from mlids.scoring.checkpoint import Checkpoint
    from mlids.scoring.live import Scorer, ScorerOptions

    sensor = settings.sensor(sensor_name)
    options = ScorerOptions(settings.networks, settings.threshold, settings.poll_interval_s, follow or FollowOptions())
    return Scorer(
        sensor,
        lambda: open_storage(settings, sensor),
        model,
        open_delivery(settings, "live"),
        Checkpoint(settings.state / sensor_name),
        options,
    )


def _run_all(scorers: Sequence[Scorer], seconds: float | None, notify: Any) -> list[MlidsError]:
    failures: list[MlidsError] = []

    def run(scorer: Scorer) -> None:
        until = None if seconds is None else time.monotonic() + seconds
        while True:
            try:
                scorer.run(None if until is None else until - time.monotonic())
                return
            except MlidsError as error:
                log.error("sensor %s is not followed: %s", scorer.status.sensor, error)
                scorer.refused(error)
                failures.append(error)
                return
            except Exception as error:  # a defect must not end the scoring of a sensor: it starts again from the checkpoint
                log.exception("the scorer of sensor %s failed; it starts again", scorer.status.sensor)
                if scorer.failed(error, RESTART_S) or (until is not None and time.monotonic() > until):
                    return

    threads = [threading.Thread(target=run, args=(s,), name=f"scorer-{s.status.sensor}", daemon=True) for s in scorers]
    for thread in threads:
        thread.start()
    notify("READY=1")
    while any(t.is_alive() for t in threads):
        for thread in threads:
            thread.join(timeout=1.0 / len(threads))
        notify(f"WATCHDOG=1\nSTATUS={_one_line([s.status for s in scorers])}")
    notify("STOPPING=1")
    return failures


def _one_line(found: Sequence[Status]) -> str:
    return ", ".join(f"{s.sensor}: {s.state}, {s.rows:,} conns" for s in found)[:400]


@contextmanager
def _stopped_by_signals(scorers: Sequence[Scorer]) -> Iterator[None]:
    """End the scorers on SIGTERM and SIGINT, and the process when one of them does not end in time."""

    def stop(*_: object) -> None:
        for scorer in scorers:
            scorer.stop()
        timer = threading.Timer(STOP_S, os._exit, (0,))
        timer.daemon = True
        timer.start()
        timers.append(timer)

    timers: list[threading.Timer] = []
    before = {}
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            before[number] = signal.signal(number, stop)
        except ValueError:  # not the main thread: the caller stops the scorers
            break
    try:
        yield
    finally:
        for timer in timers:
            timer.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)


def watch_live(max_lag_s: float | None = None) -> list[dict[str, Any]]:
    """Return the scorers' statuses when live scoring of every sensor is well.

    Raises SourceError naming every sensor that is not followed, is behind by more than `max_lag_s` (default:
    the setting), whose alerts a sink does not take, or whose newest model was refused.
    """
    settings = load_settings()
    bound = settings.lag_bound_s if max_lag_s is None else max_lag_s
    if bound <= 0:
        raise InputError("the bound on the lag must be above 0 seconds")
    found = {s["sensor"]: s for s in statuses(settings)}
    faults = []
    for name in sensor_names(settings):
        status = found.get(name)
        fault = _fault(status, bound)
        if fault:
            faults.append(f"{name}: {fault}")
    if faults:
        raise SourceError("live scoring is not well: " + "; ".join(faults))
    return list(found.values())


def _age(stamp: str) -> float:
    """Return the seconds since a time in ISO 8601."""
    return time.time() - datetime.fromisoformat(stamp).timestamp()


def _fault(status: dict[str, Any] | None, bound: float) -> str | None:
    """Return what is wrong with a scorer, by its status file; None when it is well."""
    from mlids.scoring.status import ScorerState

    if status is None:
        return "no scorer has ever followed it; start `mlids serve` or unpause score_live"
    state, age = ScorerState(status["state"]), _age(status["updated_at"])
    if age > bound:
        return f"its scorer has not reported for {age:,.0f} s (state {status['state']}); is it still running?"
    lasting = state.is_blocked and _age(status["state_since"]) > min(GRACE_S, bound)
    if lasting or not state.is_good:
        return f"{status['state']}: {status['last_error']}"
    if status["lag_s"] > bound:
        return f"{status['lag_s']:,.0f} s behind (bound {bound:,.0f} s)"
    for sink, why in status.get("stopped_sinks", {}).items():
        return f"sink {sink} is stopped: {why}"
    if status.get("model_error"):
        return str(status["model_error"])
    return None
