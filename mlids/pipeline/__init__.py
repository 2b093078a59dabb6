"""The composition root: reads settings, builds stores, chains stages. What the DAGs, the pages and the command line call.

Each function takes and returns plain values (ids, paths, counts), so that they travel through XCom.
Nothing under mlids but `demo` and `cli` imports it.
"""

from typing import TYPE_CHECKING

from mlids.pipeline.alerts import find_alert, give_verdict, list_alerts, resend_dead_letters, suppress, suppression_rules, unsuppress
from mlids.pipeline.batch import evaluate, score_logs, write_synthetic_logs
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
    trust,
    warm_up,
)
from mlids.pipeline.doctor import doctor
from mlids.pipeline.housekeeping import housekeeping, nightly_housekeeping
from mlids.pipeline.live import score_live, serve
from mlids.pipeline.models import accept, evaluate_and_promote, production_facts, rollback, snapshot, train
from mlids.pipeline.stores import (
    check_networks,
    open_archive,
    open_lake,
    open_model,
    open_registry,
    open_sinks,
    open_stores,
    sensor_names,
)
from mlids.pipeline.views import drift, overview, report, report_file, statuses
from mlids.pipeline.watch import watch_live
from mlids.text import safe

if TYPE_CHECKING:
    from mlids.scoring.batch import Scored
    from mlids.scoring.ranking import Finding

__all__ = [
    "Finding",
    "Scored",
    "accept",
    "build_lake",
    "build_lake_days",
    "check_networks",
    "days_are_there",
    "days_to_pull",
    "doctor",
    "drift",
    "evaluate",
    "evaluate_and_promote",
    "find_alert",
    "give_verdict",
    "housekeeping",
    "ingest_paths",
    "list_alerts",
    "nightly_housekeeping",
    "open_archive",
    "open_lake",
    "open_model",
    "open_registry",
    "open_sinks",
    "open_stores",
    "overview",
    "production_facts",
    "pull",
    "pull_with_late",
    "reconcile",
    "reconcile_days",
    "reconcile_unscored",
    "report",
    "report_file",
    "resend_dead_letters",
    "rollback",
    "safe",
    "score_live",
    "score_logs",
    "sensor_names",
    "serve",
    "snapshot",
    "span",
    "statuses",
    "suppress",
    "suppression_rules",
    "train",
    "training_span",
    "trust",
    "unsuppress",
    "warm_up",
    "watch_live",
    "write_synthetic_logs",
]
