"""What the gate compared, as one table: the models with their metrics on the same rows, the decision and its reasons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mlids.text import markdown
from mlids.training.gate import Check

CHALLENGER, PRODUCTION, REFERENCE = "challenger", "production", "reference"  # roles
HEADING = "## Gate"


@dataclass(frozen=True)
class Candidate:
    """A model that the gate looked at: its role, its version, and metrics on the held-out rows; nan where it has none."""

    role: str
    version: str
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class GateReport:
    """The decision on a challenger (`promoted`, `refused` or `forced`) with its reasons and rules, and what was compared on which snapshot."""

    decision: str
    why: str
    snapshot_id: str
    candidates: tuple[Candidate, ...]
    checks: tuple[Check, ...] = ()

    def table(self) -> str:
        """Return the decision, every rule with its numbers, and the metrics of all candidates as Markdown."""
        lines = [HEADING, "", f"**{self.decision}**: {markdown(self.why)}", "", *self._rules(), *self._rows(), ""]
        return "\n".join([*lines, f"All on the held-out rows of snapshot `{self.snapshot_id}`.", ""])

    def _rules(self) -> list[str]:
        if not self.checks:
            return []
        rows = [f"| {markdown(c.rule)} | {'held' if c.held else '**not held**'} | {markdown(c.text)} |" for c in self.checks]
        return ["| rule | | numbers |", "|---|---|---|", *rows, ""]

    def _rows(self) -> list[str]:
        names = list(dict.fromkeys(name for c in self.candidates for name in c.metrics))
        head = "| metric | " + " | ".join(f"{c.role} {markdown(c.version)}" for c in self.candidates) + " |"
        rows = [f"| {markdown(n)} | " + " | ".join(_shown(c.metrics.get(n)) for c in self.candidates) + " |" for n in names]
        return [head, "|---|" + "---:|" * len(self.candidates), *rows]


def described(card: str, report: GateReport, most: int) -> str:
    """Return a description of at most `most` characters: the card without an older decision, then this decision; the card is shortened first."""
    gate = shortened(report.table(), most)
    before = shortened(card.split(f"{HEADING}\n")[0].rstrip(), most - len(gate) - 2)
    return f"{before}\n\n{gate}" if before else gate


def shortened(text: str, most: int) -> str:
    """Return a text of at most `most` characters: whole lines of a longer one, and where the rest is; empty where not even that has room."""
    if len(text) <= most:
        return text
    note = "\n\n(shortened; the artifacts of the training run have the whole text)\n"
    room = most - len(note)
    return text[:room].rpartition("\n")[0] + note if room > 0 else ""


def _shown(value: float | None) -> str:
    return "–" if value is None or value != value else f"{value:.4g}"
