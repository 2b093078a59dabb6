"""### Pull, lake, ledger: one day of every sensor

Each night, for every sensor in `sensors.toml`: pull the day that has just ended in the sensor's own time
zone, write it to the lake as typed Parquet, and compare it with the conns scored live. Missing conns are scored
late with the model in production, under the same alert ids as live; the ledger counts them by hour.
Hours of the day before that arrived late are included. Each sensor and day has its three stages for itself: a sensor
that is down fails alone, and the nights after take up the days that are missing (at most `MLIDS_LOOK_BACK_DAYS`, oldest first).

**Backfill** it over any days the sensor still has: a day is replaced whole, never duplicated. Run it by hand
with `day` to ingest one day again, or with `sensors` for some sensors only.
"""

import pendulum
from airflow.sdk import Param, dag, task, task_group
from airflow.timetables.interval import CronDataIntervalTimetable


@dag(
    schedule=CronDataIntervalTimetable("5 2 * * *", timezone="UTC"),
    start_date=pendulum.datetime(2025, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=3,
    default_args={"owner": "mlids", "retries": 2, "retry_delay": pendulum.duration(minutes=5)},
    params={
        "day": Param(None, type=["null", "string"], format="date", description="This day instead of yesterday."),
        "sensors": Param(None, type=["null", "array"], items={"type": "string"}, description="Only these sensors."),
    },
    doc_md=__doc__,
    tags=["mlids", "ingest"],
)
def zeek_ingest():
    @task
    def sensors(params, data_interval_end=None) -> list[dict]:
        from mlids import pipeline

        return pipeline.days_to_pull(params["sensors"], params["day"], data_interval_end)

    @task_group
    def sensor_day(what: dict):
        """The three stages of one sensor and day: one that fails holds up no other."""

        @task(max_active_tis_per_dag=2, map_index_template="{{ what_is_pulled }}")
        def pull(what: dict) -> dict:
            from airflow.sdk import get_current_context

            from mlids import pipeline

            get_current_context()["what_is_pulled"] = f"{what['sensor']} {what['day']}"
            return pipeline.pull_with_late(what["sensor"], what["day"])

        @task(max_active_tis_per_dag=2)
        def build_lake(pulled: dict) -> dict:
            from mlids import pipeline

            return pipeline.build_lake_days(pulled)

        @task(max_active_tis_per_dag=2)
        def reconcile(built: dict) -> dict:
            from mlids import pipeline

            return pipeline.reconcile_days(built["sensor"], built["days"])

        reconcile(build_lake(pull(what)))

    sensor_day.expand(what=sensors())


zeek_ingest()
