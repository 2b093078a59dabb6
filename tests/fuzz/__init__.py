"""Coverage-guided fuzzing (`make fuzz`): a module for each target, its inputs in seeds/, which `make test` replays."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

TARGETS = ("reader", "follow", "alert", "page")
SEEDS = Path(__file__).parent / "seeds"


def load(name: str) -> ModuleType:
    """Return the module of a target: its `check(data)` raises when it finds a fault, its `seeds()` are made by our own writers."""
    return importlib.import_module(f"tests.fuzz.{name}")
