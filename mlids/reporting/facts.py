"""What a weekly report is made from: values of the stores and the lake, gathered by the caller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property
from typing import Any

from mlids.alerts.stores.alerts import Summary
from mlids.alerts.stores.weeks import Judged
from mlids.cases.severity import Severity
from mlids.reporting.week import NO_CASES, CaseWeek
from mlids.window import Window, days_between

NO_ALERTS, NOT_JUDGED = Summary(0, [], [], []), Judged()


@dataclass(frozen=True)
class ModelFacts:
    """The model in service. `tested` are the gate's metrics of its own training, `measured` those of its MLflow run; empty where there are none."""

    version: str
    since: str  # stamp of the move that put it into production
    action: str  # of this move: promote or rollback
    tested: Mapping[str, float] = field(default_factory=dict)
    measured: Mapping[str, float] = field(default_factory=dict)
    labels: Mapping[str, int] = field(default_factory=dict)  # rows of its snapshot by the source of their label


@dataclass(frozen=True)
class WeekFacts:
    """Everything that a report says; the window is of whole days, UTC. No value depends on the time at which it is gathered."""

    window: Window
    sensors: Sequence[str] = ()  # that are configured
    ever_read: tuple[str, str] | None = None  # the first and last day of the ledger
    ledger: Sequence[Mapping[str, Any]] = ()
    logs: frozenset[str] = frozenset()  # beside conn.log, with rows in this week
    by_day: Mapping[str, Mapping[Severity, int]] = field(default_factory=dict)
    alerts: Summary = NO_ALERTS
    alerts_before: Summary = NO_ALERTS
    kinds: Sequence[Mapping[str, Any]] = ()
    anomalies: Sequence[Mapping[str, Any]] = ()  # documents of alerts without a name, the riskiest first
    cases: CaseWeek = NO_CASES
    case_levels: Mapping[Severity, int] = field(default_factory=dict)  # cases by severity
    hosts: Sequence[Mapping[str, Any]] = ()  # with a case, the riskiest first
    drift: Mapping[str, Any] | None = None
    model: ModelFacts | None = None
    decisions: Sequence[Mapping[str, Any]] = ()  # of the gate and of people, in this week, oldest first
    judged_alerts: Judged = NOT_JUDGED
    judged_cases: Judged = NOT_JUDGED
    hidden: int = 0  # alerts that rules cover
    rules: Sequence[Mapping[str, Any]] = ()  # those that cover any
    evaluation: Mapping[str, Any] | None = None
    learning: Sequence[Mapping[str, Any]] = ()  # sensors with fewer days than training wants: `sensor`, `days`, `of`
    budget_a_day: float = 0.0

    @cached_property
    def days(self) -> list[date]:
        """The days of the week."""
        return days_between(self.window.start.date(), self.window.end.date())

    @cached_property
    def unread(self) -> list[date]:
        """The days of which the ledger has nothing."""
        read = {r["day"] for r in self.ledger}
        return [d for d in self.days if d.isoformat() not in read]

    @property
    def is_empty(self) -> bool:
        """Whether nothing is known of the week: no day was read, and live scoring saw nothing either."""
        return not self.ledger and not self.alerts.count and not self.cases.now.cases

    @property
    def is_quiet(self) -> bool:
        """Whether every day was read, and no case is of medium severity or more: one page says it all."""
        return not self.unread and not self.cases.now.cases

    @property
    def span(self) -> str:
        """The span in words: `week 48 of 2026, Monday 23 to Sunday 29 November 2026`."""
        first, last = self.days[0], self.window.end.date() - timedelta(days=1)
        year, week, weekday = first.isocalendar()
        head = f"week {week} of {year}, " if weekday == 1 and len(self.days) == 7 else ""
        begin = f"{first:%A} {first.day}" + (f" {first:%B}" if (first.month, first.year) != (last.month, last.year) else "")
        begin += f" {first.year}" if first.year != last.year else ""
        return head + (f"{begin} to " if first != last else "") + f"{last:%A} {last.day} {last:%B} {last.year}"

    def total(self, column: str) -> int:
        """Return the sum of a column of the ledger; null counts as 0."""
        return sum(int(r[column] or 0) for r in self.ledger)


def count(n: int, noun: str) -> str:
    """Return a number with its noun: `1 day`, `1,200 days`."""
    return f"{n:,} {noun}{'s' * (n != 1)}"


def listed(names: Sequence[str], most: int = 3) -> str:
    """Return names in a sentence: `a, b and c`, or the first ones `and 4 more`."""
    shown = list(names[:most])
    if len(names) > most:
        return f"{', '.join(shown)} and {len(names) - most:,} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)
