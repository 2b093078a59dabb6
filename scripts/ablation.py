"""`python -m scripts.ablation DATA [--cases]`: what each part of detection adds, measured on the captures of benchmarks/captures.toml below DATA.

The model is the one that a new site gets: fitted on the synthetic reference networks alone. One part is taken away at a time;
the table goes into docs/detection.md. So do the cases under the reference model, by network, and without each log; `--cases` measures these alone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mlids.detectors.bundle import Fitted, Scores
from mlids.detectors.day_view import raised
from mlids.detectors.reference import load_reference
from mlids.detectors.verdict import ANOMALY_WEIGHT, BEHAVIOUR_WEIGHT, UPKEEP, UPKEEP_DISCOUNT, judge
from mlids.features.spec import BEHAVIOUR_COLUMNS, BEHAVIOUR_NAMES
from mlids.training.cross_capture.captures import Capture, load_capture
from mlids.training.cross_capture.case_evidence import read_evidence
from mlids.training.cross_capture.evaluate import cases_under
from mlids.training.cross_capture.listing import read_listing
from mlids.training.cross_capture.networks import ATTACKS_FROM, BENIGN_FROM
from mlids.training.metrics import recall_at_fpr
from mlids.training.reference import ReferenceRows, fit_reference, reference_rows
from mlids.training.train import THRESHOLD_LOW, Pair
from scripts.tables import put, put_reference_cases

LISTING = Path("benchmarks/captures.toml")
DETECTION = Path("docs/detection.md")


class _Known:
    """A model whose scores of a capture are known, so that the parts of the joined score can be changed."""

    version: str | None = None

    def __init__(self, model: Fitted, scores: Scores) -> None:
        self.spec, self.attack_classes, self._scores = model.spec, model.attack_classes, scores

    def score(self, x: np.ndarray) -> Scores:
        """Return the known scores."""
        return self._scores


@dataclass(frozen=True)
class Figures:
    """Means over networks: recall at 1 % and at 0.1 %, of a day at once at 1 %; services of attacks, and benign ones, above the lowest threshold."""

    recall: float
    tenth: float
    day: float
    found: int
    wrong: int


def figures(captures: list[Capture], risk: Callable[[Capture], np.ndarray]) -> Figures:
    """Return the figures of a way to score captures."""
    recalls, tenths, days, found, wrong = [], [], [], 0, 0
    for capture in captures:
        values, known = risk(capture), capture.known
        above = values >= THRESHOLD_LOW
        found += len(set(capture.day_keys[above & capture.attack].tolist()))
        wrong += len(set(capture.day_keys[above & capture.benign].tolist()))
        if capture.attack.sum() >= ATTACKS_FROM and capture.benign.sum() >= BENIGN_FROM:
            day = values.copy()
            raised(capture.day_keys, day)
            recalls.append(recall_at_fpr(values[known], capture.attack[known], 0.01))
            tenths.append(recall_at_fpr(values[known], capture.attack[known], 0.001))
            days.append(recall_at_fpr(day[known], capture.attack[known], 0.01))
    return Figures(float(np.mean(recalls)), float(np.mean(tenths)), float(np.mean(days)), found, wrong)


class Ablation:
    """Scores of all captures by one model, from which parts are taken away."""

    def __init__(self, captures: list[Capture], pair: Pair) -> None:
        self.captures, self.model = captures, pair.model()
        self.scores = {c.name: self.model.score(c.x) for c in captures}

    def risk(
        self, capture: Capture, *, forest: bool = True, surprise: bool = True, behaviours: frozenset[str] = frozenset(BEHAVIOUR_NAMES)
    ) -> np.ndarray:
        """Return float32[n], the risk with some scores or behaviours left out."""
        x, scores = capture.x.copy(), self.scores[capture.name]
        for at, name in enumerate(BEHAVIOUR_NAMES):
            if name not in behaviours:
                x[:, BEHAVIOUR_COLUMNS.start + at] = 0.0
        anomaly = scores.anomaly_score if surprise else np.zeros_like(scores.anomaly_score)
        known = Scores(anomaly, scores.attack_probability if forest else None, scores.attack_class)
        return judge(_Known(self.model, known), x).risk_score

    def unsquared(self, capture: Capture) -> np.ndarray:
        """Return float32[n], the risk with probability and surprise as they are."""
        scores, (at, to) = self.scores[capture.name], self.model.spec.surprise
        surprise = np.interp(scores.anomaly_score, at, to) * (1.0 - UPKEEP_DISCOUNT * capture.x[:, UPKEEP].max(axis=1))
        level = capture.x[:, BEHAVIOUR_COLUMNS].max(axis=1)
        assert scores.attack_probability is not None
        none = (
            (1.0 - ANOMALY_WEIGHT * surprise)
            * (1.0 - BEHAVIOUR_WEIGHT * level)
            * (1.0 - self.model.spec.attack_weight * scores.attack_probability)
        )
        return np.asarray(100.0 * (1.0 - none), np.float32)

    def rows(self) -> Iterator[tuple[str, Figures]]:
        """Yield what was taken away, and the figures without it."""
        every = frozenset(BEHAVIOUR_NAMES)
        yield "nothing", figures(self.captures, self.risk)
        yield "the RandomForest", figures(self.captures, lambda c: self.risk(c, forest=False))
        yield "the IsolationForest", figures(self.captures, lambda c: self.risk(c, surprise=False))
        yield "all behaviours", figures(self.captures, lambda c: self.risk(c, behaviours=frozenset()))
        yield "the squares", figures(self.captures, self.unsquared)
        for name in BEHAVIOUR_NAMES:
            yield f"behaviour {name}", figures(self.captures, lambda c, name=name: self.risk(c, behaviours=every - {name}))  # type: ignore[misc]


def families(captures: list[Capture], rows: ReferenceRows) -> Iterator[tuple[str, Figures]]:
    """Yield each class of attack, and the figures of a model that was fitted without it."""
    for name in sorted(set(rows.label.tolist()) - {"benign"}):
        keep = rows.label != name
        fewer = replace(rows, x=rows.x[keep], label=rows.label[keep], network=rows.network[keep], weight=rows.weight[keep])
        ablation = Ablation(captures, fit_reference(fewer))
        yield f"implanted {name}", figures(captures, ablation.risk)


def cases(captures: list[Capture]) -> None:
    """Write the cases under the reference model into docs/detection.md."""
    logs = {c.name: read_evidence(c) for c in captures}
    put_reference_cases(DETECTION, cases_under(load_reference(), captures, logs, {c.name: c.name for c in captures}))


def main(data: Path, *, cases_alone: bool) -> None:
    """Write the tables into docs/detection.md."""
    captures = [load_capture(listed) for listed in read_listing(LISTING, data)]
    cases(captures)
    if cases_alone:
        return
    rows = reference_rows()
    lines = [
        "| taken away | recall at 1 % | at 0.1 % | a day at once, at 1 % | services of attacks above 55 | benign services above 55 |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, found in (*Ablation(captures, fit_reference(rows)).rows(), *families(captures, rows)):
        sys.stderr.write(f"without {name}: {found}\n")
        lines.append(f"| {name} | {found.recall:.2f} | {found.tenth:.2f} | {found.day:.2f} | {found.found:,} | {found.wrong} |")
    put(DETECTION, "ablation", "\n".join(lines))


if __name__ == "__main__":
    main(Path(sys.argv[1]), cases_alone="--cases" in sys.argv[2:])
