"""Alerts as people work with them: list, show, verdict, suppress."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from mlids.errors import InputError
from mlids.pipeline.stores import open_database
from mlids.settings import load_settings

VERDICTS = ("true positive", "false positive")


def list_alerts(*, limit: int = 20, suppressed: bool = False) -> list[dict[str, Any]]:
    """Return the latest alert documents, newest first; those that a rule hides only when `suppressed`."""
    return open_database(load_settings()).alerts(limit=limit, suppressed=suppressed)


def find_alert(beginning: str) -> dict[str, Any]:
    """Return the one alert whose id begins like this. Raises InputError when there is none, or several."""
    found = open_database(load_settings()).alerts(limit=2, starting_with=beginning)
    if len(found) != 1:
        raise InputError(f"{'several alerts begin' if found else 'no alert begins'} with {beginning!r}; `mlids alerts` lists them")
    return found[0]


def give_verdict(alert: str, verdict: str, *, who: str, note: str | None = None) -> str:
    """Store an analyst's verdict on the alert whose id begins like this, and return its id.

    Raises InputError for a verdict that is none of VERDICTS, and what `find_alert` does.
    """
    if verdict not in VERDICTS:
        raise InputError(f"{verdict!r} is no verdict; use one of {', '.join(VERDICTS)}")
    found = find_alert(alert)
    open_database(load_settings()).put_verdict(found["id"], verdict, who, note)
    return str(found["id"])


def suppress(
    *, why: str, who: str, alert: str | None = None, kind: str | None = None, src: str | None = None, dst: str | None = None,
    port: int | None = None, sensor: str | None = None, days: float | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Store a suppression rule and return its number and conditions; `alert` lends those that are not given.

    Raises InputError when the rule would match everything or names what cannot be.
    """
    from mlids.alerts.suppression import checked, like
    from mlids.training.labels import FAMILIES

    database = open_database(load_settings())
    conditions: dict[str, Any] = {"kind": kind, "src": src, "dst": dst, "port": port, "sensor": sensor}
    if alert is not None:
        conditions = like(find_alert(alert)) | {k: v for k, v in conditions.items() if v is not None}
    rule = checked(**conditions, known=[*FAMILIES, *database.kinds()])
    if days is not None:
        rule = replace(rule, expires_at=datetime.now(UTC) + timedelta(days=days))
    return {"rule": database.add_rule(rule, why, who)} | {k: getattr(rule, k) for k in ("kind", "sensor", "src", "dst", "port")}


def unsuppress(rule: int) -> None:
    """End a suppression rule; alerts that only it hid are shown again. Raises StoreError when there is none."""
    open_database(load_settings()).end_rule(rule)


def suppression_rules(*, in_force: bool = False) -> list[dict[str, Any]]:
    """Return the suppression rules, newest first, with the conns that each suppressed; or only those in force."""
    database = open_database(load_settings())
    return database.rules_in_force() if in_force else database.rule_rows()
