"""Cases against the truth of a network: which of its infected, attacking or attacked hosts have one, and which cases are wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from mlids.cases.case import Case
from mlids.cases.gathering import LEAST, Gathered
from mlids.cases.severity import Severity
from mlids.evidence.base import Evidence
from mlids.features.flow import ON_LINK_NETWORKS, TO_MANY, Distinct
from mlids.features.spec import POSITION
from mlids.training.cross_capture.captures import Capture


def _ends(capture: Capture) -> pl.DataFrame:
    """Return the ends of each row, whether they are inside, and whether the row is an attack or has any label."""
    return capture.conns.select(orig="id.orig_h", resp="id.resp_h").with_columns(
        orig_inside=pl.Series(capture.x[:, POSITION["orig_local"]] > 0.5),
        resp_inside=pl.Series(capture.x[:, POSITION["resp_local"]] > 0.5),
        attack=pl.Series(capture.attack),
        known=pl.Series(capture.known),
    )


def bad_hosts(capture: Capture) -> frozenset[str]:
    """Return the infected, attacking or attacked hosts of a capture.

    They are those that its listing names, else the inside ends of attack rows; where no attack row has an inside end, the
    sources. Multicast, broadcast, link-local and unspecified addresses are no hosts.
    """
    if capture.hosts:
        return frozenset(capture.hosts)
    attacks = _ends(capture).filter("attack")
    inside = pl.concat([attacks.filter(f"{end}_inside")[end].alias("host") for end in ("orig", "resp")])
    found = (inside if len(inside) else attacks["orig"]).drop_nulls().unique()
    return frozenset(found.filter(~Distinct(found).inside(ON_LINK_NETWORKS) & ~found.str.contains(TO_MANY)))


@dataclass(frozen=True)
class _Truth:
    """What is right in a capture. Pairs are in both orders."""

    hosts: frozenset[str]
    outside: frozenset[str]  # ends of attack rows that are not inside
    attack_pairs: frozenset[tuple[str, str]]
    known_pairs: frozenset[tuple[str, str]]  # of rows with a label


def _truth(capture: Capture) -> _Truth:
    ends = _ends(capture)
    attacks = ends.filter("attack")
    outside = pl.concat([attacks.filter(~pl.col(f"{end}_inside"))[end].alias("host") for end in ("orig", "resp")])
    return _Truth(bad_hosts(capture), frozenset(outside.drop_nulls()), _pairs(attacks), _pairs(ends.filter("known")))


def _pairs(rows: pl.DataFrame) -> frozenset[tuple[str, str]]:
    found = rows.select("orig", "resp").drop_nulls().unique().rows()
    return frozenset(found) | frozenset((b, a) for a, b in found)


def case_metrics(capture: Capture, gathered: Gathered, days: float) -> dict[str, float]:
    """Return the metrics of a capture's cases; all but the counts by severity are of cases of medium severity or more.

    `cases_right`: the subject is a bad host, or the evidence names a bad outside end. `cases_exact`: those of them whose title
    names both ends of an attack row; `hosts_exact`: bad hosts in such a case. `cases_wrong`: the others; `cases_unknown`: those
    of them about rows without labels. `first_right` is the rank of the first right case (1: the first of all; nan: there is none).
    """
    truth = _truth(capture)
    shown = [c for c in gathered.cases if c.severity.rank >= Severity.MEDIUM.rank]
    right = [_is_right(c, truth) for c in shown]
    exact = [c for c, ok in zip(shown, right, strict=True) if ok and _is_exact(c.evidence[0], truth)]
    others = [c for c, ok in zip(shown, right, strict=True) if not ok]
    unknown = sum(not _is_labelled(c, truth) for c in others)
    counts = {f"cases_{s}": float(sum(c.severity is s for c in gathered.cases)) for s in Severity}
    return counts | {
        "n_hosts": float(len(truth.hosts)), "hosts_found": float(len(truth.hosts & _named(shown))),
        "hosts_exact": float(len(truth.hosts & _named(exact))),
        "cases_right": float(sum(right)), "cases_exact": float(len(exact)),
        "cases_wrong": float(len(others) - unknown), "cases_unknown": float(unknown),
        "cases_per_day": len(shown) / days if days else float("nan"),
        "first_right": float(right.index(True) + 1) if any(right) else float("nan"),
    }  # fmt: skip


def _named(cases: Sequence[Case]) -> set[str]:
    """Return the hosts that cases are about or that their titles name."""
    strongest = [c.evidence[0] for c in cases]
    return {c.subject.host for c in cases} | {a for e in strongest for a in (e.source, e.target)}


def _counting(case: Case) -> list[Evidence]:
    """Return the evidence that counts in a case: the strongest, and what would begin a case by itself."""
    return [e for i, e in enumerate(case.evidence) if i == 0 or e.score >= LEAST]


def _is_right(case: Case, truth: _Truth) -> bool:
    return case.subject.host in truth.hosts or any(a in truth.outside for e in _counting(case) for a in (e.source, e.target))


def _is_exact(strongest: Evidence, truth: _Truth) -> bool:
    if strongest.source and strongest.target:
        return (strongest.source, strongest.target) in truth.attack_pairs
    return (strongest.source or strongest.target) in truth.hosts


def _is_labelled(case: Case, truth: _Truth) -> bool:
    ends = [(e.source, e.target) for e in _counting(case)]
    known = {a for a, _ in truth.known_pairs}
    return any(pair in truth.known_pairs if all(pair) else (pair[0] or pair[1]) in known for pair in ends)
