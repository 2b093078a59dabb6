"""### The weekly report

Every Monday, after training and drift: alerts by behaviour and host, drift, the model with its metrics,
and the days that are missing. Stored as HTML and PDF in `reports/`, linked on the mlids page.
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
    },
    doc_md=__doc__,
    tags=["mlids", "report"],
)
def report_weekly():
    @task.short_circuit
    def days_are_there(params, data_interval_end=None) -> bool:
        from mlids import pipeline

        return pipeline.days_are_there(*pipeline.span(params["start"], params["end"], data_interval_end))

    @task
    def write(params, data_interval_end=None) -> dict:
        from mlids import pipeline

        return pipeline.report(*pipeline.span(params["start"], params["end"], data_interval_end))

    days_are_there() >> write()


report_weekly()
