"""### The weekly report

Once training and drift of a week are done with: alerts by behaviour and host, drift, the model with its metrics,
and the days that are missing. Stored as HTML and PDF in `reports/`, linked on the mlids page. Run it by hand for other days.
"""

import pendulum
from airflow.sdk import dag, task
from mlids_airflow.assets import after_model_and_drift
from mlids_airflow.connections import connected
from mlids_airflow.defaults import task_defaults
from mlids_airflow.forms import dates


@dag(
    schedule=after_model_and_drift(),
    start_date=pendulum.datetime(2025, 1, 6, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args=task_defaults(),
    params=dates("First day of the report.", "The day after its last one."),
    doc_md=__doc__,
    tags=["mlids", "report"],
)
def report_weekly():
    @task.short_circuit(doc_md="Ends the run while the lake has no conns of these days.")
    def days_are_there(params, dag_run=None) -> bool:
        pipeline = connected()
        return pipeline.days_are_there(
            *pipeline.span(params["start"], params["end"], dag_run.partition_key or pipeline.last_week(dag_run.run_after))
        )

    @task(doc_md="Writes the report as HTML and PDF.")
    def write(params, dag_run=None) -> dict:
        pipeline = connected()
        return pipeline.report(
            *pipeline.span(params["start"], params["end"], dag_run.partition_key or pipeline.last_week(dag_run.run_after))
        )

    days_are_there() >> write()


report_weekly()
