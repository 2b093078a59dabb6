"""What the page Health shows: scorers and their lag, the ledger hour by hour, drift, quarantine and sinks, each with its age."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from mlids.pipeline.health import STALE_S
from mlids.pipeline.stores import dead_letters_file, open_stores
from mlids.pipeline.views import latest_drift, scorer_statuses
from mlids.pipeline.watch import status_fault
from mlids.settings import Settings, load_settings
from mlids.text import span

if TYPE_CHECKING:
    from mlids.alerts.stores.ledger import LedgerStore

STRIP_DAYS = 7
_DRIFT_STALE = timedelta(days=8)  # it is computed every week
_LEDGER_STALE = timedelta(hours=50)  # yesterday is reconciled in the night
_DAYS = 60


def health_facts() -> dict[str, Any]:
    """Return the facts of the page; each has an `age` in words and is `stale` when it should be newer."""
    settings = load_settings()
    stores = open_stores(settings)
    days = stores.ledger.days()[:_DAYS]
    return {
        "scorers": scorer_facts(settings), "strips": _strips(stores.ledger, days), "ledger": days, "ledger_age": _aged(days[0]["at"], _LEDGER_STALE) if days else None,
        "drift": _drift(settings), "sinks": _sinks(settings), "dead_letters": _letters(settings),
        "rejected": sum(d["rejected"] for d in days[:STRIP_DAYS]), "lag_bound_s": settings.lag_bound_s,
    }  # fmt: skip


def _aged(when: str, bound: timedelta) -> dict[str, Any]:
    """Return how old a fact of a time in ISO 8601 is, and whether that is more than it should be."""
    age = datetime.now(UTC) - datetime.fromisoformat(when)
    return {"age": span(max(age.total_seconds(), 0.0)), "stale": age > bound, "at": when}


def scorer_facts(settings: Settings) -> list[dict[str, Any]]:
    """Return the scorer of each configured sensor: its status, what is wrong with it (`problem`), and its age."""
    held = {s.sensor: s for s in scorer_statuses(settings)}
    out = []
    for name in sorted({*held, *(s.name for s in settings.sensors())}):
        status = held.get(name)
        facts: dict[str, Any] = {"sensor": name, "problem": status_fault(status, settings.lag_bound_s), "age": None, "stale": False}
        if status is not None:
            facts |= {
                "status": status.as_dict(),
                "stale": bool(status.updated_at) and status.age_s > STALE_S,
                "last_row": status.last_row_ts,
            }
            facts["age"] = span(max(status.age_s, 0.0)) if status.updated_at else None
        out.append(facts)
    return out


def _strips(ledger: LedgerStore, days: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return for each sensor its newest STRIP_DAYS days of the ledger, each with 24 hours (UTC) and how they were scored."""
    out = []
    for sensor in sorted({d["sensor"] for d in days}):
        last = max(date.fromisoformat(d["day"]) for d in days if d["sensor"] == sensor)
        first = last - timedelta(days=STRIP_DAYS - 1)
        hours = {h["hour"][:13].replace(" ", "T"): h for h in ledger.hours(first - timedelta(days=1), last + timedelta(days=2), sensor)}
        archived = {d["day"] for d in days if d["sensor"] == sensor}
        rows = []
        for n in range(STRIP_DAYS):
            day = (first + timedelta(days=n)).isoformat()
            rows.append({"day": day, "known": day in archived, "hours": [_cell(hours.get(f"{day}T{h:02d}"), h) for h in range(24)]})
        out.append({"sensor": sensor, "days": rows})
    return out


def _cell(hour: dict[str, Any] | None, number: int) -> dict[str, Any]:
    """Return an hour as a cell: its kind (`live`, `late`, `missing`, `empty`, `unknown`) and the sentence about it."""
    if hour is None:
        return {"kind": "unknown", "text": f"{number:02d}:00 not in the ledger"}
    kind = "missing" if hour["missing"] > 0 else "late" if hour["late"] else "live" if hour["archived"] else "empty"
    counts = f"{hour['archived']:,} in the archive, {hour['live']:,} live, {hour['late']:,} late, {max(hour['missing'], 0):,} missing"
    return {"kind": kind, "text": f"{number:02d}:00 {counts}" + (f", {hour['rejected']:,} rejected" if hour["rejected"] else "")}


def _drift(settings: Settings) -> dict[str, Any] | None:
    found = latest_drift(settings)
    if found is None:
        return None
    words = found.get("words") or {}
    effects = sorted(found["effects"].items(), key=lambda e: -float(e[1]))
    measures = [{"what": words.get(name, name), "effect": float(value), "drifted": name in found["drifted"]} for name, value in effects]
    return {"name": found["name"], "measures": measures, "share": float(found.get("share") or 0.0)} | _aged(
        found["written_at"], _DRIFT_STALE
    )


def _sinks(settings: Settings) -> list[dict[str, Any]]:
    """Return each configured sink with the sensors whose scorer it does not let write; what a scorer said long ago is stale."""
    stopped: dict[str, list[str]] = {}
    for status in scorer_statuses(settings):
        for sink, why in status.stopped_sinks.items():
            stopped.setdefault(sink, []).append(f"sensor {status.sensor}, {span(max(status.age_s, 0.0))} ago: {why}")
    names = list(dict.fromkeys(["sqlite", *settings.sinks, *stopped]))
    return [{"name": name, "stopped": stopped.get(name, [])} for name in names]


def _letters(settings: Settings) -> dict[str, int]:
    from mlids.alerts.dead_letters import DeadLetters

    return {sink: n for sink, n in DeadLetters(dead_letters_file(settings)).count().items() if n}
