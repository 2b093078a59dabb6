"""Whether live scoring of every sensor is well, by the status files: for `live_watch` and `mlids doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlids.errors import InputError, SourceError
from mlids.pipeline.health_documents import send_health
from mlids.pipeline.stores import sensor_names
from mlids.pipeline.views import scorer_statuses
from mlids.settings import Settings, load_settings

if TYPE_CHECKING:
    from mlids.scoring.status import Status


def watch_live(max_lag_s: float | None = None) -> list[dict[str, Any]]:
    """Return the scorers' statuses when live scoring of every sensor is well; sinks get the pipeline's health either way.

    Raises SourceError naming every sensor that is not followed, is behind by more than `max_lag_s` (default:
    the setting), fails again and again, whose alerts a sink does not take, or whose newest model was refused.
    """
    send_health(ask_registry=False)  # a watch that waits for MLflow would watch nothing meanwhile
    return check_live(max_lag_s)


def check_live(max_lag_s: float | None = None) -> list[dict[str, Any]]:
    """Return and raise what `watch_live` does, and send nothing."""
    settings = load_settings()
    bound = settings.lag_bound_s if max_lag_s is None else max_lag_s
    if bound <= 0:
        raise InputError("the bound on the lag must be above 0 seconds")
    sensor_names(settings)  # there is one
    faults = live_faults(settings, bound)
    if faults:
        raise SourceError("live scoring is not well: " + "; ".join(f"{name}: {fault}" for name, fault in faults.items()))
    return [s.as_dict() for s in scorer_statuses(settings)]


def live_faults(settings: Settings, bound: float, *, ever_followed: bool = False) -> dict[str, str]:
    """Return what is wrong with live scoring by sensor; `ever_followed` leaves out sensors that no scorer has followed yet.

    `bound` is that of the lag, in seconds.
    """
    found = {s.sensor: s for s in scorer_statuses(settings)}
    names = [s.name for s in settings.sensors() if s.name in found or not ever_followed]
    return {name: fault for name in names if (fault := status_fault(found.get(name), bound))}


def status_fault(status: Status | None, bound: float) -> str | None:
    """Return what is wrong with a scorer; None when it is well. `bound` is that of its lag, in seconds."""
    from mlids.scoring.status import GRACE_S

    if status is None:
        return "no scorer has ever followed it; start `mlids serve` or unpause score_live"
    age = status.age_s
    if status.silence:
        return status.silence
    if age > bound:
        return f"its scorer has not reported for {age:,.0f} s (state {status.state}); is it still running?"
    fault = status.fault_after(min(GRACE_S, bound))
    if fault is None and status.lag_s > bound:
        return f"{status.lag_s:,.0f} s behind (bound {bound:,.0f} s)"
    stopped = "; ".join(f"sink {sink} is stopped: {why}" for sink, why in status.stopped_sinks.items())
    return fault or stopped or status.model_error
