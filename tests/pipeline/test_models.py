"""Weeks that nothing can be learned from, or little: a clear refusal or a model that works, and production stays the good one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mlids import pipeline
from mlids.errors import NoRowsError
from mlids.features.spec import NAMES
from mlids.settings import load_settings
from mlids.zeek.types import MAX_DURATION_S
from tests.conftest import CONN_HEADER, conn_line, copy_home

DAY, AFTER = "2026-11-09", "2026-11-10"
NOON = 1_794_225_600.0  # of that day
LABELLED = CONN_HEADER.replace("tunnel_parents\n", "tunnel_parents\tlabel\n", 1).replace("set[string]\n", "set[string]\tstring\n", 1)


def rows(n: int, **cells: str) -> str:
    """Return conns of one host, all alike save for the cells given."""
    return "".join(conn_line(f"C{i:017d}", f"{NOON + 7 * i:.6f}", **cells) for i in range(n))


UNSET = {name: "-" for name in CONN_HEADER.split("#fields\t")[1].split("\n")[0].split("\t") if name not in {"ts", "uid"}}
# The longest duration that is read; rows with a longer one are rejected (tests/hostile/test_times.py).
ABSURD = {
    "duration": str(MAX_DURATION_S),
    "orig_bytes": str(2**63),
    "resp_bytes": str(2**64 - 1),
    "orig_pkts": str(2**63),
    "missed_bytes": str(2**63),
}
WEEKS = {
    "one host": CONN_HEADER + rows(300),
    "fewer rows than trees": CONN_HEADER + rows(3),
    "nothing is set": CONN_HEADER + rows(300, **UNSET),
    "absurd counters": CONN_HEADER + rows(300, **ABSURD),
    "one class": LABELLED + rows(300).replace("\t-\n", "\t-\tMalicious\n"),
}


@pytest.fixture
def good_home(trained_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    copy_home(trained_home, home)
    monkeypatch.setenv("MLIDS_HOME", str(home))
    return home


@pytest.mark.parametrize("week", [w if w == "one host" else pytest.param(w, marks=pytest.mark.slow) for w in WEEKS])
def test_a_week_that_is_none_never_costs_the_good_model(good_home: Path, tmp_path: Path, week: str) -> None:
    log = tmp_path / "conn.log"
    log.write_text(WEEKS[week])
    taken = pipeline.ingest_paths("hq", DAY, [log])
    assert taken["logs"]["conn"] + taken["rejected"] == WEEKS[week].count("\n") - CONN_HEADER.count("\n")
    snapshot = pipeline.snapshot(DAY, AFTER)
    trained = pipeline.train(snapshot["id"])
    decision = pipeline.evaluate_and_promote(trained["version"], snapshot["id"])
    registry = pipeline.open_registry(load_settings())
    production = registry.version("production")
    assert not decision["promoted"] and production is not None and production.version == "1"
    assert "is a sensor down?" in decision["why"] or "could not be judged" in decision["why"]
    (audit,) = [a for a in pipeline.open_stores(load_settings()).audit.rows() if a["action"] == "refuse"]
    assert audit["why"] == decision["why"] and audit["to_version"] == trained["version"]
    scores = registry.load(trained["version"]).score(np.zeros((5, len(NAMES)), np.float32))
    assert np.isfinite(scores.anomaly_score).all() and scores.attack_probability is not None
    assert np.isfinite(scores.attack_probability).all()


def test_a_week_without_a_conn_is_refused_at_once(good_home: Path, tmp_path: Path) -> None:
    log = tmp_path / "conn.log"
    log.write_text(CONN_HEADER)
    assert pipeline.ingest_paths("hq", DAY, [log])["logs"].get("conn", 0) == 0
    with pytest.raises(NoRowsError, match=f"no conns of hq for {DAY}"):
        pipeline.snapshot(DAY, AFTER)
    with pytest.raises(NoRowsError, match="no conns of hq"):
        pipeline.snapshot("2026-12-01", "2026-12-02")
