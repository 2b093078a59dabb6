"""The weekly report's first two questions."""

from __future__ import annotations

from mlids.reporting.week import CaseWeek, WeekCounts, answer, changes

CASE = {"severity": "critical", "title": "10.0.0.5 calls 203.0.113.9", "verdict": None}
READ = WeekCounts(days_read=7)


def test_the_answer_counts_cases_and_names_the_worst() -> None:
    week = CaseWeek(WeekCounts(3, 2, 9, 0, 7), still_open=2, cases=[CASE, CASE, CASE])
    assert (
        answer(week, 7)
        == "Yes: 3 cases of medium severity or more this week, 2 still open; the worst is critical: 10.0.0.5 calls 203.0.113.9."
    )
    one = CaseWeek(WeekCounts(1, 1, 0, 0, 7), cases=[CASE | {"verdict": "true positive"}])
    assert answer(one, 7).startswith(
        "Not any more: 1 case of medium severity or more this week, all closed, 1 as true positive; the worst was"
    )


def test_a_week_without_cases_says_what_was_not_read() -> None:
    assert answer(CaseWeek(READ), 7) == "No: no case of medium severity or more was seen this week."
    assert answer(CaseWeek(WeekCounts(days_read=5)), 7).endswith("this week; but 2 of 7 days were not read.")
    assert answer(CaseWeek(), 7) == "Not known: no day of this week was read."


def test_changes_are_unknown_when_the_week_before_was_not_read() -> None:
    rows = changes(CaseWeek(WeekCounts(3, 2, 1, 8, 7), WeekCounts(5, 2, 0, 9, 6)))
    assert [(r["now"], r["before"], r["change"]) for r in rows] == [(3, 5, -2), (2, 2, 0), (1, 0, 1), (8, 9, -1)]
    assert {r["change"] for r in changes(CaseWeek(READ))} == {None}
