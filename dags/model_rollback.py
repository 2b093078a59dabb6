"""### Put the previous model back into production

Moves the alias `production` to the version under `previous`, or to the one named in `to`. The move is recorded
in the audit with user and reason; live scorers load the model within seconds.
"""

import pendulum
from airflow.sdk import Param, dag, task


@dag(
    schedule=None,
    start_date=pendulum.datetime(2025, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args={"owner": "mlids", "retries": 0},
    params={
        "to": Param(None, type=["null", "string"], pattern="^[0-9]+$", description="Version; default: the previous one."),
        "why": Param("", type="string", minLength=3, description="Why, for the audit."),
    },
    doc_md=__doc__,
    tags=["mlids", "model"],
)
def model_rollback():
    @task
    def rollback(params, dag_run=None) -> dict:
        from mlids import pipeline

        who = getattr(dag_run, "triggering_user_name", None) or "airflow"
        return pipeline.rollback(to=params["to"], why=params["why"], who=who)

    rollback()


model_rollback()
