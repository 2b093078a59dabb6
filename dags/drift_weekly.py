"""### Drift of the last week

Once the seven days of a week are announced, Evidently compares the hosts' behaviour in it with the week before, by effect
size: with this many rows every p-value is significant. The page is stored with the reports, the effects are logged
to MLflow, and the result names the hosts that changed most. Run it by hand for other days.
"""

import pendulum
from airflow.sdk import dag, task
from mlids_airflow.assets import DRIFT, after_seven_days, announce_week
from mlids_airflow.connections import connected
from mlids_airflow.defaults import task_defaults
from mlids_airflow.forms import dates


@dag(
    schedule=after_seven_days(),
    start_date=pendulum.datetime(2025, 1, 6, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args=task_defaults(),
    params=dates("First day of the current span.", "The day after its last one."),
    doc_md=__doc__,
    tags=["mlids", "drift"],
)
def drift_weekly():
    @task.short_circuit(doc_md="Ends the run while the lake has no conns of these days.")
    def days_are_there(params, dag_run=None) -> bool:
        pipeline = connected()
        return pipeline.days_are_there(
            *pipeline.span(params["start"], params["end"], dag_run.partition_key or pipeline.last_week(dag_run.run_after))
        )

    @task(doc_md="Compares the days with as many before them, and writes the page.")
    def compare(params, dag_run=None) -> dict:
        pipeline = connected()
        return pipeline.drift(
            *pipeline.span(params["start"], params["end"], dag_run.partition_key or pipeline.last_week(dag_run.run_after))
        )

    compared = compare()
    days_are_there() >> compared >> announce_week(DRIFT)


drift_weekly()
