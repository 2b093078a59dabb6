"""All collectors together: small batches wait, one that fails does not stop the others, and state goes through tables."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from mlids.evidence import collecting
from mlids.evidence.base import Collector, Evidence, SiteView
from mlids.evidence.collecting import Collectors

AT = datetime(2026, 11, 4, 9, tzinfo=UTC)


def tunnel(n: int, first: int = 0) -> pl.DataFrame:
    names = [f"{'abcdef0123456789'[i % 16]}{i:06d}q7w3e9r1t5y8u2.t.example.com" for i in range(first, first + n)]
    rows = {"ts": [AT + timedelta(seconds=i) for i in range(n)], "uid": [f"C{i}" for i in range(n)], "query": names}
    ends = {"id.orig_h": "10.0.0.5", "id.resp_h": "10.0.0.1", "id.resp_p": 53, "proto": "udp", "qtype_name": "TXT"}
    return pl.DataFrame(rows).with_columns(**{k: pl.lit(v) for k, v in ends.items()})


def kinds(collectors: Collectors) -> list[tuple[str, str, str]]:
    return [(e.log, e.kind, e.subject) for e in collectors.evidence()]


def test_small_batches_give_what_one_gives_and_state_can_be_taken_at_any_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, parts, moved = Collectors(), Collectors(), Collectors()
    rows = tunnel(90)
    whole.add("dns", rows)
    monkeypatch.setattr(collecting, "BATCH_ROWS", 40)
    for start in range(0, 90, 7):
        parts.add("dns", rows[start : start + 7].with_columns(more=pl.lit(start)))  # a column that nobody reads
    moved.add("dns", rows[:33])
    state = moved.state()
    moved = Collectors()
    moved.restore(state)
    moved.add("dns", rows[33:])
    assert kinds(whole) == kinds(parts) == kinds(moved)
    assert ("dns", "dns_tunnel", "example.com") in kinds(whole)
    assert "unknown" not in Collectors.fields() and Collectors.fields()["dns"] >= {"query", "answers"}
    whole.add("unknown", rows)


class Broken(Collector):
    """Fails at the second row, or when it is asked."""

    reads = {"dns": ("query",)}

    def add(self, log: str, rows: pl.DataFrame) -> None:
        if rows.height > 1:
            raise ZeroDivisionError("a defect")

    def evidence(self, site: SiteView) -> list[Evidence]:
        raise KeyError("another")


def test_a_collector_that_fails_is_left_out_and_named() -> None:
    for rows, where in ((tunnel(90), "at rows of dns"), (tunnel(1), "when its evidence was asked for")):
        collectors = Collectors()
        collectors._collectors.insert(0, Broken())
        collectors.add("dns", rows)
        found = kinds(collectors)
        assert bool(found) == (rows.height > 1)
        (problem,) = collectors.problems
        assert problem.startswith(f"Broken failed {where}")
        kinds(collectors)
        assert len(collectors.problems) == 1
