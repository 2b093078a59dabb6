"""### Live scoring

Follows the growing `conn.log` of every sensor and puts alerts into the sinks within a second or so. One task
a sensor; each runs for `seconds` and is followed by the next run, which goes on at the stored position, so
nothing is lost in between. `mlids serve` is the same loop as a service; `live_watch` says when it is not well.
"""

import pendulum
from airflow.sdk import Param, dag, task


@dag(
    schedule="@continuous",
    start_date=pendulum.datetime(2025, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args={"owner": "mlids", "retries": 3, "retry_delay": pendulum.duration(seconds=10)},
    params={
        "seconds": Param(1800, type="integer", minimum=5, maximum=86400, description="How long one run follows the log."),
    },
    doc_md=__doc__,
    tags=["mlids", "live"],
)
def score_live():
    @task
    def sensors() -> list[str]:
        from mlids import pipeline

        return pipeline.sensor_names()

    @task(map_index_template="{{ task.op_kwargs['sensor'] }}")
    def score(sensor: str, params) -> dict:
        from mlids import pipeline

        return pipeline.score_live(sensor, params["seconds"])

    score.expand(sensor=sensors())


score_live()
