"""Cases against the truth, by hand: C2 of an inside host, a scan from outside, a guessed password inside, and benign hosts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from mlids.cases.gathering import Gathered, gather
from mlids.evidence.base import Evidence, SiteView
from mlids.features.spec import NAMES, POSITION
from mlids.training.cross_capture.captures import Capture
from mlids.training.cross_capture.case_metrics import bad_hosts, case_metrics
from tests.support.evidence import piece

# Source, destination, label.
ROWS = [
    ("10.0.0.5", "203.0.113.9", "C&C"), ("10.0.0.5", "198.51.100.1", "benign"), ("10.0.0.6", "198.51.100.1", "benign"),
    ("192.0.2.7", "10.0.0.8", "port-scan"), ("10.0.0.7", "198.51.100.2", None),
]  # fmt: skip


def capture(rows: Sequence[tuple[str, str, str | None]] = ROWS, hosts: tuple[str, ...] = ()) -> Capture:
    x = np.zeros((len(rows), len(NAMES)), np.float32)
    x[:, POSITION["orig_local"]] = [a.startswith(("10.", "fe80", "::")) for a, _, _ in rows]
    x[:, POSITION["resp_local"]] = [b.startswith(("10.", "fe80", "::")) for _, b, _ in rows]
    conns = pl.DataFrame({"id.orig_h": [a for a, _, _ in rows], "id.resp_h": [b for _, b, _ in rows]})
    return Capture("net", conns, x, np.array([label for _, _, label in rows], object), 0, pl.DataFrame(), hosts=hosts)


def cases(*evidence: Evidence) -> Gathered:
    return gather(evidence, SiteView(), "hq")


def test_bad_hosts_are_the_inside_ends_of_attacks() -> None:
    assert bad_hosts(capture()) == {"10.0.0.5", "10.0.0.8"}
    assert bad_hosts(capture([("192.0.2.7", "203.0.113.9", "C&C"), ("192.0.2.8", "203.0.113.9", "benign")])) == {"192.0.2.7"}
    assert bad_hosts(capture([("10.0.0.6", "198.51.100.1", "benign")])) == frozenset()


def test_groups_of_hosts_and_addresses_of_a_link_are_no_hosts() -> None:
    rows = [
        ("10.0.0.5", "10.0.0.255", "spam"),
        ("fe80::1", "203.0.113.9", "C&C"),
        ("::", "203.0.113.9", "C&C"),
        ("10.0.0.5", "224.0.0.251", "C&C"),
    ]
    assert bad_hosts(capture(rows)) == {"10.0.0.5"}
    assert bad_hosts(capture(rows, hosts=("10.0.0.9",))) == {"10.0.0.9"}, "the listing says it better"


def test_a_right_case_is_about_a_bad_host_and_an_exact_one_names_its_attack() -> None:
    c2 = piece(source="10.0.0.5", target="203.0.113.9", score=0.9)
    found = case_metrics(capture(), cases(c2), 0.5)
    assert (found["hosts_found"], found["n_hosts"], found["cases_right"], found["cases_exact"]) == (1.0, 2.0, 1.0, 1.0)
    assert (found["cases_high"], found["cases_wrong"], found["first_right"], found["cases_per_day"]) == (1.0, 0.0, 1.0, 2.0)
    other = case_metrics(capture(), cases(piece(source="10.0.0.5", target="198.51.100.1", score=0.9)), 0.5)
    assert (other["hosts_found"], other["hosts_exact"], other["cases_right"], other["cases_exact"]) == (1.0, 0.0, 1.0, 0.0), (
        "the right host for another reason"
    )


def test_a_wrong_case_is_ranked_and_counted_and_one_without_labels_is_unknown() -> None:
    found = case_metrics(
        capture(),
        cases(
            piece(source="10.0.0.6", target="198.51.100.1", score=0.95),
            piece(source="10.0.0.5", target="203.0.113.9", score=0.6),
            piece(source="10.0.0.7", target="198.51.100.2", score=0.7),
        ),
        1.0,
    )
    assert (found["cases_right"], found["cases_wrong"], found["cases_unknown"]) == (1.0, 1.0, 1.0)
    assert found["first_right"] == 3.0 and found["cases_per_day"] == 3.0


def test_a_low_case_finds_nothing() -> None:
    found = case_metrics(capture(), cases(piece(source="10.0.0.5", target="203.0.113.9", score=0.4)), 1.0)
    assert (found["cases_low"], found["hosts_found"], found["cases_right"]) == (1.0, 0.0, 0.0) and math.isnan(found["first_right"])


def test_a_case_that_names_a_bad_outside_end_is_right_and_a_hint_is_not_a_name() -> None:
    to_c2 = piece(source="10.0.0.6", target="203.0.113.9", score=0.9)
    assert case_metrics(capture(), cases(to_c2), 1.0)["cases_right"] == 1.0
    hint = [piece(source="10.0.0.6", target="198.51.100.1", score=0.9), replace(to_c2, score=0.1)]
    found = case_metrics(capture(), cases(*hint), 1.0)
    assert (found["cases_right"], found["cases_wrong"]) == (0.0, 1.0)


def test_both_ends_of_an_attack_inside_are_found_by_the_title() -> None:
    rows = [("10.0.0.5", "10.0.0.9", "guessing")]
    found = case_metrics(capture(rows), cases(piece("brute_force", 0.9, source="10.0.0.5", target="10.0.0.9")), 1.0)
    assert (found["hosts_found"], found["n_hosts"], found["cases_exact"]) == (2.0, 2.0, 1.0)


def test_no_cases_and_no_days_are_no_error() -> None:
    found = case_metrics(capture([("10.0.0.6", "198.51.100.1", "benign")]), Gathered([]), 0.0)
    assert found["n_hosts"] == found["cases_right"] == 0.0 and math.isnan(found["cases_per_day"])
