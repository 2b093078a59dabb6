"""What the pages and the report show of cases: counts, lists by page, one case in full."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mlids.errors import InputError
from mlids.pipeline.stores import open_stores
from mlids.settings import load_settings

if TYPE_CHECKING:
    from datetime import date

    from mlids.alerts.stores import Stores
    from mlids.alerts.stores.cases import CaseState
    from mlids.reporting.week import CaseWeek, WeekCounts

PAGE_CASES = 50
LAST_PAGE = 200  # further cases are found by a filter
_OVERVIEW_CASES, _REPORT_CASES = 20, 25
SEVERITIES = ("low", "medium", "high", "critical")
STATES = ("not closed", "open", "acknowledged", "closed", "all")
_UID = re.compile(r"[A-Za-z0-9]{1,40}\Z")  # what goes into a command; others may hold anything that a log holds
_DAY = re.compile(r"\d{4}-\d\d-\d\d\Z", re.ASCII)
_DAYS_IN_COMMAND = 4


def open_case_facts(stores: Stores) -> dict[str, Any]:
    """Return the number of cases that are not closed by severity, and the most severe of those of medium severity or more."""
    from mlids.alerts.stores.cases import CaseFilter
    from mlids.cases.severity import Severity

    return {"case_counts": stores.cases.counts(), "cases": stores.cases.page(CaseFilter(least=Severity.MEDIUM), _OVERVIEW_CASES)}


def case_list(*, severity: str = "low", state: str = STATES[0], host: str = "", page: int = 1) -> dict[str, Any]:
    """Return one page of cases, the most severe first, with their number and the filter.

    `severity` is the least one, `state` one of STATES, `host` a part of an address. Raises InputError for another severity or state.
    """
    from mlids.alerts.stores.cases import CaseFilter
    from mlids.cases.severity import Severity

    if severity not in SEVERITIES:
        raise InputError(f"{severity!r} is not a severity; use one of {', '.join(SEVERITIES)}")
    chosen = CaseFilter(_states(state), Severity(severity), host.strip()[:64])
    stores = open_stores(load_settings())
    count = stores.cases.count(chosen)
    pages = min(max(-(-count // PAGE_CASES), 1), LAST_PAGE)
    page = min(max(page, 1), pages)
    return {
        "cases": stores.cases.page(chosen, PAGE_CASES, (page - 1) * PAGE_CASES), "count": count, "page_now": page, "pages": pages,
        "severity": severity, "state": state, "host": chosen.host, "severities": SEVERITIES, "states": STATES,
    }  # fmt: skip


def _states(name: str) -> tuple[CaseState, ...]:
    from mlids.alerts.stores.cases import NOT_CLOSED, CaseState

    if name not in STATES:
        raise InputError(f"{name!r} is not a state; use one of {', '.join(STATES)}")
    return {"not closed": NOT_CLOSED, "all": tuple(CaseState)}.get(name) or (CaseState(name),)


def case_facts(case_id: str) -> dict[str, Any] | None:
    """Return a case by its whole id, with its evidence in order of time and the command that finds its rows; None when there is none."""
    try:
        case = open_stores(load_settings()).cases.get(case_id)
    except InputError:
        return None
    if case["id"] != case_id:
        return None
    in_time = sorted(case["evidence"], key=lambda e: (e["first"] or "9", -e["score"]))
    return {"case": case, "evidence": in_time, "command": find_command(case), "names": {o["address"]: o for o in case["others"]}}


def find_command(case: dict[str, Any]) -> str | None:
    """Return a command for the sensor's folder of logs that prints all rows with the case's uids; None when it has none."""
    begun = sorted({e["first"][:10] for e in case["evidence"] if e["first"] and e["uids"] and _DAY.match(e["first"][:10])})
    return uids_command(case["uids"], begun)


def uids_command(uids: Sequence[str], days: Sequence[object]) -> str | None:
    """Return a command for the sensor's folder of logs that prints all rows with these uids, of the first few `days` (ISO 8601; none: of all); None without a uid."""
    named = [u for u in uids if _UID.match(u)]
    if not named:
        return None
    folders = " ".join(f"{day}/*.gz" for day in days[:_DAYS_IN_COMMAND]) or "*/*.gz"
    return f"zcat {folders} | grep -F{''.join(f' -e {u}' for u in named)}"


def case_week(stores: Stores, first: date, end: date) -> CaseWeek:
    """Return the cases from the day `first` up to, not including, `end`, with the counts of as many days before."""
    from mlids.alerts.stores.cases import NOT_CLOSED, CaseFilter, CaseState
    from mlids.cases.severity import Severity
    from mlids.reporting.week import CaseWeek
    from mlids.window import day_window, stamp

    since, until = (stamp(day_window(day).start) for day in (first, end))
    still, closed = (CaseFilter(s, Severity.MEDIUM, since=since, until=until) for s in (NOT_CLOSED, (CaseState.CLOSED,)))
    shown = stores.cases.page(still, _REPORT_CASES)
    shown += stores.cases.page(closed, _REPORT_CASES - len(shown)) if len(shown) < _REPORT_CASES else []
    begun_before = stores.cases.count(CaseFilter(tuple(CaseState), Severity.MEDIUM, since=since, until=since))
    before = _week_counts(stores, first - (end - first), first)
    return CaseWeek(_week_counts(stores, first, end), before, stores.cases.count(still), begun_before, shown)


def _week_counts(stores: Stores, first: date, end: date) -> WeekCounts:
    from mlids.alerts.stores.cases import CaseFilter, CaseState
    from mlids.cases.severity import Severity
    from mlids.reporting.week import WeekCounts
    from mlids.window import day_window, stamp

    start, stop = day_window(first).start, day_window(end).start
    every = CaseFilter(tuple(CaseState), since=stamp(start), until=stamp(stop))
    severe = CaseFilter(every.states, Severity.MEDIUM, since=every.since, until=every.until)
    cases = stores.cases.count(severe)
    days_read = len({r["day"] for r in stores.ledger.days(first, end)})
    return WeekCounts(cases, stores.cases.hosts(severe), stores.cases.count(every) - cases, stores.alerts.count(start, stop), days_read)
