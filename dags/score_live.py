"""### Live scoring

Follows the growing `conn.log` of every sensor and sends alerts to the sinks within about a second. Each sensor has
one task, which runs for `seconds`; the next run continues at the checkpoint, so no conn is lost in between.
`mlids serve` is the same loop as a service; `live_watch` fails when there is a problem.
"""

import pendulum
from airflow.sdk import Param, dag, task
from mlids_airflow.connections import connected
from mlids_airflow.defaults import live_defaults


@dag(
    schedule="@continuous",
    start_date=pendulum.datetime(2025, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args=live_defaults(retries=3, hours=25),
    params={
        "seconds": Param(1800, type="integer", minimum=5, maximum=86400, description="How long one run follows the log."),
    },
    doc_md=__doc__,
    tags=["mlids", "live"],
)
def score_live():
    @task(doc_md="The sensors that are configured.")
    def find_sensors() -> list[str]:
        pipeline = connected()
        return pipeline.sensor_names()

    @task(map_index_template="{{ task.op_kwargs['sensor'] }}", doc_md="Follows one sensor; the next run continues at its checkpoint.")
    def score(sensor: str, params) -> dict:
        pipeline = connected()
        return pipeline.score_live(sensor, params["seconds"])

    score.expand(sensor=find_sensors())


score_live()
