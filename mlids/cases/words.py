"""What a case says: sentences for each kind of evidence, and what to look at next."""

from __future__ import annotations

from dataclasses import dataclass

from mlids.evidence.base import Evidence
from mlids.evidence.registry import evidence_kinds
from mlids.features.behaviours import behaviour_of, kind_title

# Classes of the RandomForest that are no behaviour.
_CLASSES = {
    "command_and_control": ("talks to {target} on {service} as infected hosts talk to their command server", "T1071"),
    "anomaly": ("talks to {target} on {service}, which is unusual here", ""),
}
_LOOK = "read the rows of these uids in the other logs, and look up who owns {target}"


@dataclass(frozen=True)
class Words:
    """A kind of evidence in words, with its ATT&CK technique (empty: none)."""

    title: str
    sentence: str
    technique: str
    next_step: str


def words_of(kind: str) -> Words:
    """Return the words of a kind: a behaviour, a class of the RandomForest, or a kind that a log's evidence declares."""
    if (b := behaviour_of(kind)) is not None:
        return Words(b.title, b.sentence, b.technique, b.next_step or _LOOK)
    declared = evidence_kinds().get(kind)
    if declared is not None:
        return Words(declared.title, declared.sentence, declared.technique, declared.next_step)
    sentence, technique = _CLASSES.get(kind, ("shows " + kind.replace("_", " ") + " towards {target}", ""))
    return Words(kind_title(kind), sentence, technique, _LOOK)


def service(evidence: Evidence) -> str:
    """Return the responder's service in words: `port 443/tcp`; `an unknown port` without one."""
    if evidence.proto == "icmp":
        return "ICMP"
    return f"port {evidence.port}" + (f"/{evidence.proto}" if evidence.proto else "") if evidence.port is not None else "several ports"


def sentence(evidence: Evidence) -> str:
    """Return what the source did, to complete "10.0.0.5 …"."""
    if evidence.sentence:
        return evidence.sentence
    return fill(words_of(evidence.kind).sentence, evidence)


def next_step(evidence: Evidence) -> str:
    """Return what an analyst looks at next."""
    return fill(words_of(evidence.kind).next_step, evidence)


def fill(template: str, evidence: Evidence) -> str:
    """Return a template with the evidence's own target, service and subject. Other braces stay as they are: logs choose the texts."""
    values = {
        "target": evidence.target or "several hosts",
        "service": service(evidence),
        "subject": evidence.subject[:80] or "an unnamed one",
    }
    for name, value in values.items():
        template = template.replace("{" + name + "}", value)
    return template
