"""### The weekly report

Every Monday, after training and drift: a page for a manager (should I worry, what changed, what to do), then the cases,
alerts, drift, the model and its challenger, completeness, and what could not be seen. Filed by ISO week as HTML and PDF in
`reports/`, linked on the mlids page, and mailed when `MLIDS_SMTP_URL` and `MLIDS_REPORT_TO` are set. A week of which
nothing was read has a report that says why; a site of which nothing was ever read has none.
"""

import pendulum
from airflow.sdk import Param, dag, task
from airflow.timetables.interval import CronDataIntervalTimetable


@dag(
    schedule=CronDataIntervalTimetable("0 6 * * 1", timezone="UTC"),
    start_date=pendulum.datetime(2025, 1, 6, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args={"owner": "mlids", "retries": 1, "retry_delay": pendulum.duration(minutes=5)},
    params={
        "start": Param(None, type=["null", "string"], format="date", description="First day of the report."),
        "end": Param(None, type=["null", "string"], format="date", description="The day after its last one."),
        "mail": Param(True, type="boolean", description="Mail it, when SMTP is set."),
    },
    doc_md=__doc__,
    tags=["mlids", "report"],
)
def report_weekly():
    @task.short_circuit
    def anything_was_read() -> bool:
        from mlids import pipeline

        return pipeline.anything_was_read()

    @task
    def write(params, data_interval_end=None) -> dict:
        from mlids import pipeline

        return pipeline.report(*pipeline.span(params["start"], params["end"], data_interval_end))

    @task
    def mail(report: dict, params) -> dict:
        from mlids import pipeline

        return pipeline.mail_report(report["name"]) if params["mail"] else {"to": []}

    written = write()
    anything_was_read() >> written
    mail(written)


report_weekly()
