"""ATT&CK ids of behaviours, kinds of evidence and profiles are real ones."""

from __future__ import annotations

import re

import pytest

from mlids.evidence.attack import TECHNIQUES, tactics, technique_name
from mlids.evidence.registry import evidence_kinds
from mlids.features.behaviours import BEHAVIOURS
from mlids.features.behaviours.base import Behaviour
from mlids.synth.profiles.registry import PROFILES

TACTICS = {
    "Reconnaissance", "Resource Development", "Initial Access", "Execution", "Persistence", "Privilege Escalation", "Defense Evasion",
    "Credential Access", "Discovery", "Lateral Movement", "Collection", "Command and Control", "Exfiltration", "Impact",
}  # fmt: skip


@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=lambda b: b.name)
def test_the_technique_of_a_behaviour_is_in_the_table(behaviour: Behaviour) -> None:
    assert behaviour.technique in TECHNIQUES


def test_the_technique_of_every_kind_of_evidence_is_in_the_table() -> None:
    assert {name: kind.technique for name, kind in evidence_kinds().items() if kind.technique not in TECHNIQUES} == {}


def test_the_technique_of_every_profile_is_in_the_table() -> None:
    # T14xx are ATT&CK's matrix for phones, whose malware some profiles are.
    unknown = {p.technique for p in PROFILES.values() if p.technique not in TECHNIQUES}
    assert all(re.match(r"T14\d\d", technique) for technique in unknown), unknown


def test_every_technique_has_a_name_and_tactics_of_the_matrix() -> None:
    for technique, (name, _) in TECHNIQUES.items():
        assert re.fullmatch(r"T\d{4}(\.\d{3})?", technique)
        assert name.strip() and set(tactics(technique)) <= TACTICS and tactics(technique)
        assert (": " in name) == ("." in technique)


def test_names_and_tactics_by_id() -> None:
    assert technique_name("T1003.006") == "OS Credential Dumping: DCSync" and tactics("T1003.006") == ("Credential Access",)
    assert tactics("T1053.005") == ("Execution", "Persistence", "Privilege Escalation")
    assert technique_name("T9999") == "T9999" and tactics("T9999") == ()
