"""Addresses and secrets that another program keeps, such as Airflow's connections: in this process they go before variables and files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Connected:
    """Values of settings by name, and of each sensor's fields by its name. They hold secrets, and are not shown."""

    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)
    sensors: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)


_held = [Connected()]


def use(connected: Connected) -> None:
    """Let the settings of this process take these values first, instead of those that were in use before."""
    _held[0] = connected


def in_use() -> Connected:
    """Return the values in use; empty unless somebody has set them."""
    return _held[0]
