"""The message about a task that failed: where, why, and the command that mends it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence

from mlids.errors import AuthError, HostKeyError, MlidsError, SourceError
from mlids.text import safe, short

_LONGEST = 600  # characters of a cause
_OF_SENSOR = ("zeek_ingest", "score_live")
# What a run by hand repeats of a run's form.
_REPEATED = ("start", "end", "day", "seed", "sensors")


def failure_message(
    dag: str, task: str, error: BaseException | None, *, sensor: str | None = None, days: Sequence[str] = (),
    conf: Mapping[str, object] | None = None, log_url: str | None = None,
) -> dict[str, str]:  # fmt: skip
    """Return `subject` and `text` about a failed task: sensor, days, cause, and the command that mends it, escaped and bounded."""
    stage = task.rpartition(".")[2]
    where = f"{sensor} {' and '.join(days)}" if sensor else ""
    cause = "the task was killed, or took too long" if error is None else short(error, _LONGEST)
    if error is not None and not isinstance(error, MlidsError):
        cause = f"{type(error).__name__}: {cause}"
    lines = [
        f"Sensor:  {sensor or 'not of one sensor'}",
        f"Day:     {', '.join(days) or 'not of one day'}",
        f"Stage:   {stage} of {dag}",
        f"Cause:   {cause}",
        f"Mend it: {_remedy(dag, error, sensor, days, conf or {})}",
    ]
    if dag == "zeek_ingest" and days:
        lines.append("The nights after take up a missing day by themselves, once the cause is mended.")
    if log_url:
        lines.append(f"Log:     {log_url}")
    return {
        "subject": safe(f"mlids: {stage} failed" + (f" for {where}" if where else f" in {dag}"))[:200],
        "text": "\n".join(safe(line) for line in lines),
    }


def _remedy(dag: str, error: BaseException | None, sensor: str | None, days: Sequence[str], conf: Mapping[str, object]) -> str:
    """Return the command that mends a failure, or repeats what failed once the cause is mended."""
    if isinstance(error, HostKeyError) and sensor:
        return f"compare the key with the sensor's own, then `mlids trust {shlex.quote(sensor)} --fingerprint SHA256:…`, then " + _again(
            dag, sensor, days, conf
        )
    if isinstance(error, (AuthError, SourceError)) and sensor:
        return "`mlids doctor` says what the sensor answers; then " + _again(dag, sensor, days, conf)
    if dag in {"live_watch", "score_live"}:
        return "`mlids doctor`"
    if dag == "housekeeping":
        return "`mlids housekeeping --dry-run` says what could not be removed"
    if dag == "model_rollback":
        return "`mlids status` says what is in production; then `mlids rollback --why TEXT --to VERSION`"
    return _again(dag, sensor, days, conf)


def _again(dag: str, sensor: str | None, days: Sequence[str], conf: Mapping[str, object]) -> str:
    """Return the command that starts a DAG again for the same sensor and day, or the same form."""
    form = {name: conf[name] for name in _REPEATED if conf.get(name) is not None}
    if dag in _OF_SENSOR and sensor:
        form = ({"day": days[0]} if days else {}) | {"sensors": [sensor]}
    given = f" --conf {shlex.quote(json.dumps(form))}" if form else ""
    return f"`airflow dags trigger {dag}{given}`"
