"""Live scoring: of all sensors, in a process for each (`serve`), or of one sensor in this process (`score_live`)."""

from __future__ import annotations

import ctypes
import logging
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing, suppress
from typing import TYPE_CHECKING, Any

from mlids.errors import MlidsError
from mlids.pipeline.signals import stopped_by_signals
from mlids.pipeline.stores import open_delivery, open_storage, sensor_names
from mlids.settings import Settings, load_settings

if TYPE_CHECKING:
    from mlids.ingest.follow import FollowOptions
    from mlids.scoring.live import Scorer
    from mlids.scoring.live_model import ProductionModel

log = logging.getLogger(__name__)

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # of malloc.h
# After an unexpected error a scorer starts again after this long.
RESTART_S = 5.0


def serve(sensors: Sequence[str] = (), seconds: float | None = None, *, metrics_port: int | None = None) -> list[dict[str, Any]]:
    """Follow sensors (all of them by default) for `seconds` or until SIGTERM or Ctrl-C; return their last statuses.

    Each has a process of its own: a sensor that is down, or whose logs crash the reader, does not delay another one. The
    error of a sensor that cannot be followed at all (its host key changed, another scorer follows it) is raised once the
    others have ended.
    """
    from mlids.pipeline.supervisor import supervise

    settings = load_settings()
    names = list(sensors) or sensor_names(settings)
    for sensor in names:
        settings.sensor(sensor)
    return supervise(settings, names, seconds, settings.metrics_port if metrics_port is None else metrics_port)


def score_live(sensor_name: str, seconds: float | None = None) -> dict[str, Any]:
    """Follow a sensor's growing log and score it, for `seconds` or until SIGTERM or Ctrl-C; return the last status.

    It runs in this process, unlike `serve`. Raises the error of a sensor that cannot be followed at all (its host key
    changed, another scorer follows it).
    """
    from mlids.pipeline.registry_watch import watch_command
    from mlids.scoring.live_model import ProductionModel

    settings = load_settings()
    command = watch_command(settings.tracking_uri, settings.model_name)
    status, error = run_scorer(settings, sensor_name, ProductionModel(command, settings.state / "model"), seconds)
    if error is not None:
        raise error
    return status


def run_scorer(
    settings: Settings, sensor_name: str, model: ProductionModel, seconds: float | None = None
) -> tuple[dict[str, Any], MlidsError | None]:
    """Follow a sensor in this process until it ends; return the last status, and why it could not be followed."""
    _limit_memory()
    settings.sensor(sensor_name)
    with ExitStack() as stack:
        stack.enter_context(model)
        scorer = stack.enter_context(closing(make_scorer(settings, sensor_name, model)))
        stack.enter_context(stopped_by_signals(scorer.stop, scorer.leave))
        error = follow(scorer, seconds)
    return scorer.status.as_dict(), error


def _limit_memory() -> None:
    """Let all threads share two of glibc's heaps, and return freed arrays to the system at once: 50 MB less in a flood."""
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_ARENA_MAX, 2)
        for option in (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD):
            libc.mallopt(option, 1 << 20)


def make_scorer(settings: Settings, sensor_name: str, model: ProductionModel, follow: FollowOptions | None = None) -> Scorer:
    """Return the scorer of one sensor, with its own delivery and its own state folder."""
    from mlids.cases.severity import LEVELS
    from mlids.ingest.follow import FollowOptions
    from mlids.scoring.checkpoint import Checkpoint
    from mlids.scoring.live import Scorer, ScorerOptions
    from mlids.scoring.live_cases import CaseOptions

    sensor = settings.sensor(sensor_name)
    cases = CaseOptions(levels=settings.severity or LEVELS, logs=settings.live_logs)
    options = ScorerOptions(settings.networks, settings.threshold, settings.poll_interval_s, follow or FollowOptions(), cases)
    return Scorer(
        sensor,
        lambda: open_storage(settings, sensor),
        model,
        open_delivery(settings, "live"),
        Checkpoint(settings.state / sensor_name),
        options,
    )


def follow(scorer: Scorer, seconds: float | None = None) -> MlidsError | None:
    """Run a scorer for `seconds` or until it is stopped, again after each unexpected error; return what it was refused for."""
    until = None if seconds is None else time.monotonic() + seconds
    while True:
        try:
            scorer.run(None if until is None else until - time.monotonic())
            return None
        except MlidsError as error:
            log.error("sensor %s is not followed: %s", scorer.status.sensor, error)
            scorer.refused(error)
            return error
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001  a defect, or a panic of polars: it starts again from the checkpoint
            if scorer.failed(error, RESTART_S) or (until is not None and time.monotonic() > until):
                return None
