"""### Put the previous model back into production

Moves the alias `production` to the version under `previous`, or to the one named in `to`. The move is recorded
in the audit with user and reason; live scorers load the model within seconds.
"""

import pendulum
from airflow.sdk import Param, dag, task
from mlids_airflow.connections import connected
from mlids_airflow.defaults import task_defaults


@dag(
    schedule=None,
    start_date=pendulum.datetime(2025, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args=task_defaults(retries=0, hours=1),
    params={
        "to": Param(None, type=["null", "string"], pattern="^[0-9]+$", description="Version; default: the previous one."),
        "why": Param("", type="string", minLength=3, description="Why, for the audit."),
    },
    doc_md=__doc__,
    tags=["mlids", "model"],
)
def model_rollback():
    @task(doc_md="Moves the alias, and writes the audit.")
    def rollback(params, dag_run=None) -> dict:
        pipeline = connected()
        who = getattr(dag_run, "triggering_user_name", None) or "airflow"
        return pipeline.rollback(to=params["to"], why=params["why"], who=who)

    rollback()


model_rollback()
