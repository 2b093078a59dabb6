"""What analysts do with alerts: list them, give verdicts, suppress, send dead letters again."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from mlids.errors import InputError
from mlids.pipeline.stores import dead_letters_file, open_sinks, open_stores
from mlids.settings import load_settings

VERDICTS = ("true positive", "false positive")


def list_alerts(*, limit: int = 20, suppressed: bool = False) -> list[dict[str, Any]]:
    """Return the latest alert documents, newest first; suppressed alerts only with `suppressed`."""
    return open_stores(load_settings()).alerts.latest(limit=limit, suppressed=suppressed)


def find_alert(beginning: str) -> dict[str, Any]:
    """Return the alert whose id begins with `beginning`. Raises InputError when there is none, or several."""
    found = open_stores(load_settings()).alerts.latest(limit=2, starting_with=beginning)
    if len(found) != 1:
        raise InputError(f"{'several alerts begin' if found else 'no alert begins'} with {beginning!r}; `mlids alerts` lists them")
    return found[0]


def give_verdict(alert: str, verdict: str, *, who: str, note: str | None = None) -> str:
    """Store an analyst's verdict on the alert whose id begins with `alert`, and return the whole id.

    Raises InputError for a verdict that is not in VERDICTS, and what `find_alert` raises.
    """
    if verdict not in VERDICTS:
        raise InputError(f"{verdict!r} is not a verdict; use one of {', '.join(VERDICTS)}")
    found = find_alert(alert)
    open_stores(load_settings()).rules.put_verdict(found["id"], verdict, who, note)
    return str(found["id"])


def suppress(
    *, why: str, who: str, alert: str | None = None, kind: str | None = None, src: str | None = None, dst: str | None = None,
    port: int | None = None, sensor: str | None = None, days: float | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Store a suppression rule and return its number and conditions; those not given are taken from `alert`, the beginning of an id.

    `days` is the rule's lifetime; None means until it is ended.

    Raises InputError when the rule has no condition, or one that can never match.
    """
    from mlids.alerts.suppression import checked, like
    from mlids.training.labels import FAMILIES

    stores = open_stores(load_settings())
    conditions: dict[str, Any] = {"kind": kind, "src": src, "dst": dst, "port": port, "sensor": sensor}
    if alert is not None:
        conditions = like(find_alert(alert)) | {k: v for k, v in conditions.items() if v is not None}
    rule = checked(**conditions, known=[*FAMILIES, *stores.alerts.kinds()])
    if days is not None:
        rule = replace(rule, expires_at=datetime.now(UTC) + timedelta(days=days))
    return {"rule": stores.rules.add(rule, why, who)} | {k: getattr(rule, k) for k in ("kind", "sensor", "src", "dst", "port")}


def unsuppress(rule: int) -> None:
    """End a suppression rule; alerts that only it hid are shown again. Raises StoreError when it is not in force."""
    open_stores(load_settings()).rules.end(rule)


def suppression_rules(*, in_force: bool = False) -> list[dict[str, Any]]:
    """Return the suppression rules, newest first, with the number of conns that each suppressed; with `in_force`, only those neither ended nor expired."""
    rules = open_stores(load_settings()).rules
    return rules.rows_in_force() if in_force else rules.rows()


def resend_dead_letters(sink: str | None = None, *, dry_run: bool = False) -> list[dict[str, Any]]:
    """Send the dead letters of the configured sinks, or of one, again; return what became of them, by sink.

    Those that arrived are removed from the file. With `dry_run` nothing is sent, and all are counted as left.
    Raises InputError for a sink that MLIDS_SINKS does not name.
    """
    from mlids.alerts.dead_letters import DeadLetters, Resent

    settings = load_settings()
    letters = DeadLetters(dead_letters_file(settings))
    sinks = open_sinks(settings)
    names = [s.name for s in sinks]
    if sink is not None and sink not in names:
        raise InputError(f"no sink {sink!r} is configured (MLIDS_SINKS: {', '.join(names) or 'none besides the database'})")
    if dry_run:
        return [asdict(Resent(name, n, left=n)) for name, n in letters.count().items() if sink in (None, name)]
    try:
        found = letters.resend([s for s in sinks if sink in (None, s.name)], open_stores(settings).alerts.documents)
    finally:
        for each in sinks:
            each.close()
    return [asdict(r) for r in found if sink in (None, r.sink)]
