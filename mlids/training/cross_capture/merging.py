"""Metrics of tested captures: of each, pooled, as a mean over captures, and as a mean over trainings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mlids.detectors.forest import BENIGN
from mlids.training.cross_capture.captures import is_attack
from mlids.training.cross_capture.testing import TestedCapture
from mlids.training.metrics import DETECTORS, detection_metrics, recall_at_fpr

MACRO_FROM = 5  # attack rows that a capture needs to count in the mean over captures


def by_capture(tests: Sequence[TestedCapture], budget: float, short: dict[str, str]) -> dict[str, Any]:
    """Return `captures` (with attacks, by attack name), `benign_days` (without), `pooled` and `macro`."""
    captures: dict[str, Any] = {}
    benign = {short[t.capture.name]: _benign_days(t) for t in tests if not t.capture.attack.any()}
    tests = [t for t in tests if t.capture.attack.any()]
    for t in tests:
        names = sorted({v for v in t.capture.label if v is not None and v != BENIGN})
        captures[short[t.capture.name]] = {"all": _metrics([t], budget)} | {n: _metrics([t], budget, n) for n in names}
    return {"captures": captures, "benign_days": benign} | pooled(tests, budget)


def pooled(tests: Sequence[TestedCapture], budget: float) -> dict[str, Any]:
    """Return `pooled`, and `macro`: the mean over the captures with at least MACRO_FROM attack rows, equally weighted."""
    counted = [_metrics([t], budget) for t in tests if t.capture.attack.sum() >= MACRO_FROM and t.capture.benign.any()]
    macro = {d: {m: float(np.nanmean([c[d][m] for c in counted])) for m in counted[0][d]} for d in DETECTORS} if counted else {}
    return {"pooled": _metrics(tests, budget), "macro": macro | {"captures": len(counted)}}


def _metrics(tests: Sequence[TestedCapture], budget: float, attack_name: str | None = None) -> dict[str, Any]:
    """Return the metrics of rows pooled over captures; with `attack_name`, of that attack against all benign rows."""
    chosen = [_Rows(t, attack_name) for t in tests]
    attack = _joined(chosen, lambda r: r.attack)
    bad = np.concatenate([r.bad_pairs for r in chosen])
    return {
        "n_attack": int(attack.sum()), "n_benign": int((~attack).sum()), "duplicates_with_train": sum(r.duplicates for r in chosen),
        "n_attack_pairs": int(bad.sum()), "n_benign_pairs": int((~bad).sum()),
    } | {name: _detector_metrics(name, chosen, attack, bad, budget) for name in DETECTORS}  # fmt: skip


class _Rows:
    """The rows of a tested capture that metrics are about: one or all attacks, and all benign rows."""

    def __init__(self, test: TestedCapture, attack_name: str | None) -> None:
        label = test.capture.label
        if attack_name is not None:
            label = np.array([v if v in (attack_name, BENIGN) else None for v in label])
        self.test = test
        self.attack = is_attack(label)
        self.known = self.attack | test.capture.benign
        self.pair, self.bad_pairs = test.capture.pairs(self.attack, test.capture.benign)
        self.duplicates = int(np.isin(test.capture.digests[self.known], test.seen).sum())


def _joined(chosen: Sequence[_Rows], values: Callable[[_Rows], np.ndarray]) -> np.ndarray:
    return np.concatenate([values(r)[r.known] for r in chosen])


def _detector_metrics(name: str, chosen: Sequence[_Rows], attack: np.ndarray, bad: np.ndarray, budget: float) -> dict[str, float]:
    risk = _joined(chosen, lambda r: r.test.risks[name])
    over = _joined(chosen, lambda r: r.test.risks[name] > r.test.carried[name])
    later = _joined(chosen, lambda r: r.test.later(name))
    found = _joined(chosen, lambda r: r.test.site[name].found)
    worst = np.concatenate([highest_of_pairs(r.test.risks[name], r.pair) for r in chosen])
    days = sum(r.test.site[name].days for r in chosen)
    top = np.argsort(-risk, kind="stable")[: max(int(budget * days), 1)]
    return detection_metrics(risk, attack) | {
        "pair_recall_at_fpr_1pct": recall_at_fpr(worst, bad, 0.01),
        "recall_carried_1pct": _share(over[attack]),
        "actual_fpr_carried_1pct": _share(over[~attack]),
        "recall_site": _share(found[attack & later]),
        "actual_fpr_site": _share(found[~attack & later]),
        "alerts_per_day": _rate(sum(r.test.site[name].alerts for r in chosen), days),
        "precision_at_k": float(attack[top].mean()) if len(top) else float("nan"),
    }


def highest_of_pairs(risk: np.ndarray, number: np.ndarray) -> np.ndarray:
    """Return the highest risk of each numbered pair of hosts."""
    out = np.full(int(number.max(initial=-1)) + 1, -np.inf)
    np.maximum.at(out, number[number >= 0], risk[number >= 0])
    return out


def _benign_days(test: TestedCapture) -> dict[str, Any]:
    """Return the cost of the site's threshold on a capture without attacks: alerts a day after grouping, and the share of rows."""
    metrics = {
        name: {
            "alerts_per_day": _rate(site.alerts, site.days),
            "actual_fpr_site": _share(site.found[test.capture.benign & test.later(name)]),
        }
        for name, site in test.site.items()
    }
    return {"n_benign": int(test.capture.benign.sum()), "days": test.site["hybrid"].days} | metrics


def _rate(n: int, days: float) -> float:
    return n / days if days else float("nan")


def _share(hits: np.ndarray) -> float:
    return float(hits.mean()) if len(hits) else float("nan")


def merge_runs(runs: Sequence[Any]) -> Any:
    """Return the mean over trainings of every number (null for nan), with `spread`, largest less smallest, beside each detector's metrics."""
    first = runs[0]
    if isinstance(first, dict):
        out = {key: merge_runs([r[key] for r in runs]) for key in first}
        if "recall_at_fpr_1pct" in first and len(runs) > 1:
            out["spread"] = {k: _rounded(float(max(r[k] for r in runs) - min(r[k] for r in runs))) for k in first}
        return out
    if isinstance(first, bool) or not isinstance(first, (int, float)):
        return first
    mean = float(np.mean(list(runs)))
    return int(mean) if all(isinstance(r, int) for r in runs) else _rounded(mean)


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else round(value, 4)
