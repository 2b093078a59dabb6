"""The first two questions of the weekly report: "should I worry?" and "what changed?"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class WeekCounts:
    """What a week had. Cases are those of medium severity or more that were seen in it; `days_read` are days in the lake."""

    cases: int = 0
    hosts: int = 0  # that these cases are about
    low_cases: int = 0
    alerts: int = 0
    days_read: int = 0


@dataclass(frozen=True)
class CaseWeek:
    """The cases of a week: counts, those of the week before, and the documents of the most severe, those that are not closed first."""

    now: WeekCounts = WeekCounts()
    before: WeekCounts = WeekCounts()
    still_open: int = 0  # of `now.cases`, open or acknowledged
    begun_before: int = 0  # of `now.cases`, seen before this week too
    cases: Sequence[Mapping[str, Any]] = field(default_factory=tuple)


NO_CASES = CaseWeek()


def answer(week: CaseWeek, days: int) -> str:
    """Return one sentence that says whether to worry, with the worst case named; its title holds what logs hold.

    `days` is the length of the week; days of it that were not read are named, as nothing can be said about them.
    """
    unread = days - week.now.days_read
    if not week.now.cases:
        if week.now.days_read <= 0:
            return "Not known: no day of this week was read."
        but = f"; but {unread} of {days} days were not read" if unread > 0 else ""
        return f"No: no case of medium severity or more was seen this week{but}."
    count = f"{week.now.cases:,} case{'s' * (week.now.cases != 1)} of medium severity or more this week"
    worst = f"{week.cases[0]['severity']}: {week.cases[0]['title']}" if week.cases else "not stored any more"
    if week.still_open:
        still = "" if week.now.cases == week.still_open == 1 else "all " if week.still_open == week.now.cases else f"{week.still_open:,} "
        return f"Yes: {count}, {still}still open; the worst is {worst}."
    right = sum(c["verdict"] == "true positive" for c in week.cases)
    verdicts = f", {right:,} as true positive" if len(week.cases) == week.now.cases else ""
    return f"Not any more: {count}, all closed{verdicts}; the worst was {worst}."


def changes(week: CaseWeek) -> list[dict[str, Any]]:
    """Return `what`, `short`, `now`, `before` and `change` of each count; the last two are None when no day of the week before was read."""
    known = week.before.days_read > 0
    rows = (
        ("cases of medium severity or more", "cases", "cases"),
        ("hosts with such a case", "hosts with a case", "hosts"),
        ("cases of low severity", "low cases", "low_cases"),
        ("alerts", "alerts", "alerts"),
    )
    out = []
    for what, short, name in rows:
        now, before = int(getattr(week.now, name)), int(getattr(week.before, name))
        out.append(
            {"what": what, "short": short, "now": now, "before": before if known else None, "change": now - before if known else None}
        )
    return out
