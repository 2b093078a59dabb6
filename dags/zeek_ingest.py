"""### Pull, lake, ledger: one day of every sensor

Each night, for every sensor in `sensors.toml`: pull the day that has just ended in the sensor's own time
zone, write it to the lake as typed Parquet, and compare it with the conns scored live. Missing conns are scored
late with the model in production, under the same alert ids as live; the ledger counts them by hour.
Hours of the day before that arrived late are included. Each sensor and day has its three stages for itself: a sensor
that is down fails alone, is tried again with growing waits, and the nights after take up the days that are missing
(at most `MLIDS_LOOK_BACK_DAYS`, oldest first). Pulls share the pool `mlids_pull`; of each sensor there is one at a time.

**Backfill** it over any days the sensor still has: a day is replaced whole, never duplicated, and weeks that become
complete are trained on and reported in order. Run it by hand with `day` to ingest one day again, or with `sensors` for some
sensors only.

`announce_days` tells `train_weekly` and `drift_weekly` which days are there. A day that a sensor still lacks after
`MLIDS_WAIT_DAYS` nights is announced as missing, so that its week goes on.
"""

import logging

import pendulum
from airflow.sdk import Param, dag, task, task_group
from airflow.sdk.exceptions import AirflowSkipException
from airflow.timetables.interval import CronDataIntervalTimetable
from mlids_airflow.assets import DAYS
from mlids_airflow.connections import connected
from mlids_airflow.defaults import task_defaults
from mlids_airflow.forms import dry_run, sensors
from mlids_airflow.pool import POOL


@dag(
    schedule=CronDataIntervalTimetable("5 2 * * *", timezone="UTC"),
    start_date=pendulum.datetime(2025, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=3,
    default_args=task_defaults(retries=4),
    params={
        "day": Param(None, type=["null", "string"], format="date", title="Day", description="This day instead of yesterday."),
        **sensors("Only these sensors; default: all that are configured."),
        **dry_run("Pull nothing; the log of find_days lists what would be pulled."),
    },
    doc_md=__doc__,
    tags=["mlids", "ingest"],
)
def zeek_ingest():
    @task(doc_md="Which days of which sensors: yesterday, or `day`, and those that the ledger lacks.")
    def find_days(params, data_interval_end=None) -> list[dict]:
        pipeline = connected()
        found = pipeline.days_to_pull(params["sensors"], params["day"], data_interval_end)
        logging.getLogger("airflow.task").info("to pull: %s", ", ".join(f"{f['sensor']} {f['day']}" for f in found))
        return [] if params["dry_run"] else found

    @task_group
    def sensor_day(what: dict):
        """The three stages of one sensor and day: one that fails holds up no other."""

        @task(
            pool=POOL,
            map_index_template="{{ what_is_pulled }}",
            doc_md="Copies the day's archived logs into landing; files that are there stay.",
        )
        def pull(what: dict) -> dict:
            from airflow.sdk import get_current_context

            pipeline = connected()
            get_current_context()["what_is_pulled"] = f"{what['sensor']} {what['day']}"
            return pipeline.pull_with_late(what["sensor"], what["day"])

        @task(max_active_tis_per_dag=2, doc_md="Writes the landed day to the lake as Parquet, and its counts to the ledger.")
        def build_lake(pulled: dict) -> dict:
            pipeline = connected()
            return pipeline.build_lake_days(pulled)

        @task(max_active_tis_per_dag=2, doc_md="Compares the day with what was scored live, and scores late what is missing.")
        def reconcile(built: dict) -> dict:
            pipeline = connected()
            return pipeline.reconcile_days(built["sensor"], built["days"])

        reconcile(build_lake(pull(what)))

    @task(
        outlets=[DAYS],
        inlets=[DAYS],
        trigger_rule="all_done",
        doc_md="Announces the days that are there for all sensors, and those given up.",
    )
    def announce_days(found: list[dict], params, outlet_events=None, inlet_events=None) -> list[dict]:
        pipeline = connected()
        before = {event.partition_key for event in inlet_events[DAYS]}
        done = pipeline.finished_days(found or [], before, is_nightly=params["day"] is None)
        if not done:
            raise AirflowSkipException("no day is there for all sensors yet")
        outlet_events[DAYS].add_partitions([d["day"] for d in done])
        outlet_events[DAYS].extra = {"missing": {d["day"]: d["missing"] for d in done if d["missing"]}}
        return done

    @task(
        trigger_rule="none_failed",
        retries=0,
        on_failure_callback=[],
        doc_md="Fails the run when a sensor failed: nothing that fails is called well.",
    )
    def every_sensor_succeeded() -> None:
        return None

    found = find_days()
    days = sensor_day.expand(what=found)
    days >> announce_days(found)
    days >> every_sensor_succeeded()


zeek_ingest()
