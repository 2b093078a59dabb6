"""The gate's comparison as a table, and as the end of a version's description."""

from __future__ import annotations

from mlids.training.gate_report import Candidate, GateReport, described, shortened

HOSTILE = "</td><img src=x onerror=alert(1)> | [a](javascript:b) `c`\n## Gate\n\x1b[2J"


def report(why: str = "PR-AUC fell", **metrics: float) -> GateReport:
    return GateReport("refused", why, "s1", (Candidate("challenger", "v2", metrics), Candidate("production", "v1", {"pr_auc": 0.75})))


def test_a_metric_that_one_of_them_lacks_is_a_dash() -> None:
    lines = report(pr_auc=0.5, threshold=84.25).table().splitlines()
    assert lines[4:8] == [
        "| metric | challenger v2 | production v1 |",
        "|---|---:|---:|",
        "| pr_auc | 0.5 | 0.75 |",
        "| threshold | 84.25 | – |",
    ]
    assert "| pr_auc | – | 0.75 |" in report(pr_auc=float("nan")).table()


def test_names_from_labels_are_text() -> None:
    text = report(HOSTILE, **{f"recall/{HOSTILE}": 1.0}).table()
    assert not set("<>\x1b[]") & set(text) and text.count("## Gate") == 3, text
    assert [line for line in text.splitlines() if line.startswith("#")] == ["## Gate"]
    assert len({line.count("|") for line in text.splitlines() if line.startswith("| ")}) == 1


def test_a_description_keeps_the_card_and_has_one_decision_within_its_bound() -> None:
    card = "# Model card\n\nlimits"
    once = described(card, report(pr_auc=0.5), 5_000)
    assert once.startswith(f"{card}\n\n## Gate\n") and described(once, report(pr_auc=0.5), 5_000) == once
    long = described("\n".join(["# Model card", *["line " * 20] * 200]), report(pr_auc=0.5), 2_000)
    assert len(long) <= 2_000 and long.startswith("# Model card") and "(shortened;" in long and "| pr_auc | 0.5 | 0.75 |" in long
    assert described("", report(), 5_000).startswith("## Gate") and len(described("card", report("x" * 9_000), 300)) <= 300


def test_a_text_is_shortened_at_the_end_of_a_line() -> None:
    assert shortened("abc", 3) == "abc" and shortened("abc", 2) == "" and shortened("abc", -5) == ""
    assert shortened("one\ntwo\n" * 50, 100).startswith("one\ntwo\n") and len(shortened("one\ntwo\n" * 50, 100)) <= 100
