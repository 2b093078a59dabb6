"""What the pages show of hosts: those with the highest risk, those whose behaviour changed, and one host in full."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from typing import Any

from mlids.errors import MlidsError
from mlids.pipeline.activity import week_of
from mlids.pipeline.alerts import with_severity
from mlids.pipeline.log_rows import USUAL_DAYS, host_usual
from mlids.pipeline.stores import open_lake, open_stores
from mlids.pipeline.views import latest_drift
from mlids.settings import load_settings
from mlids.text import span

SHOWN_HOSTS = 50
_ALERTS, _CASES = 30, 20


def host_list() -> dict[str, Any]:
    """Return the sources of the week's alerts, the highest risk first, and the hosts that moved most in the newest comparison of weeks."""
    from mlids.cases.severity import LEVELS, severity_of

    settings = load_settings()
    stores = open_stores(settings)
    start, end, stale = week_of(stores)
    levels = settings.severity or LEVELS
    found = stores.alerts.by_hour(start, end, levels, SHOWN_HOSTS)
    hours: dict[str, int] = {}
    for host, _, _, _ in found.cells:
        hours[host] = hours.get(host, 0) + 1
    hosts = [h | {"severity": str(severity_of(h["risk"], levels)), "hours": hours.get(h["host"], 0)} for h in found.hosts]
    drift = latest_drift(settings)
    moved = [m for m in drift["moved"] if isinstance(m, dict) and {"host", "words", "change"} <= set(m)] if drift else []
    age = span((datetime.now(UTC) - datetime.fromisoformat(drift["written_at"])).total_seconds()) if drift else None
    return {"hosts": hosts, "moved": moved, "moved_age": age, "start": start.isoformat(), "end": end.isoformat(), "stale": stale}


def host_facts(address: str) -> dict[str, Any] | None:
    """Return a host's alerts and cases, newest and most severe first, and whether it moved; None for a text that is no address."""
    from mlids.alerts.stores.alerts import AlertFilter
    from mlids.alerts.stores.cases import CaseFilter, CaseState

    try:
        host = str(ipaddress.ip_address(address))
    except ValueError:
        return None
    settings = load_settings()
    stores = open_stores(settings)
    of_host = AlertFilter(src=host)
    alerts = [with_severity(a, settings) for a in stores.alerts.latest(limit=_ALERTS, chosen_by=of_host)]
    cases = [c for c in stores.cases.page(CaseFilter(tuple(CaseState), host=host), _CASES) if c["host"] == host]
    drift = latest_drift(settings)
    moved = next((m for m in (drift or {}).get("moved", []) if isinstance(m, dict) and m.get("host") == host), None)
    return {"host": host, "alerts": alerts, "alert_count": stores.alerts.count(chosen_by=of_host), "cases": cases, "moved": moved}


def host_profile(address: str) -> dict[str, Any]:
    """Return by sensor what was usual in the week before the host's newest day in the lake, and that day; the lake's reading is what takes time."""
    lake = open_lake(load_settings())
    out: list[dict[str, Any]] = []
    problem = None
    for sensor in lake.sensors():
        days = lake.days("conn", sensor)
        if not days:
            continue
        start = datetime.combine(days[-1], datetime.min.time(), UTC)
        try:
            usual = host_usual(lake, sensor, address, start, start + timedelta(days=1))
        except MlidsError as error:
            problem, usual = str(error), None
        if usual is not None:
            out.append({"sensor": sensor, "day": days[-1].isoformat(), "usual": usual})
    return {"host": address, "profiles": out, "problem": problem, "days": USUAL_DAYS}
