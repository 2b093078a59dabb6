"""Fixtures of the fault table; MLIDS_FAULT_TABLE names the document whose table the run writes anew."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.field import Field, Outcome, hold, make_field

# `make test-faults` makes each fault last longer than `make test` does.
LONG = os.environ.get("MLIDS_FAULTS") == "long"
_MARK = "<!-- faults -->"


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
        _write(Path(target), gathered)


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


def _write(document: Path, outcomes: list[Outcome]) -> None:
    """Put the outcomes into the document's table; rows of faults that did not run this time stay."""
    before, _, rest = document.read_text(encoding="utf-8").partition(_MARK)
    table, _, after = rest.partition(_MARK)
    rows = {_name(line): line for line in table.splitlines() if line.startswith("| ") and not line.startswith("| fault ")}
    for o in outcomes:
        line = f"| {o.fault} | {o.written:,} | {o.live:,} | {o.late:,} | {o.rejected:,} | {o.lost} | {o.doubled} |"
        rows[_name(line)] = line
    lines = [
        "| fault | rows written | scored live | scored late | rejected | alerts lost | documents twice |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [*rows.values(), f"\n{len(rows)} faults, {'long' if LONG else 'short'} form, Python {platform.python_version()}."]
    document.write_text(f"{before}{_MARK}\n" + "\n".join(lines) + f"\n{_MARK}{after}", encoding="utf-8")
