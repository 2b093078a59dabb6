"""What the pages show of alerts: lists by page, and one alert with its reasons, verdict and commands."""

from __future__ import annotations

import re
from contextlib import suppress as ignoring
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote, urlsplit

from mlids.errors import InputError
from mlids.pipeline.alerts import SORTS, find_alert, kinds_of, moment, with_severity
from mlids.pipeline.case_views import uids_command
from mlids.pipeline.rules import COVERED_DAYS
from mlids.pipeline.stores import open_stores
from mlids.settings import Settings, load_settings
from mlids.window import days_between

PAGE_ALERTS = 50
LAST_PAGE = 200  # further alerts are found by a filter
SINCE = ("24h", "7d", "30d", "all")
_HOUR = re.compile(r"\d{4}-\d\d-\d\dT\d\d\Z", re.ASCII)


def alert_list(
    *, search: str = "", src: str = "", kind: str = "", since: str = "all", hour: str = "", min_risk: float = 0.0, unjudged: bool = False,
    sort: str = "risk", page: int = 1,
) -> dict[str, Any]:  # fmt: skip
    """Return one page of alerts that no rule suppresses, with their number and the filter.

    `search` is an address or network on either side, a part of a source or sensor, or the beginning of an id, `src` an address or network, `since` one of SINCE, `hour`
    an hour as `2026-11-20T12` (UTC), which goes before `since`. Raises InputError for a value that is none of these.
    """
    from mlids.alerts.stores.alerts import AlertFilter
    from mlids.alerts.suppression import checked

    if sort not in SORTS or since not in SINCE or (hour and not _HOUR.match(hour)) or not 0 <= min_risk <= 100:
        raise InputError("there is no such filter of alerts")
    settings = load_settings()
    stores = open_stores(settings)
    kinds = sorted(stores.alerts.kinds())
    if kind:
        checked(kind, None, None, None, None, known=kinds_of(stores))
    network = checked(None, src, None, None, None).src if src else None
    chosen = AlertFilter(network, kind or None, min_risk, unjudged, search.strip()[:64])
    start = datetime.fromisoformat(f"{hour}:00:00+00:00") if hour else None if since == "all" else moment(since)
    end = start + timedelta(hours=1) if hour and start is not None else None
    count = stores.alerts.count(start, end, chosen_by=chosen)
    pages = min(max(-(-count // PAGE_ALERTS), 1), LAST_PAGE)
    page = min(max(page, 1), pages)
    found = stores.alerts.latest(limit=PAGE_ALERTS, offset=(page - 1) * PAGE_ALERTS, since=start, until=end, chosen_by=chosen, sort=sort)
    return {
        "alerts": [with_severity(a, settings) for a in found], "count": count, "page_now": page, "pages": pages,
        "filter": {
            "search": chosen.search, "src": src, "kind": kind, "since": since, "hour": hour, "min_risk": f"{min_risk:g}",
            "unjudged": "yes" if unjudged else "", "sort": sort,
        },
        "kinds": kinds, "sorts": SORTS, "spans": SINCE,
    }  # fmt: skip


def alert_facts(alert_id: str) -> dict[str, Any] | None:
    """Return an alert by its whole id: reasons as sentences, verdict, conditions of a rule like it, commands; None when there is none."""
    from mlids.alerts.suppression import like

    if not re.fullmatch(r"[0-9a-z]{1,64}", alert_id, re.ASCII):
        return None
    try:
        alert = find_alert(alert_id)
    except InputError:
        return None
    if alert["id"] != alert_id:
        return None
    settings = load_settings()
    stores = open_stores(settings)
    first, last = (datetime.fromisoformat(t).date() for t in (alert["ts"], alert["event"]["end"]))
    conditions: dict[str, Any] = {}
    with ignoring(InputError):  # of an older version, without its group
        conditions = like(alert)
    return {
        "alert": alert, "why": sentences(alert), "judged": stores.rules.verdict(alert_id), "conditions": conditions,
        "command": uids_command(alert["mlids"]["uids"], days_between(first, last + timedelta(days=1))), "kibana": kibana_link(settings, alert),
        "covered_days": COVERED_DAYS,
    }  # fmt: skip


def sentences(alert: dict[str, Any]) -> list[str]:
    """Return why it is an alert: each reason of its scoring, and what the model's two forests thought."""
    own = alert["mlids"]
    found = [part.strip() for part in str(own["reasons"] or "").split("; ") if part.strip()]
    if own.get("attack_probability") is not None:
        likeliest = str(own["attack_class"] or "").replace("_", " ")
        named = f", most likely {likeliest}" if likeliest else ""
        found.append(f"the RandomForest takes it for an attack with a probability of {100 * own['attack_probability']:.0f} %{named}")
    if own.get("anomaly_score"):
        found.append(
            f"the IsolationForest's anomaly score is {own['anomaly_score']:.2f}; an average row has about 0.5, a very rare one 0.8"
        )
    return found


def kibana_link(settings: Settings, alert: dict[str, Any]) -> str | None:
    """Return the address in Kibana that shows an alert's document; None while no Kibana is configured."""
    url = settings.kibana_url.rstrip("/")
    if urlsplit(url).scheme not in {"http", "https"}:
        return None
    space = f"/s/{quote(settings.kibana_space, safe='')}" if settings.kibana_space else ""
    query = quote(f'event.id : "{alert["id"]}"', safe="")
    day = datetime.fromisoformat(alert["ts"])
    span = f"(from:'{day - timedelta(days=1):%Y-%m-%dT%H:%M:%S.000Z}',to:'{day + timedelta(days=2):%Y-%m-%dT%H:%M:%S.000Z}')"
    return f"{url}{space}/app/discover#/?_g=(time:{span})&_a=(dataSource:(dataViewId:mlids,type:dataView),query:(language:kuery,query:'{query}'))"
