"""A week of alerts for the overview: by day against the budget, and by host and hour."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from mlids.pipeline.alerts import with_severity
from mlids.pipeline.case_views import open_case_facts
from mlids.pipeline.days import warm_up
from mlids.pipeline.health_views import scorer_facts
from mlids.pipeline.stores import open_lake, open_stores
from mlids.settings import Settings, load_settings

if TYPE_CHECKING:
    from mlids.alerts.stores import Stores

WEEK_DAYS = 7
_HOSTS, _TOP_ALERTS = 15, 12


def week_of(stores: Stores) -> tuple[datetime, datetime, bool]:
    """Return the seven days (UTC) that end today, and False; when they have no alert, those that end with the newest one, and True."""
    now, newest = datetime.now(UTC), stores.alerts.newest()
    last = datetime.fromisoformat(newest) if newest else now
    stale = last < _midnight(now) - timedelta(days=WEEK_DAYS - 1)
    end = _midnight(last if stale else now) + timedelta(days=1)
    return end - timedelta(days=WEEK_DAYS), end, stale


def _midnight(when: datetime) -> datetime:
    return when.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def week_facts(settings: Settings | None = None) -> dict[str, Any]:
    """Return the alerts of `week_of` by day and severity and by host and hour, and the budget a day.

    `stale` says that the week is an older one. A cell of `cells` is (host, hour, alerts, highest risk_score, rank of its severity).
    """
    from mlids.cases.severity import LEVELS, Severity, severity_of

    settings = settings or load_settings()
    stores = open_stores(settings)
    levels = settings.severity or LEVELS
    start, end, stale = week_of(stores)
    found = stores.alerts.by_hour(start, end, levels, _HOSTS)
    days: list[dict[str, Any]] = [
        {"day": f"{start + timedelta(days=n):%Y-%m-%d}"} | {str(s): 0 for s in Severity} for n in range(WEEK_DAYS)
    ]
    by_name = {d["day"]: d for d in days}
    for hour, rank, n in found.severities:
        by_name[hour[:10]][str(list(Severity)[rank])] += n
    for day in days:
        day["alerts"] = sum(day[str(s)] for s in Severity)
    return {
        "start": start.isoformat(), "end": end.isoformat(), "stale": stale, "days": days, "hosts": found.hosts,
        "cells": [(*cell, severity_of(cell[3], levels).rank) for cell in found.cells],
        "alerts": sum(d["alerts"] for d in days), "budget": settings.alert_budget_per_day,
    }  # fmt: skip


def overview_page() -> dict[str, Any]:
    """Return the content of the overview: open cases, alerts of the last day and the budget, scorers, model, and the riskiest alerts of the week."""
    settings = load_settings()
    stores = open_stores(settings)
    now = datetime.now(UTC)
    start, end, _ = week_of(stores)
    top = stores.alerts.latest(since=start, until=end, limit=_TOP_ALERTS, sort="risk")
    return {
        **open_case_facts(stores), "last_day": stores.alerts.count(now - timedelta(days=1), now), "budget": settings.alert_budget_per_day,
        "model": _promoted(stores), "scorers": scorer_facts(settings), "rules": stores.rules.rows_in_force()[:20],
        "warm_up": [warm_up(s) for s in open_lake(settings).sensors()], "alerts": [with_severity(a, settings) for a in top],
        "alert_count": stores.alerts.count(),
    }  # fmt: skip


def _promoted(stores: Stores) -> dict[str, Any] | None:
    """Return `version`, `at`, `who` and `action` of the move that brought the model in production there, by the audit; None without one."""
    last = stores.audit.last_move()
    if last is None:
        return None
    rows = stores.audit.rows(50)
    at = next((r["at"] for r in rows if r["to_version"] == last.to_version and r["action"] == last.action), None)
    return {"version": last.to_version, "at": at, "who": last.who, "action": {"promote": "promoted"}.get(last.action, "rolled back")}


def week_charts(base: str) -> dict[str, Any]:
    """Return the facts of the week with both charts as SVG (`timeline`, `heat_map`); links of the charts begin with `base`."""
    from mlids.pipeline.page_charts import heat_map, timeline

    found = week_facts()
    hosts = [h["host"] for h in found["hosts"]]
    return found | {
        "timeline": timeline(found["days"], found["budget"]),
        "heat_map": heat_map(hosts, found["cells"], datetime.fromisoformat(found["start"]), base) if hosts else "",
    }
