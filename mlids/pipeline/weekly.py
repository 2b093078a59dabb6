"""Gathers what the weekly report says from the stores, the lake and the registry, and files it by week."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlids.errors import InputError, ModelError
from mlids.pipeline.case_views import case_week
from mlids.pipeline.models import evaluation
from mlids.pipeline.retention import trained_on
from mlids.pipeline.stores import open_registry, open_stores
from mlids.settings import Settings, load_settings
from mlids.window import Window, day_window, parse_day, stamp

if TYPE_CHECKING:
    from datetime import datetime

    from mlids.alerts.stores import Stores
    from mlids.reporting.facts import ModelFacts, WeekFacts

_WEEK = re.compile(r"(\d{4})-W(\d\d)\Z", re.ASCII)
_ANOMALIES = 10
# A week's training runs on the day after it.
_TRAINED_WITHIN = timedelta(days=1)


def week_days(week: str) -> tuple[str, str]:
    """Return the Monday of an ISO week (`2026-W48`) and the Monday after it. Raises InputError for another text."""
    found = _WEEK.match(week)
    try:
        monday = date.fromisocalendar(int(found[1]), int(found[2]), 1) if found else None
    except ValueError:
        monday = None
    if monday is None:
        raise InputError(f"{week[:40]!r} is no week; write it as 2026-W48 (ISO 8601)")
    return monday.isoformat(), parse_day((monday + timedelta(days=7)).isoformat()).isoformat()


def report_name(start: str, end: str) -> str:
    """Return the name under which a report is filed: of a Monday to Sunday its ISO week, `weekly-2026-W48`; of other days these."""
    first, last = parse_day(start), parse_day(end)
    if first >= last:
        raise InputError(f"start {start} must lie before end {end}")
    year, week, weekday = first.isocalendar()
    return f"weekly-{year}-W{week:02d}" if weekday == 1 and last - first == timedelta(days=7) else f"weekly-{start}_{end}"


def report_span(name: str) -> tuple[date, date]:
    """Return the first day of a report, and the day after its last one, by its name. Raises InputError for another name."""
    rest = name.removeprefix("weekly-")
    start, end = week_days(rest) if _WEEK.match(rest) else (rest[:10], rest[11:])
    if rest == name or report_name(start, end) != name:
        raise InputError(f"{name[:80]!r} is not the name of a weekly report; write it as weekly-2026-W48")
    return parse_day(start), parse_day(end)


def report(start: str, end: str) -> dict[str, Any]:
    """Write the report over days from `start` up to, not including, `end`; return its files. Written again from the same stores, it has the same bytes."""
    from mlids.assets import asset_folder
    from mlids.reporting.report import content, write_report

    settings = load_settings()
    name = report_name(start, end)
    facts = week_facts(settings, parse_day(start), parse_day(end))
    files = write_report(settings.reports, asset_folder("reports_templates"), content(facts), name)
    return {
        "html": str(files.html), "pdf": str(files.pdf) if files.pdf else None, "why": files.why, "name": name,
        "alerts": facts.alerts.count, "cases": facts.cases.now.cases, "drift": facts.drift is not None, "empty": facts.is_empty,
    }  # fmt: skip


def anything_was_read() -> bool:
    """Return whether the ledger has any day: a new site has no report to write, and one whose sensors are down has."""
    return open_stores(load_settings()).weeks.days_read() is not None


def week_facts(settings: Settings, first: date, end: date) -> WeekFacts:
    """Return what a report says of the days from `first` up to, not including, `end`."""
    from mlids.alerts.stores.alerts import AlertFilter
    from mlids.reporting.facts import WeekFacts

    stores = open_stores(settings)
    window = Window(day_window(first).start, day_window(end).start)
    since, until = window.start, window.end
    before = since - (until - since)
    by_day, days = stores.weeks.alerts_by_day(since, until), [(first + timedelta(days=n)).isoformat() for n in range((end - first).days)]
    hidden, rules = stores.weeks.hidden(since, until)
    in_service, decisions = _decisions(stores, window)
    return WeekFacts(
        window=window, sensors=tuple(s.name for s in settings.sensors()), ever_read=stores.weeks.days_read(),
        ledger=sorted(stores.ledger.days(first, end), key=lambda r: (r["day"], r["sensor"])),
        logs=frozenset(r["log"] for r in stores.ledger.logs(first, end) if r["archived"]),
        by_day={d: by_day.get(d) or _no_alerts() for d in days},
        alerts=stores.alerts.summary(since, until), alerts_before=stores.alerts.summary(before, since),
        kinds=stores.weeks.kinds(since, until),
        anomalies=stores.alerts.latest(since=since, until=until, limit=_ANOMALIES, chosen_by=AlertFilter(kind="anomaly"), sort="risk"),
        cases=case_week(stores, first, end), case_levels=stores.weeks.cases_by_severity(since, until), hosts=stores.weeks.riskiest_hosts(since, until), drift=_drift(settings, first, end),
        model=_model(settings, in_service), decisions=decisions,
        judged_alerts=stores.weeks.judged_alerts(since, until), judged_cases=stores.weeks.judged_cases(since, until),
        hidden=hidden, rules=rules, evaluation=evaluation(settings), learning=_learning(stores, end, settings.train_days), budget_a_day=settings.alert_budget_per_day,
    )  # fmt: skip


def _no_alerts() -> dict[Any, int]:
    from mlids.cases.severity import Severity

    return dict.fromkeys(Severity, 0)


def _drift(settings: Settings, first: date, end: date) -> dict[str, Any] | None:
    """Return what `mlids drift` found for these days; None when it did not run."""
    try:
        found = json.loads((settings.reports / f"drift-{first}_{end}.json").read_text(encoding="utf-8"))
        return found if {"effects", "drifted", "moved", "words"} <= set(found) else None
    except (OSError, ValueError):
        return None


def _decisions(stores: Stores, window: Window) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the decisions up to the one that put the model of this week into service, and those of this week, oldest first.

    A week's training runs on the day after it, and that of the week before on its first day. A site that was read and trained
    later than this week has the first model that it ever had.
    """
    every = stores.weeks.decisions()
    limit, begin = (_second(when + _TRAINED_WITHIN) for when in (window.end, window.start))
    seen = [d for d in every if d["at"][:19] < limit]
    if not any(d["action"] != "refuse" for d in seen):
        first = next((n for n, d in enumerate(every) if d["action"] != "refuse"), None)
        seen = every[: first + 1] if first is not None else seen
    return seen, [d for d in seen if d["at"][:19] >= begin]


