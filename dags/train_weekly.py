"""### Train both forests on the last days, and promote the model unless it is worse

Every Monday: store the week as a snapshot (with attacks implanted into the site's own traffic), train the
RandomForest and the IsolationForest, export them as one ONNX graph, register it in MLflow as `challenger`,
score the same held-out rows with it and with the model in production, and move the alias `production` unless it
is worse. Days that no model has scored yet are scored afterwards.

Nothing is done while the lake has no conns of those days. Run it by hand to choose the days or another seed.
"""

import pendulum
from airflow.sdk import Param, dag, task
from airflow.timetables.interval import CronDataIntervalTimetable


@dag(
    schedule=CronDataIntervalTimetable("0 4 * * 1", timezone="UTC"),
    start_date=pendulum.datetime(2025, 1, 6, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args={"owner": "mlids", "retries": 1, "retry_delay": pendulum.duration(minutes=5)},
    params={
        "start": Param(None, type=["null", "string"], format="date", description="First day to train on."),
        "end": Param(None, type=["null", "string"], format="date", description="The day after the last one."),
        "seed": Param(0, type="integer", minimum=0, description="Seed of both forests."),
    },
    doc_md=__doc__,
    tags=["mlids", "model"],
)
def train_weekly():
    @task.short_circuit
    def days_are_there(params, data_interval_end=None) -> bool:
        from mlids import pipeline

        return pipeline.days_are_there(*pipeline.training_span(params["start"], params["end"], data_interval_end))

    @task
    def snapshot(params, data_interval_end=None) -> str:
        from mlids import pipeline

        return pipeline.snapshot(*pipeline.training_span(params["start"], params["end"], data_interval_end))["id"]

    @task
    def train(snapshot_id: str, params) -> dict:
        from mlids import pipeline

        return pipeline.train(snapshot_id, seed=params["seed"])

    @task
    def evaluate_and_promote(trained: dict) -> dict:
        from mlids import pipeline

        return pipeline.evaluate_and_promote(trained["version"], trained["snapshot_id"])

    @task
    def reconcile_unscored(gate: dict) -> list[dict]:
        from mlids import pipeline

        return pipeline.reconcile_unscored()

    frozen = snapshot()
    days_are_there() >> frozen
    reconcile_unscored(evaluate_and_promote(train(frozen)))


train_weekly()
