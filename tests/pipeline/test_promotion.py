"""Moves of the production alias: forced, rolled back, interrupted at every step and settled later."""

from __future__ import annotations

from pathlib import Path
from threading import Thread

import pytest

from mlids import pipeline
from mlids.alerts.stores import Stores
from mlids.alerts.stores.audit import FAILED, Move
from mlids.detectors.bundle import Bundle
from mlids.errors import ModelError, StoreError
from mlids.pipeline.promotion import heal_promotions, move_production, promotion_lock
from mlids.settings import load_settings
from mlids.training.registry import Registry, Version
from tests.conftest import CONN_HEADER, conn_line, copy_home

DAY, AFTER = "2026-11-09", "2026-11-10"
NOON = 1_794_225_600.0  # of that day


class KilledError(BaseException):
    """Stands for the end of the process: nothing that catches errors catches it."""


class KilledRegistry:
    """A registry whose process is killed at a step: before or after an alias is set."""

    def __init__(self, registry: Registry, step: str) -> None:
        self._registry, self._step = registry, step

    def load(self, reference: str) -> Bundle:
        return self._registry.load(reference)

    def version(self, alias: str) -> Version | None:
        return self._registry.version(alias)

    def set_alias(self, alias: str, version: str) -> None:
        if self._step == "after the intent":
            raise KilledError
        self._registry.set_alias(alias, version)
        if self._step == f"after {alias}":
            raise KilledError


