"""Trains and tests on captures, with several seeds, and returns all metrics as plain values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlids.detectors.bundle import Model
from mlids.detectors.reference import load_reference
from mlids.detectors.verdict import judge
from mlids.errors import NoRowsError
from mlids.training.cross_capture.captures import Capture, contradictions, short_names
from mlids.training.cross_capture.case_evidence import NOTHING, OTHERS, SiteEvidence, conn_evidence, gather_capture, read_evidence
from mlids.training.cross_capture.case_metrics import case_metrics
from mlids.training.cross_capture.merging import by_capture, merge_runs, pooled
from mlids.training.cross_capture.networks import network_metrics
from mlids.training.cross_capture.summary import case_summary, summary
from mlids.training.cross_capture.testing import TestedCapture, days_of, fit_captures, random_split, run_capture
from mlids.training.metrics import DETECTORS


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

    def others(self, together: Sequence[Capture], leave_one_out: bool) -> list[Capture]:
        """Return the captures that the model which tests `together` is trained on: none of them, and none of their laboratory."""
        laboratories = {c.laboratory for c in together if c.laboratory} if leave_one_out else set()
        pool = self.every if leave_one_out else self.train
        return [c for c in pool if c.laboratory not in laboratories and not any(c is t for t in together)]

    def together(self, leave_one_out: bool) -> list[list[Capture]]:
        """Return the captures to test, those together that one model tests."""
        if not leave_one_out:
            return [list(self.test)]
        out: dict[str, list[Capture]] = {}
        for capture in self.test:
            out.setdefault(capture.laboratory or capture.name, []).append(capture)
        return list(out.values())


def evaluate(
    train: Sequence[Capture], calibrate: Sequence[Capture], test: Sequence[Capture], options: EvaluateOptions = EvaluateOptions(),
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:  # fmt: skip
    """Return the metrics as plain values; docs/detection.md describes them.

    `networks` has those of each network, and `summary` their means, both under `true_labels` (models trained on observed
    attacks) and under `implanted_only` (models trained without any, as at a site without labels). `captures`, `benign_days`,
    `pooled` and `macro` have the metrics of pooled rows.

    With `leave_one_out` every capture is tested by a model trained on all those of other laboratories; a calibration
    capture sets the carried thresholds except where it is tested itself. Metrics are means over the seeds; `spread` is
    the largest less the smallest. `reference` has the cases under the reference model, also without each log.
    Raises NoRowsError when no capture to test has both attacks and benign rows, MlidsError for another log of a capture
    that cannot be read.
    """
    every = list({c.name: c for c in [*train, *calibrate, *test]}.values())
    short = short_names([c.name for c in every])
    tested = every if options.leave_one_out else list(test)
    if not any(c.attack.any() and c.benign.any() for c in tested):
        raise NoRowsError("no capture to test has both attacks and benign rows; give one with --test that has")
    plan = _Plan(train, calibrate, tested, every)
    logs = {}
    for capture in tested:
        progress(f"reading the other logs of {short[capture.name]}")
        logs[capture.name] = read_evidence(capture)
    runs = [_run(plan, options, seed, short, logs, progress) for seed in options.seeds]
    merged: dict[str, Any] = merge_runs(runs)
    means = {
        kind: summary(networks) | {"spread": _spread([summary(r["networks"][kind]) for r in runs])}
        for kind, networks in merged["networks"].items()
    }
    return merged | {
        "summary": means | {"distance": _distance(means)}, "reference": cases_under(load_reference(), tested, logs, short),
        "about": _about(plan, options, short),
    }  # fmt: skip


def _spread(summaries: Sequence[dict[str, Any]]) -> dict[str, float | None]:
    """Return the largest less the smallest mean recall of the hybrid over trainings."""
    out = {}
    for metric in ("recall_at_fpr_1pct", "recall_at_fpr_0_1pct"):
        values = [v for s in summaries if (v := s["detectors"]["hybrid"][metric]["mean"]) is not None]
        out[metric] = round(max(values) - min(values), 4) if values else None
    return out


def _distance(means: dict[str, Any]) -> dict[str, float | None]:
    """Return by how much the mean recall of models without observed attacks is below that of models with them."""
    out = {}
    for metric in ("recall_at_fpr_1pct", "recall_at_fpr_0_1pct"):
        true, bare = (means[kind]["detectors"]["hybrid"][metric]["mean"] for kind in ("true_labels", "implanted_only"))
        out[metric] = None if true is None or bare is None else round(true - bare, 4)
    return out


def cases_under(
    model: Model, captures: Sequence[Capture], logs: Mapping[str, Mapping[str, SiteEvidence]], short: Mapping[str, str]
) -> dict[str, Any]:
    """Return the metrics of cases under one model: `networks`, `summary`, and the summaries `without` each log and all logs but conn.log.

    `logs` is what `read_evidence` returned, by the name of the capture.
    """
    left_out = [NOTHING, *sorted({log for found in logs.values() for log in found} - {NOTHING, OTHERS}), OTHERS]
    by_log: dict[str, dict[str, Any]] = {log: {} for log in left_out}
    for capture in captures:
        days = days_of(capture)
        conns = conn_evidence(model, capture, judge(model, capture.x), model.spec.threshold)
        about = {"n_attack": int(capture.attack.sum()), "n_benign": int(capture.benign.sum()), "days": days}
        found = {log: gather_capture(conns, evidence) for log, evidence in logs[capture.name].items()}
        for log, networks in by_log.items():
            networks[short[capture.name]] = about | {"cases": case_metrics(capture, found.get(log, found[NOTHING]), days)}
    return merge_runs([{
        "version": model.version, "networks": by_log[NOTHING], "summary": case_summary(by_log[NOTHING]),
        "without": {log: case_summary(networks) for log, networks in by_log.items()},
    }])  # fmt: skip


def _run(
    plan: _Plan, options: EvaluateOptions, seed: int, short: dict[str, str], logs: Mapping[str, Mapping[str, SiteEvidence]],
    progress: Callable[[str], None],
) -> dict[str, Any]:  # fmt: skip
    """Return the metrics of one seed. Captures of one laboratory share their models, which are trained once."""
    tests: dict[str, list[TestedCapture]] = {"implanted_only": [], "true_labels": []}
    for together in plan.together(options.leave_one_out):
        others = plan.others(together, options.leave_one_out)
        names = ", ".join(short[c.name] for c in together)
        for kind, found in tests.items():
            progress(f"seed {seed}: training ({kind.replace('_', ' ')})" + (f" without {names}" if options.leave_one_out else ""))
            pair = fit_captures(others, seed, true_attacks=kind == "true_labels")
            for capture in together:
                progress(f"seed {seed}: testing {short[capture.name]} ({kind.replace('_', ' ')})")
                calibrate = [c for c in plan.calibrate if c is not capture and c.benign.any()]
                found.append(run_capture(pair, capture, calibrate, others, options.budget, logs[capture.name][NOTHING]))
    labelled, bare = tests["true_labels"], tests["implanted_only"]
    return by_capture([t for t in labelled if t.capture.benign.any()], options.budget, short) | {
        "implanted_only": pooled([t for t in bare if t.capture.attack.any() and t.capture.benign.any()], options.budget),
        "random_split": {"flattering": True} | random_split(plan.train, seed),
        "networks": {kind: {short[t.capture.name]: network_metrics(t) for t in found} for kind, found in tests.items()},
    }


def _about(plan: _Plan, options: EvaluateOptions, short: dict[str, str]) -> dict[str, Any]:
    return {
        "train": [short[c.name] for c in plan.train], "calibrate": [short[c.name] for c in plan.calibrate],
        "test": [short[c.name] for c in plan.test], "detectors": list(DETECTORS), "leave_one_out": options.leave_one_out,
        "seeds": list(options.seeds), "budget_per_day": options.budget,
        "laboratories": {short[c.name]: c.laboratory for c in plan.every},
        "sorted": {short[c.name]: c.out_of_order for c in plan.every if c.out_of_order},
        "artefacts_dropped": {short[c.name]: c.artefacts for c in plan.every if c.artefacts},
        "contradictions": {short[c.name]: n for c in plan.every if (n := contradictions(c))},
    }  # fmt: skip
