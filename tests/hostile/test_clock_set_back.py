"""A dead scorer is dead also when the clock was set back after its last report: status files of the future tell nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mlids.errors import SourceError
from mlids.pipeline.health import is_well
from mlids.pipeline.watch import watch_live
from mlids.scoring.status import ScorerState, Status, StatusFile

pytestmark = pytest.mark.attack(
    row=17,
    attack="a scorer dies, and the clock is set back, so that its last report never becomes old",
    held="ages are measured since the machine's start (`boot_id`); a report of the future is not well",
)


def report(home: Path, **changes: object) -> Path:
    """Write the status of a scorer as it does, then with these changes; return its file."""
    home.mkdir(parents=True, exist_ok=True)
    (home / "sensors.toml").write_text('[[sensor]]\nname = "hq"\nkind = "folder"\nlogs = "/nowhere"\n')
    path = home / "state" / "hq" / "status.json"
    StatusFile(path, Status("hq")).publish(ScorerState.FOLLOWING, force=True)
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return path


def hours_ahead(hours: float) -> str:
    return (datetime.now(UTC) + timedelta(hours=hours)).isoformat(timespec="milliseconds")


def test_a_dead_scorer_is_dead_when_the_clock_was_set_back(home: Path, happened: Callable[[str], None]) -> None:
    """Ten minutes after its last report; the clock then showed an hour more than it does now."""
    path = report(home, updated_at=hours_ahead(1), updated_boot_s=time.clock_gettime(time.CLOCK_BOOTTIME) - 600)
    with pytest.raises(SourceError, match="hq: its scorer has not reported for 600 s"):
        watch_live()
    assert not is_well(Status.load(path, "hq"))
    happened("its report is 600 s old, whatever the clock shows")


def test_a_scorer_that_works_is_well_when_the_clock_was_set_back(home: Path) -> None:
    path = report(home, updated_at=hours_ahead(1))
    assert [s["sensor"] for s in watch_live()] == ["hq"] and is_well(Status.load(path, "hq"))


@pytest.mark.parametrize("boot_id", ["", "another start, or another machine"])
def test_a_report_of_the_future_without_a_common_start_is_not_well(home: Path, boot_id: str, happened: Callable[[str], None]) -> None:
    path = report(home, updated_at=hours_ahead(1), boot_id=boot_id)
    with pytest.raises(
        SourceError, match=r"hq: its last report is from .* in the future .* was the clock set back\? is it still running\?"
    ):
        watch_live()
    assert not is_well(Status.load(path, "hq"))
    happened("a report of the future is named and is not well")


def test_a_scorer_that_waits_since_the_future_is_not_well(home: Path) -> None:
    path = report(home, state="waiting for a sink", state_since=hours_ahead(1), last_error="the index is closed")
    with pytest.raises(SourceError, match="waiting for a sink: the index is closed"):
        watch_live()
    assert not is_well(Status.load(path, "hq"))
