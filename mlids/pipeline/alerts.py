"""What analysts do with alerts: list them, give verdicts, suppress, send dead letters again."""

from __future__ import annotations

import re
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from mlids.errors import InputError
from mlids.pipeline.stores import dead_letters_file, open_sinks, open_stores
from mlids.settings import Settings, load_settings

if TYPE_CHECKING:
    from mlids.alerts.stores import Stores

VERDICTS = ("true positive", "false positive")
SORTS = ("time", "risk", "count")
_AGO = re.compile(r"(\d{1,5})([mhd])", re.ASCII)


def list_alerts(
    *, limit: int = 20, suppressed: bool = False, src: str | None = None, kind: str | None = None, since: str | None = None,
    min_risk: float = 0.0, sort: str = "time", unjudged: bool = False,
) -> list[dict[str, Any]]:  # fmt: skip
    """Return alert documents with `severity`, the highest first by `sort`: one of SORTS; suppressed alerts only with `suppressed`.

    `src` is an address or a network, `since` what `moment` reads, `min_risk` a risk_score (0 to 100); with `unjudged` only
    alerts without a verdict. Raises InputError for a value that is none of these.
    """
    from mlids.alerts.stores.alerts import AlertFilter
    from mlids.alerts.suppression import checked

    if sort not in SORTS:
        raise InputError(f"alerts cannot be sorted by {sort!r}; use one of {', '.join(SORTS)}")
    settings = load_settings()
    stores = open_stores(settings)
    if kind is not None:
        checked(kind, None, None, None, None, known=kinds_of(stores))
    network = checked(None, src, None, None, None).src if src is not None else None
    chosen = AlertFilter(network, kind, min_risk, unjudged)
    start = moment(since) if since is not None else None
    found = stores.alerts.latest(limit=limit, suppressed=suppressed, since=start, chosen_by=chosen, sort=sort)
    return [with_severity(a, settings) for a in found]


def moment(text: str) -> datetime:
    """Return the time that a text names: a span before now (`90m`, `24h`, `7d`), a day, or an ISO 8601 time, in UTC unless it has a zone.

    Raises InputError for another text.
    """
    if match := _AGO.fullmatch(text.strip()):
        return datetime.now(UTC) - timedelta(**{{"m": "minutes", "h": "hours", "d": "days"}[match[2]]: int(match[1])})
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise InputError(f"{text!r} is no time; write 24h, 7d, 2026-11-20 or 2026-11-20T14:30") from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def with_severity(alert: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """Return an alert with `severity`: that of a case of the same score."""
    from mlids.cases.severity import LEVELS, severity_of

    return alert | {"severity": str(severity_of(alert["score"], settings.severity or LEVELS))}


def kinds_of(stores: Stores) -> list[str]:
    """Return the kinds of alerts besides the behaviours: attack classes, and what is stored."""
    from mlids.training.labels import FAMILIES

    return [*FAMILIES, *stores.alerts.kinds()]


def find_alert(beginning: str) -> dict[str, Any]:
    """Return the alert whose id begins with `beginning`, with `severity`. Raises InputError when there is none, or several."""
    settings = load_settings()
    found = open_stores(settings).alerts.latest(limit=2, starting_with=beginning)
    if len(found) != 1:
        raise InputError(f"{'several alerts begin' if found else 'no alert begins'} with {beginning!r}; `mlids alerts` lists them")
    return with_severity(found[0], settings)


def check_verdict(verdict: str) -> None:
    """Raise InputError for a verdict that is not in VERDICTS."""
    if verdict not in VERDICTS:
        raise InputError(f"{verdict!r} is not a verdict; use one of {', '.join(VERDICTS)}")


def give_verdict(alert: str, verdict: str, *, who: str, note: str | None = None) -> str:
    """Store an analyst's verdict on the alert whose id begins with `alert`, and return the whole id.

    Raises InputError for a verdict that is not in VERDICTS, and what `find_alert` raises.
    """
    check_verdict(verdict)
    found = find_alert(alert)
    open_stores(load_settings()).rules.put_verdict(found["id"], verdict, who, note)
    return str(found["id"])


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