def _second(when: datetime) -> str:
    return stamp(when)[:19]


def _model(settings: Settings, decisions: Sequence[Mapping[str, Any]]) -> ModelFacts | None:
    """Return the model that the last move of decisions put into service; None without a move. Raises StoreError when MLflow does not answer."""
    from mlids.reporting.facts import ModelFacts
    from mlids.training.experiments import OLD_PREFIX

    moves = [d for d in decisions if d["action"] != "refuse"]
    if not moves:
        return None
    move = moves[-1]
    version = str(move["to_version"])
    tested = [d["gate"]["challenger"] for d in decisions if d["to_version"] == version and d["gate"]]
    try:
        held = open_registry(settings).find(version)
    except ModelError:  # housekeeping has removed it
        return ModelFacts(version, move["at"], move["action"], tested[-1] if tested else {})
    measured = {name.removeprefix(OLD_PREFIX): value for name, value in sorted((held.metrics or {}).items())}
    labels = _labels(settings.home / "snapshots", str((held.params or {}).get("snapshot", "")))
    return ModelFacts(version, move["at"], move["action"], tested[-1] if tested else {}, measured, labels)


def _labels(folder: Path, snapshot_id: str) -> dict[str, int]:
    """Return the rows of a snapshot by the source of their label; empty when it is not there any more."""
    if trained_on(snapshot_id) is None:  # it comes from MLflow, and names a folder
        return {}
    try:
        found = json.loads((folder / snapshot_id / "snapshot.json").read_text(encoding="utf-8"))
        return {str(name): int(n) for name, n in found["label_sources"].items()}
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return {}


def _learning(stores: Stores, end: date, wanted: int) -> list[dict[str, Any]]:
    """Return the sensors that had fewer days before `end` than training wants."""
    have = stores.weeks.days_of_sensors(end)
    return [{"sensor": sensor, "days": n, "of": wanted} for sensor, n in sorted(have.items()) if n < wanted]
