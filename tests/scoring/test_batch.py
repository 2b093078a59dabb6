"""Batch scoring: options that are not valid, and a threshold."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlids.errors import InputError, NoRowsError
from mlids.scoring.batch import ScoreOptions, score_logs
from tests.conftest import CONN_HEADER, conn_line


@pytest.mark.parametrize(
    ("options", "message"),
    [(ScoreOptions(behaviour="beacons"), "not a behaviour"), (ScoreOptions(out=Path("o.xlsx")), r"\.parquet, \.csv, \.jsonl")],
)
def test_options_are_checked_before_a_log_is_read(options: ScoreOptions, message: str) -> None:
    with pytest.raises(InputError, match=message):
        score_logs([Path("/nowhere/conn.log")], options)


def test_a_threshold_decides_what_is_an_alert(tmp_path: Path) -> None:
    log = tmp_path / "conn.log"
    log.write_text(CONN_HEADER + "".join(conn_line(f"C{n}") for n in range(5)))
    everything, nothing = (score_logs([log], ScoreOptions(threshold=t)) for t in (0.0, 100.0))
    assert (everything.alerts, nothing.alerts) == (5, 0) and everything.threshold == 0.0
    assert all(f.alert for f in everything.findings) and not any(f.alert for f in nothing.findings)


def test_one_conn_is_too_few_to_train_on(tmp_path: Path) -> None:
    log = tmp_path / "conn.log"
    log.write_text(CONN_HEADER + conn_line())
    with pytest.raises(NoRowsError, match="at least 2 are needed"):
        score_logs([log], ScoreOptions(train=[log]))
