"""The composition root: reads settings, builds stores, chains stages. What the DAGs and the command line call.

Each function takes and returns plain values (ids, paths, counts), so that they travel through XCom.
"""

from mlids.pipeline.days import (
    build_lake,
    build_lake_days,
    days_are_there,
    days_to_pull,
    ingest_paths,
    pull,
    pull_with_late,
    reconcile,
    reconcile_days,
    reconcile_unscored,
    span,
    training_span,
    warm_up,
)
from mlids.pipeline.doctor import doctor
from mlids.pipeline.live import score_live, serve, watch_live
from mlids.pipeline.models import evaluate_and_promote, production_facts, rollback, snapshot, train
from mlids.pipeline.stores import (
    check_networks,
    open_archive,
    open_database,
    open_lake,
    open_model,
    open_registry,
    open_sinks,
    sensor_names,
)
from mlids.pipeline.views import drift, overview, report, statuses

__all__ = [
    "build_lake",
    "build_lake_days",
    "check_networks",
    "days_are_there",
    "days_to_pull",
    "doctor",
    "drift",
    "evaluate_and_promote",
    "ingest_paths",
    "open_archive",
    "open_database",
    "open_lake",
    "open_model",
    "open_registry",
    "open_sinks",
    "overview",
    "production_facts",
    "pull",
    "pull_with_late",
    "reconcile",
    "reconcile_days",
    "reconcile_unscored",
    "report",
    "rollback",
    "score_live",
    "sensor_names",
    "serve",
    "snapshot",
    "span",
    "statuses",
    "train",
    "training_span",
    "warm_up",
    "watch_live",
]
