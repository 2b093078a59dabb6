"""All attack profiles by name, which of them training uses, and the classes of attacks."""

from __future__ import annotations

import numpy as np

from mlids.synth.attacks import SCENARIOS
from mlids.synth.profiles import bots, command_and_control, intrusion, remote_access
from mlids.synth.profiles.base import Profile

_TABLES = (command_and_control.PROFILES, remote_access.PROFILES, bots.PROFILES, intrusion.PROFILES)
PROFILES: dict[str, Profile] = {profile.name: profile for table in _TABLES for profile in table}

# Classes that profiles have and scenarios do not.
NEW_CLASSES = ("command_and_control", "odd_port", "peer_to_peer", "spam")
CLASSES = (*SCENARIOS, *NEW_CLASSES)


def trained() -> list[Profile]:
    """Return the profiles that are implanted for training."""
    return [p for p in PROFILES.values() if p.trained]


def kept_aside(attack_class: str) -> list[Profile]:
    """Return the profiles of a class that no training uses; synthetic sites hold them."""
    return [p for p in PROFILES.values() if p.attack_class == attack_class and not p.trained]


def pick_kept_aside(attack_class: str, rng: np.random.Generator) -> Profile:
    """Return one of the profiles of a class that no training uses. Raises KeyError for a class without any."""
    found = kept_aside(attack_class)
    if not found:
        raise KeyError(attack_class)
    return found[int(rng.integers(0, len(found)))]
