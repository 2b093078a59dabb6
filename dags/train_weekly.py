"""### Train both forests on the last days, and promote the model unless it is worse

Once the seven days of a week are announced: store the week as a snapshot (with attacks implanted into the site's own
traffic), train the RandomForest and the IsolationForest, export them as one ONNX graph, register it in MLflow as
`challenger`, score the same held-out rows with it and with the model in production, and move the alias `production` unless
it is worse. Days that no model has scored yet are scored afterwards. A day that stays missing is tolerated after
`MLIDS_WAIT_DAYS` nights; `look_at_days` says which ones are.

A week older than the one production was trained on (of a backfill) becomes a version, and never goes into production.

Nothing is done while the lake has no conns of those days. Run it by hand to choose the days, the sensors or another seed, to
train without promotion, or to promote a model that the gate refuses, with the reason that the audit keeps.
"""

import pendulum
from airflow.sdk import Param, dag, task
from airflow.sdk.exceptions import AirflowSkipException
from mlids_airflow.assets import MODEL, after_seven_days, announce_week
from mlids_airflow.connections import connected
from mlids_airflow.defaults import task_defaults
from mlids_airflow.forms import dates, dry_run, sensors


@dag(
    schedule=after_seven_days(),
    start_date=pendulum.datetime(2025, 1, 6, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args=task_defaults(retries=2, hours=12),
    params={
        **dates("First day to train on.", "The day after the last one."),
        **sensors("Train on these sensors only; default: all in the lake."),
        "seed": Param(0, type="integer", minimum=0, title="Seed", description="Seed of both forests."),
        "promote": Param(True, type="boolean", title="Promote", description="Off: train only, do not promote."),
        "force_reason": Param(
            None, type=["null", "string"], minLength=3, title="Force, because",
            description="Promote even if the gate refuses; the audit keeps this reason and your name.",
        ),
        **dry_run("Train nothing; the result of look_at_days says what would be read, and what is missing."),
    },
    doc_md=__doc__,
    tags=["mlids", "model"],
)  # fmt: skip
def train_weekly():
    @task(doc_md="The days and sensors to train on, their conns, and what is missing.")
    def look_at_days(params, dag_run=None) -> dict:
        pipeline = connected()
        days = pipeline.training_span(params["start"], params["end"], dag_run.partition_key or pipeline.last_week(dag_run.run_after))
        return pipeline.training_plan(*days, params["sensors"])

    @task.short_circuit(doc_md="Ends the run when there is nothing to train on, or it is a dry run.")
    def conns_are_there(plan: dict, params) -> bool:
        return plan["rows"] > 0 and not params["dry_run"]

    @task(doc_md="Stores the conns as features, with attacks implanted.")
    def take_snapshot(plan: dict, params) -> str:
        pipeline = connected()
        return pipeline.snapshot(plan["start"], plan["end"], sensors=params["sensors"])["id"]

    @task(
        doc_md="Fits both forests, sets the threshold by the alert budget, registers the version; a week that is built again keeps its version."
    )
    def train(snapshot_id: str, params, dag_run=None) -> dict:
        pipeline = connected()
        before = pipeline.trained_before(snapshot_id, seed=params["seed"]) if dag_run.partition_key else None
        return before or pipeline.train(snapshot_id, seed=params["seed"])

    @task(doc_md="Compares the version with the model in production, and promotes it unless it is worse.")
    def evaluate_and_promote(trained: dict, params, dag_run=None) -> dict:
        pipeline = connected()
        if not params["promote"]:
            raise AirflowSkipException(f"version {trained['version']} is trained and registered; the form says: do not promote")
        who, reason = getattr(dag_run, "triggering_user_name", None) or "airflow", params["force_reason"]
        return pipeline.evaluate_and_promote(trained["version"], trained["snapshot_id"], who=who, force=bool(reason), reason=reason or "")

    @task(doc_md="Scores the days that no model has scored yet.")
    def reconcile_unscored(gate: dict) -> list[dict]:
        pipeline = connected()
        return pipeline.reconcile_unscored()

    plan = look_at_days()
    snapshot = take_snapshot(plan)
    conns_are_there(plan) >> snapshot
    gate = evaluate_and_promote(train(snapshot))
    reconcile_unscored(gate)
    gate >> announce_week(MODEL)


train_weekly()
