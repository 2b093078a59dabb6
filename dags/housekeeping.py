"""### Remove what is older than its setting

Every night, after ingest and training: files in landing, days of the lake, quarantine, snapshots, MLflow runs and model
versions, reports, alerts without a verdict, dead letters and ledger days go when they are older than their `MLIDS_KEEP_…`
setting. What the models with an alias were trained on, open cases, days that are not reconciled and what is being read or
written stay.

The run fails when a store could not be cleaned, after the others are done. Run it by hand with `dry_run` to see the counts.
"""

import pendulum
from airflow.sdk import Param, dag, task
from airflow.timetables.interval import CronDataIntervalTimetable
from mlids_airflow.connections import connected
from mlids_airflow.defaults import task_defaults


@dag(
    schedule=CronDataIntervalTimetable("15 6 * * *", timezone="UTC"),
    start_date=pendulum.datetime(2025, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args=task_defaults(wait_s=1_800),
    params={"dry_run": Param(False, type="boolean", description="Remove nothing; count what would go.")},
    doc_md=__doc__,
    tags=["mlids", "housekeeping"],
)
def housekeeping():
    @task(doc_md="Removes what is older than its setting, store by store.")
    def remove_old(params) -> dict:
        pipeline = connected()
        return pipeline.nightly_housekeeping(dry_run=params["dry_run"])

    remove_old()


housekeeping()
