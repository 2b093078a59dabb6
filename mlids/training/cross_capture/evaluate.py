"""Trains and tests on captures, with several seeds, and returns all metrics as plain values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mlids.errors import NoRowsError
from mlids.training.cross_capture.captures import Capture, contradictions, short_names
from mlids.training.cross_capture.merging import by_capture, merge_runs, pooled
from mlids.training.cross_capture.testing import TestedCapture, fit_captures, random_split, run_capture
from mlids.training.metrics import DETECTORS
from mlids.training.train import Pair


@dataclass(frozen=True)
class EvaluateOptions:
    """How captures are tested."""

    leave_one_out: bool = False  # test each capture by a model trained on all others
    seeds: Sequence[int] = range(5)  # one training each
    budget: float = 20.0  # alerts a day that the site's threshold allows


@dataclass(frozen=True)
class _Plan:
    """Which captures train, calibrate and are tested."""

    train: Sequence[Capture]
    calibrate: Sequence[Capture]
    test: Sequence[Capture]
    every: Sequence[Capture]

    def others(self, capture: Capture, leave_one_out: bool) -> list[Capture]:
        """Return the captures that the model which tests `capture` is trained on."""
        return [c for c in (self.every if leave_one_out else self.train) if c is not capture]


def evaluate(
    train: Sequence[Capture], calibrate: Sequence[Capture], test: Sequence[Capture], options: EvaluateOptions = EvaluateOptions(),
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:  # fmt: skip
    """Return `captures`, `pooled`, `macro`, `benign_days`, `implanted_only`, `random_split` and `about` as plain values.

    `benign_days` has the captures without attacks: the alerts that the site's threshold gives there. `implanted_only` has
    the metrics of models trained without any true attack, as at a site without labels.

    With `leave_one_out` every capture with benign rows is tested by a model trained on all the others; a calibration
    capture sets the carried thresholds except where it is tested itself. Metrics are means over the seeds; `spread` is
    the largest less the smallest. Raises NoRowsError when no capture to test has both attacks and benign rows.
    """
    every = list({c.name: c for c in [*train, *calibrate, *test]}.values())
    short = short_names([c.name for c in every])
    tested = [c for c in every if c.benign.any()] if options.leave_one_out else list(test)
    if not any(c.attack.any() and c.benign.any() for c in tested):
        raise NoRowsError("no capture to test has both attacks and benign rows; give one with --test that has")
    plan = _Plan(train, calibrate, tested, every)
    merged: dict[str, Any] = merge_runs([_run(plan, options, seed, short, progress) for seed in options.seeds])
    return merged | {"about": _about(plan, options, short)}


def _run(plan: _Plan, options: EvaluateOptions, seed: int, short: dict[str, str], progress: Callable[[str], None]) -> dict[str, Any]:
    """Return the metrics of one seed."""
    tests: list[TestedCapture] = []
    implanted_only: list[TestedCapture] = []
    pair: Pair | None = None
    bare: Pair | None = None
    for capture in plan.test:
        others = plan.others(capture, options.leave_one_out)
        calibrate = [c for c in plan.calibrate if c is not capture and c.benign.any()]
        if pair is None or options.leave_one_out:
            progress(f"seed {seed}: training" + (f" without {short[capture.name]}" if options.leave_one_out else ""))
            pair = fit_captures(others, seed)
        tests.append(run_capture(pair, capture, calibrate, others, options.budget))
        if not capture.attack.any():
            continue
        if bare is None or options.leave_one_out:
            bare = fit_captures(others, seed, true_attacks=False)
        implanted_only.append(run_capture(bare, capture, calibrate, others, options.budget))
    return by_capture(tests, options.budget, short) | {
        "implanted_only": pooled(implanted_only, options.budget),
        "random_split": {"flattering": True} | random_split(plan.train, seed),
    }


def _about(plan: _Plan, options: EvaluateOptions, short: dict[str, str]) -> dict[str, Any]:
    return {
        "train": [short[c.name] for c in plan.train], "calibrate": [short[c.name] for c in plan.calibrate],
        "test": [short[c.name] for c in plan.test], "detectors": list(DETECTORS), "leave_one_out": options.leave_one_out,
        "seeds": list(options.seeds), "budget_per_day": options.budget,
        "artefacts_dropped": {short[c.name]: c.artefacts for c in plan.every if c.artefacts},
        "contradictions": {short[c.name]: n for c in plan.every if (n := contradictions(c))},
    }  # fmt: skip