@pytest.fixture(scope="module")
def two_versions(trained_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained home with a second version, which learned from a day with one host only; the first is in production."""
    home = tmp_path_factory.mktemp("two") / "home"
    copy_home(trained_home, home)
    log = home.parent / "conn.log"
    log.write_text(CONN_HEADER + "".join(conn_line(f"C{i:017d}", f"{NOON + 7 * i:.6f}") for i in range(300)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLIDS_HOME", str(home))
        pipeline.ingest_paths("hq", DAY, [log])
        assert pipeline.train(pipeline.snapshot(DAY, AFTER)["id"])["version"] == "2"
    return home


@pytest.fixture
def place(two_versions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Registry, Stores]:
    home = tmp_path / "home"
    copy_home(two_versions, home)
    monkeypatch.setenv("MLIDS_HOME", str(home))
    settings = load_settings()
    registry = pipeline.open_registry(settings)
    assert aliases(registry) == ("1", None)
    return registry, pipeline.open_stores(settings)


def aliases(registry: Registry) -> tuple[str | None, str | None]:
    """Return the versions under `production` and `previous`."""
    found = [registry.version(alias) for alias in ("production", "previous")]
    return tuple(v.version if v else None for v in found)  # type: ignore[return-value]


PROMOTE = Move("ana", "promote", "1", "2", "a test")


def test_forced_promotion_is_made_and_audited_as_forced(place: tuple[Registry, Stores]) -> None:
    registry, stores = place
    snapshot = pipeline.snapshot(DAY, AFTER)["id"]
    refused = pipeline.evaluate_and_promote("2", snapshot, who="ana")
    assert not refused["promoted"] and not refused["passed"] and aliases(registry) == ("1", None)
    forced = pipeline.evaluate_and_promote("2", snapshot, who="ana", force=True)
    assert forced["promoted"] and not forced["passed"] and aliases(registry) == ("2", "1")
    promotion, refusal = stores.audit.rows()[:2]
    assert (promotion["action"], promotion["from_version"], promotion["to_version"]) == ("promote", "1", "2")
    assert promotion["why"] == f"forced by ana: {refused['why']}"
    assert (refusal["action"], refusal["why"]) == ("refuse", refused["why"])
    assert pipeline.rollback(why="it was forced", who="ben") == {"from": "2", "to": "1"} and aliases(registry) == ("1", "2")
    assert (stores.audit.rows()[0]["action"], stores.audit.rows()[0]["who"]) == ("rollback", "ben")


def test_an_older_week_becomes_a_version_and_never_production(place: tuple[Registry, Stores]) -> None:
    registry, stores = place
    forced = pipeline.evaluate_and_promote("2", pipeline.snapshot(DAY, AFTER)["id"], who="ana", force=True, reason="the site was rebuilt")
    assert forced["promoted"] and stores.audit.rows()[0]["why"].startswith("forced by ana: the site was rebuilt; ")
    older = registry.find("1").params["snapshot"]  # type: ignore[index]
    for force in (False, True):
        refused = pipeline.evaluate_and_promote("1", older, who="ana", force=force)
        assert not refused["promoted"] and "on days until 2026-11-05, version 2 in production on days until 2026-11-09" in refused["why"]
        row = stores.audit.rows()[0]
        assert (row["action"], row["why"]) == ("refuse", refused["why"]) and aliases(registry) == ("2", "1")
    assert refused["production"], "the comparison is kept with the refusal"
    assert pipeline.rollback(to="1", why="on purpose") == {"from": "2", "to": "1"}, "the way that the refusal names"
    newer = pipeline.evaluate_and_promote("2", pipeline.snapshot(DAY, AFTER)["id"], force=True)
    assert newer["promoted"], "a newer week than the one in production may"


@pytest.mark.parametrize(
    ("step", "killed", "healed", "state", "why"),
    [
        (
            "after the intent",
            ("1", None),
            ("1", None),
            "failed",
            "a test (interrupted before the aliases moved; version 1 stays in production)",
        ),
        ("after previous", ("1", "1"), ("2", "1"), "done", "a test (interrupted between the aliases and completed later)"),
        ("after production", ("2", "1"), ("2", "1"), "done", "a test (interrupted after the aliases had moved)"),
    ],
)
def test_interrupted_move_is_settled_by_where_the_aliases_are(
    place: tuple[Registry, Stores], step: str, killed: tuple[str, str | None], healed: tuple[str, str | None], state: str, why: str
) -> None:
    registry, stores = place
    with pytest.raises(KilledError):
        move_production(KilledRegistry(registry, step), stores.audit, PROMOTE)
    assert aliases(registry) == killed and stores.audit.rows()[0]["why"] == "a test (not finished)"
    assert [(m.to_version, found) for m, found in heal_promotions(registry, stores.audit)] == [("2", state)]
    assert aliases(registry) == healed and stores.audit.rows()[0]["why"] == why
    assert heal_promotions(registry, stores.audit) == [], "once is enough"


def test_interrupted_rollback_is_completed_by_the_next_one(place: tuple[Registry, Stores]) -> None:
    registry, stores = place
    move_production(registry, stores.audit, PROMOTE)
    with pytest.raises(KilledError):
        move_production(KilledRegistry(registry, "after previous"), stores.audit, Move("ana", "rollback", "2", "1", "worse"))
    assert aliases(registry) == ("2", "2")
    assert pipeline.rollback(why="back again") == {"from": "1", "to": "2"} and aliases(registry) == ("2", "1")
    assert [r["action"] for r in stores.audit.rows()[:3]] == ["rollback", "rollback", "promote"] and not stores.audit.unsettled()


def test_evaluation_settles_an_interrupted_move_first(place: tuple[Registry, Stores]) -> None:
    registry, stores = place
    with pytest.raises(KilledError):
        move_production(KilledRegistry(registry, "after production"), stores.audit, PROMOTE)
    pipeline.evaluate_and_promote("1", pipeline.snapshot(DAY, AFTER)["id"])
    assert not stores.audit.unsettled() and stores.audit.rows()[0]["from_version"] == "2"


def test_aliases_do_not_move_when_the_audit_cannot_be_written(place: tuple[Registry, Stores]) -> None:
    registry, stores = place
    with stores.engine.writing("tables") as db:
        db.exec_driver_sql("ALTER TABLE audit RENAME TO audit_away")
    with pytest.raises(StoreError, match="audit rows could not be written"):
        move_production(registry, stores.audit, PROMOTE)
    assert aliases(registry) == ("1", None)


def test_audit_that_fails_after_the_move_is_healed(place: tuple[Registry, Stores]) -> None:
    registry, stores = place
    with stores.engine.writing("triggers") as db:  # refuses every update, as a full disk would
        db.exec_driver_sql("CREATE TRIGGER full BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    with pytest.raises(StoreError, match="disk full"):
        move_production(registry, stores.audit, PROMOTE)
    assert aliases(registry) == ("2", "1")
    with stores.engine.writing("triggers") as db:
        db.exec_driver_sql("DROP TRIGGER full")
    assert [(m.to_version, found) for m, found in heal_promotions(registry, stores.audit)] == [("2", "done")]


def test_move_whose_version_is_gone_fails_and_blocks_no_later_one(place: tuple[Registry, Stores]) -> None:
    registry, stores = place
    gone = Move("ana", "promote", "1", "9", "a version that was deleted")
    stores.audit.begin(gone)
    registry.set_alias("previous", "1")
    assert heal_promotions(registry, stores.audit) == [(gone, "failed")] and aliases(registry) == ("1", "1")
    assert "version 9 cannot be loaded any more" in stores.audit.rows()[0]["why"]
    with pytest.raises(ModelError, match="no model is registered"):
        move_production(registry, stores.audit, gone)
    assert not stores.audit.unsettled(), "a version that cannot be loaded leaves no intent"


def test_rollback_waits_for_a_promotion_in_progress(place: tuple[Registry, Stores]) -> None:
    registry, stores = place
    move_production(registry, stores.audit, PROMOTE)
    row = stores.audit.begin(Move("ben", "promote", "2", "1", "in progress"))
    rollback = Thread(target=pipeline.rollback, kwargs={"why": "meanwhile"})
    with promotion_lock(load_settings().state):
        rollback.start()
        rollback.join(1.0)
        assert rollback.is_alive() and stores.audit.unsettled()[0][0] == row, "it is not taken for an interrupted one"
        stores.audit.settle(row, FAILED)
    rollback.join(60.0)
    assert not rollback.is_alive() and aliases(registry) == ("1", "2") and not stores.audit.unsettled()
