"""What the tasks of all DAGs have in common: owner, retries with growing waits, a time-out, and who learns of a failure."""

from typing import Any

import pendulum
from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule

from mlids_airflow.failures import FailureNotifier

# Waiting does not mend these; a password that is refused again and again locks an account.
_NOT_AGAIN = ("HostKeyError", "AuthError", "UnsafeNameError", "SettingsError", "InputError")
_WHY = "a retry would fail in the same way"


def task_defaults(*, retries: int = 1, wait_s: float = 300.0, hours: float = 6.0) -> dict[str, Any]:
    """Return `default_args`: each retry waits twice as long as the one before, an hour at most, and a try may take `hours`."""
    rule = RetryRule([f"mlids.errors.{name}" for name in _NOT_AGAIN], RetryAction.FAIL, reason=_WHY)
    return live_defaults(retries=retries, wait_s=wait_s, hours=hours) | {
        "retry_policy": ExceptionRetryPolicy([rule]),
        "on_failure_callback": [FailureNotifier()],
    }


def live_defaults(*, retries: int, hours: float, wait_s: float = 10.0) -> dict[str, Any]:
    """Return `default_args` of a DAG that runs all the time: its failures are not reported one by one."""
    return {
        "owner": "mlids",
        "retries": retries,
        "retry_delay": pendulum.duration(seconds=wait_s),
        "retry_exponential_backoff": 2.0,
        "max_retry_delay": pendulum.duration(hours=1),
        "execution_timeout": pendulum.duration(hours=hours),
    }
