"""Faults of the scorer, its model and its disk: rows written = scored live + scored late, no alert lost, none twice."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from mlids import pipeline
from mlids.alerts.stores.audit import Move
from mlids.detectors.reference import load_reference
from mlids.errors import StoreError
from mlids.pipeline.promotion import move_production
from mlids.scoring import checkpoint
from mlids.synth.growing import replay
from tests.conftest import audit_production, free_port
from tests.faults.conftest import LONG
from tests.faults.field import SENSOR, Field, Outcome, hold

Tell = Callable[[Outcome], None]

_DIE = "import os, signal\ndef die(): os.kill(os.getpid(), signal.SIGKILL)\n"
KILLS = {
    "kill -9 before the sink's ack": _DIE + """
from mlids.alerts.stores.alerts import AlertStore
put, n = AlertStore.put, [0]
def put_or_die(self, alerts, part):
    n[0] += 1
    return die() if n[0] == 2 else put(self, alerts, part)
AlertStore.put = put_or_die
""",
    "kill -9 between ack and checkpoint": _DIE + """
from mlids.alerts.delivery import Delivery
send, n = Delivery.send, [0]
def sent(self, alerts, again):
    send(self, alerts, again)
    n[0] += bool(alerts)
    if n[0] == 2: die()
Delivery.send = sent
""",
    "kill -9 during checkpoint write": _DIE + """
