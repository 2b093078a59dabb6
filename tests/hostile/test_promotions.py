"""Promotions that run at once, are killed at any step, or find the database locked: aliases and audit agree afterwards."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from mlids import pipeline
from mlids.errors import StoreError
from mlids.settings import load_settings
from tests.hostile.conftest import Field

Say = Callable[[str], None]
MLIDS = [sys.executable, "-m", "mlids.cli"]
# Ends the process as `kill -9` does at a step of a promotion: a step is the name of an alias and when, or of the audit.
KILLED = """
import os, signal, sys
from mlids import pipeline
from mlids.alerts.stores.audit import AuditStore
from mlids.training.registry import Registry
step, version = sys.argv[1:3]
def at(name, run):
    def wrapped(self, *args):
        if step == f"before {name(args)}": os.kill(os.getpid(), signal.SIGKILL)
        done = run(self, *args)
        if step == f"after {name(args)}": os.kill(os.getpid(), signal.SIGKILL)
        return done
    return wrapped
Registry.set_alias = at(lambda args: args[0], Registry.set_alias)
AuditStore.begin = at(lambda args: "intent", AuditStore.begin)
AuditStore.settle = at(lambda args: "audit", AuditStore.settle)
print(pipeline.rollback(to=version, why="killed on the way"))
"""
STEPS = [f"{when} {what}" for what in ("intent", "previous", "production", "audit") for when in ("before", "after")]


def attack(name: str) -> pytest.MarkDecorator:
    return pytest.mark.attack(
        row=8, attack=name, held="one lock, the intent first, healed by the next command (mlids/pipeline/promotion.py)"
    )


def aliases(field: Field) -> tuple[str | None, str | None]:
    found = [field.registry.version(alias) for alias in ("production", "previous")]
    return tuple(v.version if v else None for v in found)  # type: ignore[return-value]


def assert_consistent(field: Field) -> list[tuple[str | None, str | None]]:
    """Assert that aliases and audit agree and that the audit is one chain of moves; return the moves, oldest first."""
    audit = pipeline.open_stores(load_settings()).audit
    assert audit.unsettled() == []
    with audit._engine.reading("audit rows") as db:
        rows = db.exec_driver_sql("SELECT from_version, to_version FROM audit WHERE state = 'done' AND action != 'refuse' ORDER BY id")
        moves = [(r[0], r[1]) for r in rows]
    production, previous = aliases(field)
    assert moves[-1][1] == production and production != previous, (moves, production, previous)
    assert all(before == after[0] for (_, before), after in pairwise(moves)), f"each move is from what was there: {moves}"
    assert previous == moves[-1][0], (moves, previous)
    return moves


@attack("a promotion is killed (kill -9) between the aliases, or before or after any step")
@pytest.mark.parametrize(
    "step", [s if s in {"after intent", "before production"} else pytest.param(s, marks=pytest.mark.slow) for s in STEPS]
)
def test_promotion_killed_at_any_step(field: Field, step: str, happened: Say) -> None:
    second, third = field.register(threshold=56.0), field.register(threshold=57.0)
    pipeline.rollback(to=second, why="so that there is a previous one")
    done = subprocess.run([sys.executable, "-c", KILLED, step, third], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    fourth = field.register(threshold=58.0)
    assert pipeline.rollback(to=fourth, why="the next one")["to"] == fourth
    moves = assert_consistent(field)
    assert moves[0][1] == "1" and moves[-1][1] == fourth
    happened("the next command settles it: aliases and audit agree after each of 8 steps")


def test_what_a_killed_promotion_left_is_no_fault_for_scorers(field: Field) -> None:
    second = field.register(threshold=56.0)
    done = subprocess.run([sys.executable, "-c", KILLED, "after production", second], capture_output=True, timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL
    (found,) = (f for f in pipeline.doctor() if f.part == "model")
    assert found.well and f"version {second}" in found.text, "the intent was written first: the move is audited"


@attack("two promotions at once")
def test_two_promotions_at_once_are_each_compared_with_what_is_in_production(field: Field, happened: Say) -> None:
    versions = [field.register(threshold=56.0), field.register(threshold=57.0)]
    lines = [[*MLIDS, "promote", v, "--snapshot", field.frozen.info.id, "--json"] for v in versions]
    children = [subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for line in lines]
    said = [child.communicate(timeout=300) for child in children]
    assert [c.returncode for c in children] == [0, 0], said
    decisions = [json.loads(out) for out, _ in said]
    assert all(d["promoted"] for d in decisions), decisions
    moves = assert_consistent(field)
    assert {b for _, b in moves[1:]} == set(versions) and len(moves) == 3 and moves[1][0] == "1" and moves[2][0] == moves[1][1]
    happened("both are made one after the other, the second compared with the first")


@attack("two promotions at once")
def test_second_promotion_is_not_compared_with_an_older_production(field: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other promotion ends while this one is being evaluated: the rows of the audit hold with which model it was compared."""
    from mlids.pipeline import gating

    better, mine = field.register(threshold=56.0), field.register(threshold=95.0)  # `mine` loses attacks that `better` finds
    decide, seen = gating.decide, []

    def slow(registry: object, audit: object, compared: object, *rest: object) -> object:
        decision = decide(registry, audit, compared, *rest)  # type: ignore[arg-type]
        seen.append(getattr(compared, "version", None))
        if len(seen) == 1:
            other = [*MLIDS, "rollback", "--to", better, "--why", "meanwhile"]
            subprocess.run(other, check=True, timeout=120, capture_output=True)
        return decision

    monkeypatch.setattr(gating, "decide", slow)
    decision = pipeline.evaluate_and_promote(mine, field.frozen.info.id)
    assert seen == ["1", better] and not decision["promoted"], "decided again, on what is in production now"
    row = pipeline.open_stores(load_settings()).audit.rows()[0]
    assert (row["action"], row["from_version"]) == ("refuse", better)
    assert_consistent(field)


class Locked:
    """A process that holds the write lock of a SQLite file for some seconds."""

    def __init__(self, path: Path, seconds: float) -> None:
        code = (
            f"import sqlite3, time; db = sqlite3.connect({str(path)!r}, isolation_level=None); db.execute('BEGIN EXCLUSIVE'); "
            f"print('locked', flush=True); time.sleep({seconds})"
        )
        self.process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None and self.process.stdout.readline() == "locked\n"

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@attack("the database, or MLflow's, is locked by another process")
@pytest.mark.parametrize("name", ["mlids.db", "mlruns/mlflow.db"])
def test_database_locked_for_a_while(field: Field, name: str, happened: Say) -> None:
    second = field.register(threshold=56.0)
    lock = Locked(field.home / name, 3.0)
    try:
        assert pipeline.rollback(to=second, why="while it is locked")["to"] == second
    finally:
        lock.end()
    assert_consistent(field)
    happened("it waits for the lock; when that lasts, it fails before anything moves, or is settled by the next command")


@attack("the database, or MLflow's, is locked by another process")
@pytest.mark.long
@pytest.mark.parametrize("name", ["mlids.db", "mlruns/mlflow.db"])
def test_database_locked_for_longer_than_a_promotion_waits(field: Field, name: str) -> None:
    second = field.register(threshold=56.0)
    lock = Locked(field.home / name, 600.0)
    try:
        with pytest.raises(StoreError, match=r"lock|does not answer|could not be"):
            pipeline.rollback(to=second, why="while it is locked")
    finally:
        lock.end()
    assert aliases(field) == ("1", None), "nothing moved"
    assert pipeline.rollback(to=second, why="again")["to"] == second
    assert_consistent(field)
