"""### Health of live scoring

Every five minutes. The run fails when a sensor is not followed, when scoring is behind by more than
`MLIDS_LAG_BOUND_S`, when a sink or a sensor is down, or when the newest model could not be loaded. The error message names
each sensor with its problem. Severe alerts and cases, and what stands still, are sent by mail and webhook when
`MLIDS_NOTIFY_TO` or `MLIDS_NOTIFY_WEBHOOK` is set, each once.
"""

import pendulum
from airflow.sdk import Param, dag, task
from airflow.timetables.interval import CronDataIntervalTimetable
from mlids_airflow.connections import connected
from mlids_airflow.defaults import live_defaults
from mlids_airflow.failures import FailureNotifier


@dag(
    schedule=CronDataIntervalTimetable("*/5 * * * *", timezone="UTC"),
    start_date=pendulum.datetime(2025, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args=live_defaults(retries=0, hours=0.2),
    params={
        "max_lag_s": Param(
            None, type=["null", "number"], exclusiveMinimum=0, description="Limit instead of MLIDS_LAG_BOUND_S, in seconds."
        ),
    },
    doc_md=__doc__,
    tags=["mlids", "live"],
)
def live_watch():
    @task(on_failure_callback=[FailureNotifier(first_only=True)], doc_md="Fails with the sensors that are not well.")
    def watch(params) -> list[dict]:
        pipeline = connected()
        return pipeline.watch_live(params["max_lag_s"])

    @task(
        on_failure_callback=[FailureNotifier(first_only=True)],
        doc_md="Sends what is severe and not sent yet; nothing without an address.",
    )
    def notify() -> dict:
        return connected().notify()

    watch()
    notify()  # also when the watch fails


live_watch()
