"""The composition root: reads settings, builds stores, chains stages. What the DAGs, the pages and the command line call.

Each function takes and returns plain values (ids, paths, counts), so that they travel through XCom.
Nothing under mlids but `demo` and `cli` imports it.
"""

from typing import TYPE_CHECKING

from mlids.pipeline.alerts import find_alert, give_verdict, list_alerts, resend_dead_letters
from mlids.pipeline.batch import evaluate, evaluation_tables, score_logs, write_synthetic_logs
from mlids.pipeline.case_views import SEVERITIES, STATES, case_facts, case_list
from mlids.pipeline.cases import find_case, gather_day, judge_case, list_cases
from mlids.pipeline.configuration import check_configuration, configuration, write_configuration
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
from mlids.pipeline.elastic import elastic_backfill, elastic_install, elastic_requests
from mlids.pipeline.health_documents import send_health
from mlids.pipeline.housekeeping import housekeeping, nightly_housekeeping
from mlids.pipeline.kibana import kibana_check, kibana_install
from mlids.pipeline.live import score_live, serve
from mlids.pipeline.models import accept, evaluate_and_promote, production_facts, rollback, snapshot, train
from mlids.pipeline.rules import export_rules, import_rules, suppress, suppression_history, suppression_rules, unsuppress
from mlids.pipeline.stores import (
    check_networks,
    need_home,
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
from mlids.text import address_parts, safe

if TYPE_CHECKING:
    from mlids.scoring.batch import Scored
    from mlids.scoring.ranking import Finding
    from mlids.scoring.records import ScoredLog

__all__ = [
    "SEVERITIES",
    "STATES",
    "Finding",
    "Scored",
    "ScoredLog",
    "accept",
    "address_parts",
    "build_lake",
    "build_lake_days",
    "case_facts",
    "case_list",
    "check_configuration",
    "check_networks",
    "configuration",
    "days_are_there",
    "days_to_pull",
    "doctor",
    "drift",
    "elastic_backfill",
    "elastic_install",
    "elastic_requests",
    "evaluate",
    "evaluate_and_promote",
    "evaluation_tables",
    "export_rules",
    "find_alert",
    "find_case",
    "gather_day",
    "give_verdict",
    "housekeeping",
    "import_rules",
    "ingest_paths",
    "judge_case",
    "kibana_check",
    "kibana_install",
    "list_alerts",
    "list_cases",
    "need_home",
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
    "send_health",
    "sensor_names",
    "serve",
    "snapshot",
    "span",
    "statuses",
    "suppress",
    "suppression_history",
    "suppression_rules",
    "train",
    "training_span",
    "trust",
    "unsuppress",
    "warm_up",
    "watch_live",
    "write_configuration",
    "write_synthetic_logs",
]