import mlids.files as files
sync, n = files.sync_path, [0]
def sync_path(path):
    n[0] += path.name.startswith(".checkpoint.json.")
    if n[0] == 2: os.truncate(path, path.stat().st_size // 2); die()
    sync(path)
files.sync_path = sync_path
""",
    "kill -9 between the record of scored rows and the checkpoint": _DIE + """
from mlids.scoring.scored_record import ScoredRecord
store, n = ScoredRecord.store, [0]
def stored(self):
    full = bool(self._pending)
    store(self)
    n[0] += full
    if n[0] == 2: die()
ScoredRecord.store = stored
""",
}  # fmt: skip


@pytest.mark.parametrize("fault", KILLS)
def test_kill(place: Field, tell: Tell, fault: str) -> None:
    child = place.child(KILLS[fault], 150)
    try:
        place.write(0.02)
        # On a busy machine all rows could be there before the scorer reads the first one: it would read them in one piece.
        assert place.until(lambda: child.poll() is not None or bool(place.checkpointed()), 120.0), "the scorer has not begun"
        for _ in range(600):
            if child.poll() is not None:
                break
            place.write(0.02)
            time.sleep(0.25)
        assert child.poll() == -signal.SIGKILL, "the fault did not come"
    finally:
        child.kill()
    place.write_rest()
    place.start()
    assert place.caught_up()
    outcome = place.settle(fault)
    assert outcome.late == 0 and place.found() == place.expected()
    tell(outcome)


def test_kill_at_random_moments(place: Field, tell: Tell) -> None:
    """The moments are drawn with a fixed seed, and counted in rows scored since the start: each kill hits a scorer at work."""
    rng = np.random.default_rng(11)
    place.write(0.05)
    for _ in range(8 if LONG else 3):
        before = place.checkpointed().get("rows", 0)
        child = place.child()
        for _ in range(int(rng.integers(2, 12))):
            place.write(0.01)
        assert place.until(lambda: place.checkpointed().get("rows", 0) > before, 60.0), "the scorer scored nothing before the kill"  # noqa: B023
        place.write(0.01)
        time.sleep(float(rng.uniform(0.0, 0.4)))  # anywhere between two checkpoints, which are 0.1 s apart
        assert child.poll() is None, "the scorer ended by itself"
        child.send_signal(signal.SIGKILL)
        child.wait()
    place.write_rest()
    place.start()
    assert place.caught_up()
    outcome = place.settle("kill -9 repeatedly at random moments")
    assert outcome.late == 0 and place.found() == place.expected()
    tell(outcome)


def _second_version(place: Field) -> str:
    """Register the production model once more, trained with another seed."""
    registry = pipeline.open_registry(place.settings)
    first = registry.version("production")
    assert first is not None
    client, graph = registry._server.client, registry.download(first.version)
    source = client.get_model_version(registry.name, first.version).source
    second = str(client.create_model_version(registry.name, source, run_id=first.run_id).version)
    registry.seal(second, graph)
    return second


def test_alias_moved_in_mid_batch(place: Field, tell: Tell) -> None:
    scorer = place.start()
    registry = pipeline.open_registry(place.settings)
    place.write(0.3)
    assert place.caught_up()
    second = _second_version(place)
    assert scorer.status.model_version == "1"
    move_production(registry, pipeline.open_stores(place.settings).audit, Move("a test", "promote", "1", second, "the same again"))

    def moved() -> bool:
        place.write(0.001)
        return scorer.status.model_version == second

    assert place.until(moved, 30.0), "the new version was not taken up while rows were coming"
    assert place.at < place.rows.height, "it was taken up in the middle of the rows"
    place.write_rest()
    assert place.caught_up()
    versions = {a["mlids"]["model_version"] for a in pipeline.open_stores(place.settings).alerts.latest()}
    assert versions and versions <= {"1", second}
    outcome = place.settle("alias moved in mid-batch")
    assert outcome.late == 0
    tell(outcome)


def test_bad_bundle_promoted(place: Field, tell: Tell, tmp_path: Path) -> None:
    scorer = place.begin(0.3)
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "model.onnx").write_bytes(b"this is not a model")
    registry = pipeline.open_registry(place.settings)
    version = str(registry._server.client.create_model_version(registry.name, bad.as_uri()).version)
    audit_production(version)
    registry.set_alias("production", version)
    place.write(0.3)
    assert place.until(lambda: f"version {version} is refused" in str(scorer.status.model_error)), scorer.status
    assert "version 1 stays in use" in str(scorer.status.model_error) and scorer.status.model_version == "1"
    place.write_rest()
    assert place.caught_up()
    place.stop()
    audit_production("1")
    registry.set_alias("production", "1")
    outcome = place.settle("bad bundle promoted")
    assert outcome.late == 0 and place.found() == place.expected()
    tell(outcome)


def test_mlflow_down_at_start(place: Field, tell: Tell, monkeypatch: pytest.MonkeyPatch) -> None:
    place.begin(0.3)
    place.stop()
    with monkeypatch.context() as patch:
        patch.setenv("MLIDS_MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
        scorer = place.start()
        place.write_rest()
        assert place.caught_up(40.0) and scorer.status.model_version == "1"
        assert place.until(lambda: "does not answer" in str(scorer.status.model_error), 30.0)
        place.stop()
    outcome = place.settle("MLflow down at start: the last good model scores")
    assert outcome.late == 0 and place.found() == place.expected()
    tell(outcome)


def test_no_model_yet(place: Field, tell: Tell) -> None:
    registry = pipeline.open_registry(place.settings)
    registry._server.client.delete_registered_model_alias(registry.name, "production")
    with pipeline.open_stores(place.settings).engine.writing("audit rows") as db:
        db.exec_driver_sql("DELETE FROM audit")
    scorer = place.start()
    place.write(0.5)
    reference = load_reference().version
    assert place.caught_up(60.0) and scorer.status.rows > 0
    assert scorer.status.model_version == reference
    assert place.until(lambda: "no model in production yet" in str(scorer.status.model_note), 30.0)
    move_production(registry, pipeline.open_stores(place.settings).audit, Move("a test", "promote", None, "1", "the first"))
    assert place.until(lambda: scorer.status.model_note is None, 30.0)
    by_reference = place.taken()
    place.write_rest()
    assert place.caught_up(30.0) and scorer.status.model_version == "1"
    outcome = place.settle("no model in production at first", expected=place.expected(load_reference(), by_reference))
    assert outcome.late == 0
    used = {a["mlids"]["model_version"] for a in pipeline.open_stores(place.settings).alerts.latest()}
    assert reference in used and used <= {reference, "1"}
    tell(outcome)


def test_disk_full_for_checkpoint(place: Field, tell: Tell, monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = place.start()
    place.write(0.3)
    assert place.caught_up() and place.until(lambda: place.checkpointed().get("rows") == scorer.status.rows)
    before = place.checkpointed()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "write_atomic", full)
        place.write(0.4)
        assert place.caught_up(), "scoring goes on"
        assert place.until(lambda: "No space left" in str(scorer.status.last_error))
        place.stop()  # what it has done since is on no disk
    assert place.checkpointed() == before
    place.write_rest()
    place.start()
    assert place.caught_up()
    outcome = place.settle("disk full for checkpoint, then a restart")
    assert outcome.late == 0 and place.found() == place.expected()
    tell(outcome)


@pytest.mark.parametrize("damage", ["context", "checkpoint"])
def test_damaged_state(place: Field, tell: Tell, damage: str) -> None:
    place.begin(0.5)
    place.stop()
    folder = place.home / "state" / SENSOR
    path = next(folder.glob("context-*.npz")) if damage == "context" else folder / "checkpoint.json"
    path.write_bytes(path.read_bytes()[:100])
    place.start()
    place.write_rest()
    assert place.caught_up()
    outcome = place.settle(f"the stored {damage} is damaged")
    assert outcome.late == 0 and place.found() == place.expected()
    tell(outcome)


def test_two_scorers_for_one_sensor(place: Field, tell: Tell) -> None:
    place.begin(0.3)
    with pytest.raises(StoreError, match="another scorer"):
        pipeline.score_live(SENSOR, 1)
    child = place.child()
    assert child.wait(timeout=30) != 0
    place.write_rest()
    assert place.caught_up()
    outcome = place.settle("two scorers started for one sensor (the second does not start)")
    assert outcome.late == 0 and place.found() == place.expected()
    tell(outcome)


# Memory is measured with the product's own checkpoints, not those that come ten times a second for the kills.
USUAL = "c.EVERY_S = 5.0; c.SHARE = 0.02"


def _peak_mb(pid: int) -> float:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.split("VmHWM:")[1].split()[0]) / 1e3


def _to_the_end(place: Field, child: subprocess.Popen[bytes], seconds: float) -> float:
    """Wait until a scorer of its own process has checkpointed every row; return its peak memory in MB."""
    assert place.until(lambda: place.checkpointed().get("rows", 0) >= place.log.rows, seconds), place.checkpointed().get("rows")
    peak = _peak_mb(child.pid)
    child.send_signal(signal.SIGTERM)
    assert child.wait(timeout=10) == 0
    return peak


def test_burst(place: Field, tell: Tell) -> None:
    """Ten times the usual 500 rows a second."""
    seconds = 120 if LONG else 5
    many = [place.rows.with_columns(uid=pl.col("uid") + f"{n:04d}") for n in range(seconds * 5_000 // place.rows.height + 1)]
    place.rows = pl.concat(many)[: seconds * 5_000]
    child = place.child(USUAL, seconds=600)
    try:
        for done in replay(place.rows, place.log, rate=5_000, sleep=time.sleep):
            place.at = done
        behind = time.monotonic()
        peak = _to_the_end(place, child, 120.0)
        behind = time.monotonic() - behind
    finally:
        child.kill()
    assert behind < 30.0 and peak < 500, (behind, peak)
    outcome = place.settle(f"10 × burst for {seconds} s (caught up {behind:.1f} s after it, peak {peak:.0f} MB)")
    assert outcome.late == 0
    tell(outcome)


def test_flood_of_spoofed_sources(place: Field, tell: Tell) -> None:
    rows = 1_000_000 if LONG else 40_000
    rng = np.random.default_rng(5)
    start = place.rows["ts"][-1]
    flood = place.rows[:1].select(pl.all().repeat_by(rows).explode()).with_columns(
        pl.Series("id.orig_h", [f"{a}.{b}.{c}.{d}" for a, b, c, d in rng.integers(1, 224, (rows, 4)).tolist()]),
        pl.Series("uid", [f"F{n:017d}" for n in range(rows)]), pl.lit("S0").alias("conn_state"), pl.lit(None, pl.Float64).alias("duration"),
        ts=pl.lit(start) + pl.duration(microseconds=pl.int_range(rows, dtype=pl.Int64)),
    )  # fmt: skip
    place.rows = pl.concat([place.rows, flood])
    child = place.child(USUAL, seconds=900)
    try:
        for done in replay(place.rows, place.log, rate=20_000, sleep=time.sleep):
            place.at = done
        peak = _to_the_end(place, child, 300.0)
    finally:
        child.kill()
    assert peak < 500, peak
    outcome = place.settle(f"flood of {rows:,} spoofed sources (peak {peak:.0f} MB)")
    assert outcome.late == 0
    tell(outcome)


def test_a_promise_that_is_broken_is_seen() -> None:
    """The table itself: each figure that is off fails."""
    hold(Outcome("none", 10, 8, 1, 1, 0, 0, 0))
    good: dict[str, Any] = {"fault": "x", "written": 10, "live": 8, "late": 1, "rejected": 1, "missing": 0, "lost": 0, "doubled": 0}
    for off in ({"live": 7}, {"missing": 1}, {"lost": 1}, {"doubled": 1}):
        with pytest.raises(AssertionError):
            hold(Outcome(**(good | off)))
