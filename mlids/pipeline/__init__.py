"""The composition root: reads settings, builds stores, chains stages. What the DAGs, the pages and the command line call.

Each function takes and returns plain values (ids, paths, counts), so that they travel through XCom.
Nothing under mlids but `demo` and `cli` imports it.
"""

from typing import TYPE_CHECKING

from mlids.errors import InputError, MlidsError
from mlids.pipeline.activity import overview_page, week_charts, week_facts
from mlids.pipeline.alert_views import alert_facts, alert_list
from mlids.pipeline.alerts import VERDICTS, find_alert, give_verdict, list_alerts, resend_dead_letters
from mlids.pipeline.batch import evaluate, evaluation_tables, score_logs, write_synthetic_logs
from mlids.pipeline.case_views import SEVERITIES, STATES, case_facts, case_list
from mlids.pipeline.cases import find_case, gather_day, judge_case, list_cases
from mlids.pipeline.configuration import check_configuration, configuration, write_configuration
from mlids.pipeline.connections import secrets_in_use, use_connections
from mlids.pipeline.days import (
    build_lake,
    build_lake_days,
    ingest_paths,
    pull,
    pull_with_late,
    reconcile,
    reconcile_days,
    reconcile_unscored,
    trust,
    warm_up,
)
from mlids.pipeline.doctor import doctor
from mlids.pipeline.elastic import elastic_backfill, elastic_install, elastic_requests
from mlids.pipeline.failures import failure_message
from mlids.pipeline.health_documents import send_health
from mlids.pipeline.health_views import health_facts
from mlids.pipeline.host_views import host_facts, host_list, host_profile
from mlids.pipeline.housekeeping import housekeeping, nightly_housekeeping
from mlids.pipeline.kibana import kibana_check, kibana_install
from mlids.pipeline.live import score_live, serve
from mlids.pipeline.log_rows import alert_rows, case_rows
from mlids.pipeline.mailing import mail_report
from mlids.pipeline.model_views import model_list
from mlids.pipeline.models import accept, evaluate_and_promote, production_facts, rollback, snapshot, train, trained_before
from mlids.pipeline.notifying import notify
from mlids.pipeline.rules import COVERED_DAYS, export_rules, import_rules, suppress, suppression_history, suppression_rules, unsuppress
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
from mlids.pipeline.views import drift, model_in_production, overview, report_file, report_list, statuses
from mlids.pipeline.watch import watch_live
from mlids.pipeline.weekly import anything_was_read, report, week_days
from mlids.pipeline.weeks import days_are_there, days_to_pull, finished_days, last_week, span, training_plan, training_span
from mlids.text import address_parts, redact, safe

if TYPE_CHECKING:
    from mlids.scoring.batch import Scored
    from mlids.scoring.ranking import Finding
    from mlids.scoring.records import ScoredLog

__all__ = [
    "COVERED_DAYS",
    "SEVERITIES",
    "STATES",
    "VERDICTS",
    "Finding",
    "InputError",
    "MlidsError",
    "Scored",
    "ScoredLog",
    "accept",
    "address_parts",
    "alert_facts",
    "alert_list",
    "alert_rows",
    "anything_was_read",
    "build_lake",
    "build_lake_days",
    "case_facts",
    "case_list",
    "case_rows",
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
    "failure_message",
    "find_alert",
    "find_case",
    "finished_days",
    "gather_day",
    "give_verdict",
    "health_facts",
    "host_facts",
    "host_list",
    "host_profile",
    "housekeeping",
    "import_rules",
    "ingest_paths",
    "judge_case",
    "kibana_check",
    "kibana_install",
    "last_week",
    "list_alerts",
    "list_cases",
    "mail_report",
    "model_in_production",
    "model_list",
    "need_home",
    "nightly_housekeeping",
    "notify",
    "open_archive",
    "open_lake",
    "open_model",
    "open_registry",
    "open_sinks",
    "open_stores",
    "overview",
    "overview_page",
    "production_facts",
    "pull",
    "pull_with_late",
    "reconcile",
    "reconcile_days",
    "reconcile_unscored",
    "redact",
    "report",
    "report_file",
    "report_list",
    "resend_dead_letters",
    "rollback",
    "safe",
    "score_live",
    "score_logs",
    "secrets_in_use",
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
    "trained_before",
    "training_plan",
    "training_span",
    "trust",
    "unsuppress",
    "use_connections",
    "warm_up",
    "watch_live",
    "week_charts",
    "week_days",
    "week_facts",
    "write_configuration",
    "write_synthetic_logs",
]
