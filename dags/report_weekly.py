"""### The weekly report

Once training and drift of a week are done with: a page for a manager (should I worry, what changed, what to do), then the
cases, alerts, drift, the model and its challenger, completeness, and what could not be seen. Filed by ISO week as HTML and
PDF in `reports/`, linked on the mlids page, and mailed when `MLIDS_SMTP_URL` and `MLIDS_REPORT_TO` are set. A week of which
nothing was read has a report that says why; a site of which nothing was ever read has none. Run it by hand for other days.
"""

import pendulum
from airflow.sdk import Param, dag, task
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
    params={
        **dates("First day of the report.", "The day after its last one."),
        "mail": Param(True, type="boolean", title="Mail", description="Mail it, when SMTP is set."),
    },
    doc_md=__doc__,
    tags=["mlids", "report"],
)
def report_weekly():
    @task.short_circuit(doc_md="Ends the run while nothing was ever read.")
    def anything_was_read() -> bool:
        return connected().anything_was_read()

    @task(doc_md="Writes the report as HTML and PDF.")
    def write(params, dag_run=None) -> dict:
        pipeline = connected()
        return pipeline.report(
            *pipeline.span(params["start"], params["end"], dag_run.partition_key or pipeline.last_week(dag_run.run_after))
        )

    @task(doc_md="Mails it to `MLIDS_REPORT_TO`.")
    def mail(report: dict, params) -> dict:
        return connected().mail_report(report["name"]) if params["mail"] else {"to": []}

    written = write()
    anything_was_read() >> written
    mail(written)


report_weekly()
