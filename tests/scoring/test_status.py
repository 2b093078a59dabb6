"""States keep their texts, and the status file is written at once on a change and once a second otherwise."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlids.ingest.follow import FollowState
from mlids.scoring import status as module
from mlids.scoring.status import ScorerState, Status, StatusFile

TEXTS = [
    "starting", "following", "waiting", "waiting for a sink", "waiting for the log", "waiting for the archive", "refused",
    "failed; starts again", "stopped", "unknown",
]  # fmt: skip


def test_the_texts_are_a_file_format() -> None:
    assert [str(state) for state in ScorerState] == TEXTS
    assert json.dumps(list(ScorerState)) == json.dumps(TEXTS)


def test_every_state_of_a_follower_is_one_of_a_scorer() -> None:
    assert ScorerState.UNKNOWN not in {ScorerState(state.value) for state in FollowState}


def test_a_text_of_another_version_is_unknown_and_not_good() -> None:
    assert ScorerState("dancing") is ScorerState.UNKNOWN and not ScorerState("dancing").is_good


def test_the_groups_of_states() -> None:
    assert {s for s in ScorerState if s.is_following} == {ScorerState.FOLLOWING}
    assert {s for s in ScorerState if s.is_blocked} == {ScorerState.WAITING, ScorerState.WAITING_FOR_SINK}
    assert {s for s in ScorerState if not s.is_good} == {ScorerState.REFUSED, ScorerState.FAILED, ScorerState.UNKNOWN}


def test_the_file_is_written_on_a_change_and_else_once_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    status, path = Status("hq"), tmp_path / "status.json"
    file = StatusFile(path, status)

    def rows() -> int:
        return int(json.loads(path.read_text())["rows"])

    file.publish(ScorerState.FOLLOWING)
    since = status.state_since
    assert since and json.loads(path.read_text())["state"] == "following"
    status.rows = 10
    file.publish(ScorerState.FOLLOWING)
    assert rows() == 0
    now[0] += 1.0
    file.publish(ScorerState.FOLLOWING)
    assert rows() == 10 and status.state_since == since
    status.rows = 20
    file.publish(ScorerState.WAITING)
    assert rows() == 20
    status.rows = 30
    file.publish(ScorerState.WAITING, force=True)
    assert rows() == 30
    now[0] += 4.0
    file.publish(ScorerState.WAITING)
    assert status.rows_per_s == 6.0, "30 rows in five seconds"


def test_a_disk_that_takes_nothing_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    StatusFile(tmp_path / "nowhere" / "status.json", Status("hq")).publish(ScorerState.FOLLOWING)
    (tmp_path / "file").write_text("")
    StatusFile(tmp_path / "file" / "status.json", Status("hq")).publish(ScorerState.FOLLOWING)
    assert "could not be written" in caplog.text
