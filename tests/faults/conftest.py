"""Fixtures of the fault table; MLIDS_FAULT_TABLE names the document whose table the run writes anew."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.field import Field, Outcome, hold, make_field
from tests.faults.log_field import LogOutcome

# `make test-faults` makes each fault last longer than `make test` does.
LONG = os.environ.get("MLIDS_FAULTS") == "long"
# What `make test` keeps of the table: one fault of each kind. `make test-slow` runs the others.
_QUICK = (
    "test_nothing_wrong", "test_cut_in_mid_line", "test_rotation_while_disconnected[1]", "test_copy_truncate", "test_malformed_lines",
    "test_changed_host_key", "test_growing_log", "test_kill[kill -9 before the sink's ack]", "test_damaged_state[context]",
    "test_a_promise", "test_all_logs_rotate_together", "test_the_ledger_compares", "test_sink_down", "test_poisoned_alert", "test_every_mutated_line",
)  # fmt: skip
_MARK, _LOG_MARK = "<!-- faults -->", "<!-- log faults -->"
_HEADER = [
    "| fault | rows written | scored live | scored late | rejected | alerts lost | documents twice |",
    "|---|---:|---:|---:|---:|---:|---:|",
]
_LOG_HEADER = [
    "| fault | logs | rows written | read once | evidence of one pass | found live |",
    "|---|---:|---:|---:|---:|---:|",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all but the quick faults as slow, in the short form."""
    for item in items:
        if item.path.parent == Path(__file__).parent and not LONG and not item.name.startswith(_QUICK):
            item.add_marker(pytest.mark.slow)


@pytest.fixture
def place(trained_home: Path, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Field]:
    """A sensor with an empty log, and a home whose model is in production."""
    made = make_field(trained_home, tmp_path / "field", monkeypatch)
    yield made
    made.close()


@pytest.fixture(scope="session")
def outcomes() -> Iterator[list[Outcome]]:
    """All rows of the table; written into the document at the end of the run."""
    gathered: list[Outcome] = []
    yield gathered
    target = os.environ.get("MLIDS_FAULT_TABLE")
    if target and gathered:
        lines = [f"| {o.fault} | {o.written:,} | {o.live:,} | {o.late:,} | {o.rejected:,} | {o.lost} | {o.doubled} |" for o in gathered]
        _write(Path(target), _MARK, _HEADER, lines)


@pytest.fixture(scope="session")
def log_outcomes() -> Iterator[list[LogOutcome]]:
    """All rows of the table of the logs beside conn.log; written into the document at the end of the run."""
    gathered: list[LogOutcome] = []
    yield gathered
    target = os.environ.get("MLIDS_FAULT_TABLE")
    if target and gathered:
        lines = [f"| {o.fault} | {o.logs} | {o.written:,} | {o.read:,} | {o.expected} | {o.found} |" for o in gathered]
        _write(Path(target), _LOG_MARK, _LOG_HEADER, lines)


@pytest.fixture
def tell(outcomes: list[Outcome]) -> Callable[[Outcome], None]:
    """Check an outcome and add it to the table."""

    def told(outcome: Outcome) -> None:
        outcomes.append(outcome)
        hold(outcome)

    return told


def _name(line: str) -> str:
    """Return the name of a row's fault, without measured values in brackets or as numbers."""
    return re.sub(r"\(.*|[\d,]+", "", line.split("|")[1]).strip()


def _write(document: Path, mark: str, header: list[str], lines: list[str]) -> None:
    """Put rows into a table of the document; rows of faults that did not run this time stay."""
    before, _, rest = document.read_text(encoding="utf-8").partition(mark)
    table, _, after = rest.partition(mark)
    rows = {_name(line): line for line in table.splitlines() if line.startswith("| ") and not line.startswith("| fault ")}
    rows |= {_name(line): line for line in lines}
    end = f"\n{len(rows)} faults, {'long' if LONG else 'short'} form, Python {platform.python_version()}."
    document.write_text(f"{before}{mark}\n" + "\n".join([*header, *rows.values(), end]) + f"\n{mark}{after}", encoding="utf-8")
