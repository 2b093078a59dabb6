"""`mlids evaluate`: how well the pair of forests finds attacks on networks it has not seen, on anybody's labelled logs.

The unit of splitting is the capture (a network and its days), never the row: rows of one capture are near
copies of each other, and a split at random measures memory. That figure is given beside the others, marked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from mlids.alerts.grouping import WINDOW_S, group_keys
from mlids.detectors.bundle import Model
from mlids.detectors.verdict import Verdicts, judge
from mlids.errors import InputError, NoRowsError
from mlids.features.extract import Extractor
from mlids.features.spec import NAMES
from mlids.ingest.conns import Reading, read_conns
from mlids.training.dataset import artefacts, gather, labelled, reference, true_attack, weights
from mlids.training.labels import BENIGN, family
from mlids.training.metrics import DETECTORS, detection_metrics, pr_auc, recall_at_fpr
from mlids.training.train import Pair, fit_pair, threshold_for_budget

MACRO_FROM = 5  # attack rows that a capture needs to count in the mean over captures
MAX_ROWS = 2_000_000
BENIGN_ROWS = 3_000  # of a capture, in training
_IDENTITY = ["uid", "ts", "sensor", "id.orig_h", "id.resp_h", "id.resp_p", "proto"]


@dataclass(frozen=True)
class Capture:
    """One labelled network. `label` is benign, an attack's own name, or None for what is context only."""

    name: str
    conns: pl.DataFrame
    x: np.ndarray
    label: np.ndarray
    artefacts: int
    examples: pl.DataFrame

    @property
    def attack(self) -> np.ndarray:
        """Which rows are attacks."""
        return np.array([v is not None and v != BENIGN for v in self.label])

    @property
    def benign(self) -> np.ndarray:
        """Which rows are benign."""
        return np.array([v == BENIGN for v in self.label])

    def pairs(self, attack: np.ndarray, benign: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the number of each row's pair of hosts (-1: neither attack nor benign), and which pairs hold an attack."""
        told = attack | benign
        keys = self.conns.select("id.orig_h", "id.resp_h").filter(pl.Series(told))
        number = np.full(len(told), -1)
        number[told] = keys.select(pl.struct(pl.all()).rank("dense") - 1).to_series().to_numpy() if told.any() else 0
        bad = np.zeros(int(number.max(initial=-1)) + 1, bool)
        bad[number[attack]] = True
        return number, bad

    @cached_property
    def digests(self) -> np.ndarray:
        """A number for each row that is equal where all features are."""
        return pl.DataFrame(self.x).hash_rows(1).to_numpy()


def load_capture(path: Path, networks: Sequence[str] = (), *, seed: int = 0, max_rows: int = MAX_ROWS) -> Capture:
    """Read a labelled log or folder, its features, and its examples for training.

    Raises NoRowsError when no row has a label, InputError when it cannot be read.
    """
    batches: list[pl.DataFrame] = []
    rows = 0
    for batch in read_conns([path], Reading()):
        batches.append(batch)
        rows += batch.height
        if rows > max_rows:
            raise InputError(f"{path}: more than {max_rows:,} rows; evaluate a part of it, cut by time")
    if not rows:
        raise NoRowsError(f"{path}: no conns in it")
    conns = pl.concat(batches, how="diagonal_relaxed")
    fault = artefacts(conns)
    label = pl.select(pl.when(~fault).then(labelled(conns))).to_series()
    if label.null_count() == len(label):
        raise NoRowsError(f"{path}: no row has a label; a column `label` with Benign or Malicious… is needed")
    extractor = Extractor(networks)
    x = np.concatenate([extractor.features(b) for b in batches])
    _, examples = gather(lambda: iter(batches), str(path), networks=networks, max_benign=BENIGN_ROWS, assume_benign=False, seed=seed)
    return Capture(str(path), conns.select(_IDENTITY), x, label.to_numpy(), int(fault.sum()), examples)


def _fit(captures: Sequence[Capture], seed: int, *, true_attacks: bool = True) -> Pair:
    frame = pl.concat([*(c.examples for c in captures), reference()])
    if not true_attacks:
        frame = frame.filter(~true_attack())
    x = np.ascontiguousarray(frame.select(NAMES).to_numpy(), np.float32)
    names = np.array([BENIGN if v == BENIGN else family(v) for v in frame["label"].to_list()])
    return fit_pair(
        x, names, frame["network"].to_numpy().astype(str), weights(frame),
        true_attacks=not frame.filter(true_attack()).is_empty(), seed=seed,
    )  # fmt: skip


def _risks(model: Model, x: np.ndarray) -> tuple[Verdicts, dict[str, np.ndarray]]:
    """Return the verdicts and each detector's own view of the risk, 0 to 100, that rows are ranked by."""
    verdicts = judge(model, x)
    alone = judge(_WithoutForest(model), x)
    probability = verdicts.scores.attack_probability
    return verdicts, {
        "forest": 100.0 * (probability if probability is not None else np.zeros(len(x))),
        "isolation": 100.0 * verdicts.scores.anomaly_score,
        "unsupervised": alone.risk_score,
        "hybrid": verdicts.risk_score,
    }


class _WithoutForest:
    """The same model with the RandomForest's voice left out: what is found without any label."""

    def __init__(self, model: Model) -> None:
        self.spec, self.version, self.attack_classes, self._model = model.spec, model.version, model.attack_classes, model

    def score(self, x: np.ndarray) -> Any:
        return replace(self._model.score(x), attack_probability=None, attack_class=None)


@dataclass
class _Tested:
    """A capture under one model: what every detector says of its rows, the cuts carried to it, and its training."""

    capture: Capture
    verdicts: Verdicts
    risks: dict[str, np.ndarray]
    carried: dict[str, float]
    site: dict[str, dict[str, Any]]
    seen: np.ndarray  # digests of the training rows


def _test(pair: Pair, capture: Capture, calibrate: Sequence[Capture], trained_on: Sequence[Capture], budget: float) -> _Tested:
    model = pair.model()
    verdicts, risks = _risks(model, capture.x)
    usual: dict[str, list[np.ndarray]] = {d: [] for d in DETECTORS}
    for other in calibrate:
        for name, values in _risks(model, other.x[other.benign])[1].items():
            usual[name].append(values)
    carried = {n: float(np.quantile(np.concatenate(v), 0.99, method="higher")) if v else float("nan") for n, v in usual.items()}
    site = {name: _at_the_site(model, capture, verdicts, risks[name], budget) for name in DETECTORS}
    seen = np.concatenate([c.digests[c.attack | c.benign] for c in trained_on]) if trained_on else np.zeros(0, np.uint64)
    return _Tested(capture, verdicts, risks, carried, site, np.unique(seen))


def _at_the_site(model: Model, capture: Capture, verdicts: Verdicts, risk: np.ndarray, budget: float) -> dict[str, Any]:
    """Set the cut as the product does, on the first third without labels; say which later rows belong to an alert."""
    third = len(risk) // 3
    stamps = capture.conns["ts"].dt.epoch("s").fill_null(0).to_numpy()
    keys = [k.id for k in group_keys(model, capture.conns, verdicts, np.arange(len(risk)))]
    first = slice(0, third)
    cut = threshold_for_budget(keys[first], risk[first], _days(stamps[first]), budget)[0]
    later = np.arange(len(risk)) >= third
    found = later & (risk >= cut)
    alerting = {keys[i] for i in np.flatnonzero(found)}
    return {"from": third, "found": found, "alerts": len(alerting), "days": _days(stamps[third:]), "cut": cut}


def _days(stamps: np.ndarray) -> float:
    """Return the days that rows span, counted in the windows that an alert stands for."""
    return len(np.unique(stamps // WINDOW_S)) * WINDOW_S / 86_400 if len(stamps) else 0.0


def _entry(tests: Sequence[_Tested], budget: float, wanted: str | None = None) -> dict[str, Any]:
    """Return the metrics of rows pooled over captures; with `wanted`, of one attack name against all benign rows."""
    masks = []
    for t in tests:
        names = t.capture.label if wanted is None else np.array([v if v in (wanted, BENIGN) else None for v in t.capture.label])
        masks.append((np.array([v is not None and v != BENIGN for v in names]), t.capture.benign))
    attack = np.concatenate([a[a | b] for a, b in masks])
    duplicates = sum(int(np.isin(t.capture.digests[a | b], t.seen).sum()) for t, (a, b) in zip(tests, masks, strict=True))
    entry: dict[str, Any] = {"n_attack": int(attack.sum()), "n_benign": int((~attack).sum()), "duplicates_with_train": duplicates}
    pairs = [t.capture.pairs(a, b) for t, (a, b) in zip(tests, masks, strict=True)]
    bad = np.concatenate([b for _, b in pairs])
    entry |= {"n_attack_pairs": int(bad.sum()), "n_benign_pairs": int((~bad).sum())}
    for name in DETECTORS:
        worst = [_highest(t.risks[name], number) for t, (number, _) in zip(tests, pairs, strict=True)]
        risk = np.concatenate([t.risks[name][a | b] for t, (a, b) in zip(tests, masks, strict=True)])
        over = np.concatenate([t.risks[name][a | b] > t.carried[name] for t, (a, b) in zip(tests, masks, strict=True)])
        later = np.concatenate([(np.arange(len(a)) >= t.site[name]["from"])[a | b] for t, (a, b) in zip(tests, masks, strict=True)])
        found = np.concatenate([t.site[name]["found"][a | b] for t, (a, b) in zip(tests, masks, strict=True)])
        days = sum(t.site[name]["days"] for t in tests)
        k = max(int(budget * days), 1)
        top = np.argsort(-risk, kind="stable")[:k]
        entry[name] = detection_metrics(risk, attack) | {
            "pair_recall_at_fpr_1pct": recall_at_fpr(np.concatenate(worst), bad, 0.01),
            "recall_carried_1pct": _share(over[attack]),
            "actual_fpr_carried_1pct": _share(over[~attack]),
            "recall_site": _share(found[attack & later]),
            "actual_fpr_site": _share(found[~attack & later]),
            "alerts_per_day": _rate(sum(t.site[name]["alerts"] for t in tests), days),
            "precision_at_k": float(attack[top].mean()) if len(top) else float("nan"),
        }
    return entry


def _highest(risk: np.ndarray, number: np.ndarray) -> np.ndarray:
    """Return the highest risk of each numbered pair."""
    out = np.full(int(number.max(initial=-1)) + 1, -np.inf)
    np.maximum.at(out, number[number >= 0], risk[number >= 0])
    return out


def _quiet(test: _Tested) -> dict[str, Any]:
    """Return what the product's own cut costs on a capture without attacks: alerts a day after grouping, and the share of rows."""
    later = test.capture.benign & (np.arange(len(test.capture.x)) >= len(test.capture.x) // 3)
    metrics = {
        name: {"alerts_per_day": _rate(site["alerts"], site["days"]), "actual_fpr_site": _share(site["found"][later])}
        for name, site in test.site.items()
    }
    return {"n_benign": int(test.capture.benign.sum()), "days": test.site["hybrid"]["days"]} | metrics


def _rate(n: int, days: float) -> float:
    return n / days if days else float("nan")


def _share(hits: np.ndarray) -> float:
    return float(hits.mean()) if len(hits) else float("nan")


def evaluate(
    train: Sequence[Capture], calibrate: Sequence[Capture], test: Sequence[Capture], *, leave_one_out: bool = False,
    seeds: Sequence[int] = range(5), budget: float = 20.0, progress: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:  # fmt: skip
    """Return the protocol's metrics as plain values: `captures`, `pooled`, `macro`, `benign_days`, `implanted_only`, `random_split`.

    `benign_days` holds the captures without a single attack: what the product's own cut costs there.

    `implanted_only` is the same with every true attack taken out of training: a site without a single label.

    With `leave_one_out` every capture that holds attacks is tested by a model trained on all the others;
    the calibration captures lend their benign rows to the carried cut only while they are not trained on.
    Figures are means over the seeds; `spread` beside them is the largest less the smallest.
    """
    everything = list({c.name: c for c in [*train, *calibrate, *test]}.values())
    short = _short_names([c.name for c in everything])
    tested = [c for c in everything if c.benign.any()] if leave_one_out else list(test)
    if not any(c.attack.any() and c.benign.any() for c in tested):
        raise NoRowsError("no capture to test holds both attacks and benign rows")
    runs = []
    for seed in seeds:
        results: list[_Tested] = []
        unlabelled: list[_Tested] = []
        pair = bare = None
        for capture in tested:
            others = [c for c in (everything if leave_one_out else train) if c is not capture]
            held = [c for c in calibrate if c is not capture and c.benign.any()]
            if pair is None or leave_one_out:
                progress(f"seed {seed}: training without {short[capture.name]}" if leave_one_out else f"seed {seed}: training")
                pair = _fit(others, seed)
            results.append(_test(pair, capture, held, others, budget))
            if capture.attack.any():
                if bare is None or leave_one_out:
                    bare = _fit(others, seed, true_attacks=False)
                unlabelled.append(_test(bare, capture, held, others, budget))
        runs.append(
            _run(results, budget, short) | {"implanted_only": _pooled(unlabelled, budget), "random_split": _random_split([*train], seed)}
        )
    merged: dict[str, Any] = _merge(runs)
    merged["about"] = {
        "train": [short[c.name] for c in train], "calibrate": [short[c.name] for c in calibrate], "test": [short[c.name] for c in tested],
        "detectors": list(DETECTORS), "leave_one_out": leave_one_out, "seeds": list(seeds), "budget_per_day": budget,
        "artefacts_dropped": {short[c.name]: c.artefacts for c in everything if c.artefacts},
        "contradictions": {short[c.name]: n for c in everything if (n := contradictions(c))},
    }  # fmt: skip
    return merged


def _short_names(paths: Sequence[str]) -> dict[str, str]:
    """Return each path's file name, with as many of its folders as tell it from the others."""
    out = {}
    for path in paths:
        parts = Path(path).parts
        tails = ["/".join(parts[-n:]) for n in range(1, len(parts) + 1)]
        out[path] = next((t for t in tails if sum(p == t or p.endswith("/" + t) for p in paths) == 1), path)
    return out


def _run(results: Sequence[_Tested], budget: float, short: dict[str, str]) -> dict[str, Any]:
    captures: dict[str, Any] = {}
    quiet = {short[t.capture.name]: _quiet(t) for t in results if not t.capture.attack.any()}
    results = [t for t in results if t.capture.attack.any()]
    for t in results:
        names = sorted({v for v in t.capture.label if v is not None and v != BENIGN})
        captures[short[t.capture.name]] = {"all": _entry([t], budget)} | {n: _entry([t], budget, n) for n in names}
    return {"captures": captures, "benign_days": quiet} | _pooled(results, budget)


def _pooled(results: Sequence[_Tested], budget: float) -> dict[str, Any]:
    """Return `pooled`, and `macro`: the mean over the captures with enough attacks, each counting alike."""
    counted = [_entry([t], budget) for t in results if t.capture.attack.sum() >= MACRO_FROM and t.capture.benign.any()]
    macro = {d: {m: float(np.nanmean([c[d][m] for c in counted])) for m in counted[0][d]} for d in DETECTORS} if counted else {}
    return {"pooled": _entry(results, budget), "macro": macro | {"captures": len(counted)}}


def _random_split(captures: Sequence[Capture], seed: int) -> dict[str, Any]:
    """Return the RandomForest's PR-AUC when rows of the same captures are on both sides: flattering, for comparison only."""
    from mlids.detectors.forest import fit_forest

    x = np.concatenate([c.x[c.attack | c.benign] for c in captures]) if captures else np.zeros((0, len(NAMES)), np.float32)
    attack = np.concatenate([c.attack[c.attack | c.benign] for c in captures]) if captures else np.zeros(0, bool)
    if not attack.any() or attack.all():
        return {"flattering": True}
    fit = np.random.default_rng(seed).random(len(x)) < 0.7
    forest = fit_forest(x[fit], np.where(attack[fit], "attack", BENIGN), seed=seed, trees=50)
    score = forest.predict_proba(x[~fit])[:, list(forest.classes_).index("attack")]
    return {
        "flattering": True, "forest_pr_auc": pr_auc(score, attack[~fit]), "forest_pr_auc_at_1pct": pr_auc(score, attack[~fit], 0.01),
    }  # fmt: skip


def contradictions(capture: Capture) -> int:
    """Return how many labelled rows share all features with a row of the other label."""
    known = capture.attack | capture.benign
    frame = pl.DataFrame({"d": capture.digests[known], "a": capture.attack[known]})
    return int(frame.filter((pl.col("a").n_unique() > 1).over("d")).height)


def _merge(runs: Sequence[Any]) -> Any:
    """Return the mean over runs of every number, with `spread` beside the metrics of each detector."""
    first = runs[0]
    if isinstance(first, dict):
        out = {key: _merge([r[key] for r in runs]) for key in first}
        if "recall_at_fpr_1pct" in first and len(runs) > 1:
            out["spread"] = {k: round(float(max(r[k] for r in runs) - min(r[k] for r in runs)), 4) for k in first}
        return out
    if isinstance(first, bool) or not isinstance(first, (int, float)):
        return first
    mean = float(np.mean(list(runs)))
    return int(mean) if all(isinstance(r, int) for r in runs) else None if mean != mean else round(mean, 4)
