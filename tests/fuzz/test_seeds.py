"""Every input that fuzzing began with, or that once showed a fault, is replayed; atheris is not needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz import SEEDS, TARGETS, load


@pytest.mark.parametrize("path", sorted(SEEDS.glob("*/*")), ids=lambda p: f"{p.parent.name}/{p.name}")
def test_input_shows_no_fault(path: Path) -> None:
    load(path.parent.name).check(path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_are_those_that_our_writers_make(name: str) -> None:
    for title, data in load(name).seeds().items():
        assert (SEEDS / name / title).read_bytes() == data, "write them with `python -m tests.fuzz --seeds`"
