"""### Drift of the last week

Every Monday Evidently compares the hosts' behaviour in the week that ended with the week before it, by effect
size: with this many rows every p-value is significant. The page is stored with the reports, the effects are logged
to MLflow, and the result names the hosts that changed most.
"""

import pendulum
from airflow.sdk import Param, dag, task
from airflow.timetables.interval import CronDataIntervalTimetable


@dag(
    schedule=CronDataIntervalTimetable("30 4 * * 1", timezone="UTC"),
    start_date=pendulum.datetime(2025, 1, 6, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args={"owner": "mlids", "retries": 1, "retry_delay": pendulum.duration(minutes=5)},
    params={
        "start": Param(None, type=["null", "string"], format="date", description="First day of the current span."),
        "end": Param(None, type=["null", "string"], format="date", description="The day after its last one."),
    },
    doc_md=__doc__,
    tags=["mlids", "drift"],
)
def drift_weekly():
    @task.short_circuit
    def days_are_there(params, data_interval_end=None) -> bool:
        from mlids import pipeline

        return pipeline.days_are_there(*pipeline.span(params["start"], params["end"], data_interval_end))

    @task
    def compare(params, data_interval_end=None) -> dict:
        from mlids import pipeline

        return pipeline.drift(*pipeline.span(params["start"], params["end"], data_interval_end))

    days_are_there() >> compare()


drift_weekly()
