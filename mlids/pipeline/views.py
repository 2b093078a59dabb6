"""Drift, filed reports, and the content of the page in the Airflow UI."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlids.errors import MlidsError
from mlids.files import write_atomic
from mlids.pipeline.case_views import open_case_facts
from mlids.pipeline.days import warm_up
from mlids.pipeline.models import production_facts
from mlids.pipeline.stores import open_lake, open_registry, open_stores
from mlids.settings import Settings, load_settings
from mlids.text import redact
from mlids.window import days_between, parse_day

if TYPE_CHECKING:
    from mlids.alerts.stores.ledger import LedgerStore
    from mlids.scoring.status import Status

log = logging.getLogger(__name__)

_REPORT = re.compile(r"[a-zW0-9_-]{1,80}\.(html|pdf)\Z")


def drift(start: str, end: str, days: int | None = None) -> dict[str, Any]:
    """Compare the days of `start`..`end` with as many before them; write the page, log the effects to MLflow."""
    from mlids.reporting.drift import compare
    from mlids.training.experiments import span_tags

    settings = load_settings()
    lake, registry = open_lake(settings), open_registry(settings)
    current = days_between(parse_day(start), parse_day(end))
    span = days or len(current)
    reference = days_between(parse_day(start) - timedelta(days=span), parse_day(start))
    name = f"drift-{start}_{end}"
    found = compare(lake, lake.sensors(), reference, current, settings.reports / f"{name}.html", settings.networks)
    facts = found.as_dict()
    path = settings.reports / f"{name}.json"
    write_atomic(path, json.dumps(facts, indent=1))
    metrics = {f"drift_{k}": v for k, v in found.effects.items()} | {"drift_share": found.share}
    tags = span_tags(lake.sensors(), current[-1].isoformat())
    facts["run_id"] = registry.runs.log_drift(name, metrics, Path(found.html), tags)
    return facts


def report_file(name: str) -> Path | None:
    """Return the path of a report; None when there is none of that name, or the name is not that of a report."""
    path = load_settings().reports / name
    return path if _REPORT.match(name) and path.is_file() else None


def report_list(limit: int = 200) -> list[dict[str, Any]]:
    """Return `name`, `kind`, `days`, `bytes` and `written_at` of the reports, the one that was written last first."""
    found = []
    for path in load_settings().reports.glob("[!.]*.*"):
        if not _REPORT.match(path.name):
            continue
        try:
            held = path.stat()
        except OSError:  # removed meanwhile
            continue
        kind, _, days = path.stem.partition("-")
        written = datetime.fromtimestamp(held.st_mtime, UTC).isoformat(timespec="seconds")
        found.append({"name": path.name, "kind": kind, "days": days.replace("_", " to "), "bytes": held.st_size, "written_at": written})
    return sorted(found, key=lambda r: (r["written_at"], r["name"]), reverse=True)[:limit]


def latest_drift(settings: Settings) -> dict[str, Any] | None:
    """Return what the newest comparison of weeks found, with `name` and `written_at`; None without one."""
    for path in sorted(settings.reports.glob("drift-*.json"), reverse=True):
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            written = datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="seconds")
            return {**found, "name": f"{path.stem}.html", "written_at": written} if {"effects", "moved", "drifted"} <= set(found) else None
        except (OSError, ValueError, TypeError) as error:
            log.warning("%s cannot be read and is left out: %s", path, error)
    return None


def statuses(settings: Settings | None = None) -> list[dict[str, Any]]:
    """Return what the status files of all scorers hold; one that cannot be read is left out."""
    return [stored for stored, _ in _status_files(settings or load_settings())]


def scorer_statuses(settings: Settings) -> list[Status]:
    """Return the statuses of all scorers; one whose file cannot be read is left out."""
    return [status for _, status in _status_files(settings)]


def _status_files(settings: Settings) -> Iterator[tuple[dict[str, Any], Status]]:
    from mlids.scoring.status import Status

    for path in sorted(settings.state.glob("*/status.json")):
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            yield stored, Status.of(stored)
        except (OSError, ValueError, TypeError) as error:
            log.warning("%s is not the status of a scorer and is left out: %s", path, error)


def overview(limit: int = 200) -> dict[str, Any]:
    """Return the content of the page in the Airflow UI: open cases, alerts, model, ledger, scorers, reports."""
    settings = load_settings()
    stores = open_stores(settings)
    model = model_in_production(settings)
    return {
        "alerts": stores.alerts.latest(limit=limit), "alert_count": stores.alerts.count(), "model": model, "ledger": _with_logs(stores.ledger, stores.ledger.days()[:60]), "audit": stores.audit.rows(10),
        "warm_up": [warm_up(s) for s in open_lake(settings).sensors()], "scorers": [s.as_dict() for s in scorer_statuses(settings)], "reports": [r["name"] for r in report_list(40)],
        "gaps": _gaps(stores.ledger), "rules": stores.rules.rows_in_force(), **open_case_facts(stores),
    }  # fmt: skip


def model_in_production(settings: Settings | None = None) -> dict[str, Any] | None:
    """Return what `production_facts` does; an `error` alone when the registry does not answer."""
    try:
        return production_facts(settings or load_settings())
    except MlidsError as error:
        return {"version": None, "error": redact(str(error)), "metrics": {}}


def _with_logs(ledger: LedgerStore, days: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return ledger days with `logs`: by log beside conn.log its rows in the archive, those read live, and those missing."""
    if not days:
        return []
    dates = [parse_day(d["day"]) for d in days]
    of: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    for row in ledger.logs(min(dates), max(dates) + timedelta(days=1)):
        of.setdefault((row["sensor"], row["day"]), {})[row["log"]] = {name: row[name] for name in ("archived", "live", "missing")}
    return [d | {"logs": of.get((d["sensor"], d["day"]), {})} for d in days]


def _gaps(ledger: LedgerStore) -> list[dict[str, Any]]:
    """Return the latest hours that were partly scored live and partly not; days without live scoring have no gap."""
    today = datetime.now(UTC).date()
    found = ledger.hours(today - timedelta(days=14), today + timedelta(days=2))
    live_days = {(h["sensor"], h["day"]) for h in found if h["live"]}
    return [h for h in found if (h["sensor"], h["day"]) in live_days and (h["late"] or h["missing"])][-48:]
