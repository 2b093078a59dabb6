"""What the gate compares beside PR-AUC: conns with verdicts, the week itself, the latest day, cost, labelled captures."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import polars as pl

from mlids.alerts.grouping import group_keys
from mlids.detectors.bundle import Model
from mlids.detectors.forest import BENIGN
from mlids.detectors.verdict import judge
from mlids.errors import ModelError
from mlids.features.extract import Extractor
from mlids.features.spec import FEATURES_VERSION, NAMES
from mlids.training.held_out import HeldOut, judge_rows
from mlids.training.label_sources.cases import CaseLabels
from mlids.training.label_sources.verdicts import VerdictLabels
from mlids.training.labels import IMPLANTED, REFERENCE
from mlids.training.snapshot import Snapshot, SnapshotInfo, load_snapshot

WEEKS_BEFORE = 4  # of which the median is taken
_LEAST_BENIGN = 200  # of a week's own held-out rows: a share of fewer says nothing
_COST_ROWS, _COST_RUNS = 5_000, 5


@dataclass(frozen=True)
class JudgedConns:
    """Conns of alerts and cases that analysts marked true: how many production finds, how many of these the challenger; and attacks it loses whole."""

    theirs: int
    both: int
    lost: frozenset[str]  # as `attack at network`


@dataclass(frozen=True)
class Week:
    """A training week beside the weeks before. Shares are 0 to 1; None where there is nothing to compare."""

    conns_a_day: float
    usual_conns_a_day: float | None
    usual_of: str  # whose that is
    missing_sensors: tuple[str, ...]
    attack_share: float | None  # of its own rows, by labels
    attack_share_before: float | None
    benign_alerts: float | None  # share of its own benign held-out rows on which production alerts
    benign_alerts_before: float | None


@dataclass(frozen=True)
class Shadow:
    """The alerts that challenger (`mine`) and opponent (`theirs`) give on the same latest conns: kind, source and target by id."""

    conns: int
    mine: dict[str, str]
    theirs: dict[str, str]


@dataclass(frozen=True)
class Cost:
    """Microseconds of CPU time a row takes, and bytes of the graph: (challenger, opponent)."""

    row_us: tuple[float, float]
    size_bytes: tuple[float, float]


@dataclass(frozen=True)
class CaptureResult:
    """A labelled capture: share of attack rows found, and of benign rows with an alert, at the thresholds of (challenger, opponent)."""

    name: str
    recall: tuple[float, float]
    benign_alerts: tuple[float, float]


def judged_conns(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return float32[n, features] and `attack at network` of the conns that verdicts call attacks, of every snapshot in the folder.

    A snapshot that cannot be read, or is of other features, is left out.
    """
    parts = []
    for info in _infos(folder):
        with suppress(OSError, pl.exceptions.PolarsError):
            rows = pl.scan_parquet(folder / info.id / "rows.parquet").filter(
                pl.col("source").is_in([VerdictLabels.name, CaseLabels.name]), pl.col("label") != BENIGN
            )
            parts.append(rows.select(*NAMES, "label", "network").collect())
    if not parts:
        return np.zeros((0, len(NAMES)), np.float32), np.zeros(0, object)
    frame = pl.concat(parts).unique(maintain_order=True)
    named = frame.select(pl.format("{} at {}", "label", "network")).to_series()
    return np.ascontiguousarray(frame.select(NAMES).to_numpy(), np.float32), named.to_numpy()


def compare_judged(folder: Path, models: Sequence[Model], threshold: float | None) -> JudgedConns | None:
    """Return which conns with verdicts challenger and opponent find; None without any. `threshold` (risk_score) overrides theirs."""
    x, names = judged_conns(folder)
    if not len(x):
        return None
    mine, theirs = (judge(model, x, threshold).alert for model in models)
    lost = set(names[theirs]) - set(names[mine])
    return JudgedConns(int(theirs.sum()), int((mine & theirs).sum()), frozenset(lost))


def compare_week(folder: Path, snapshot: Snapshot, production: Model, held_out: HeldOut, threshold: float | None) -> Week:
    """Return a snapshot's week beside the weeks of the snapshots before it; `held_out` are production's verdicts on its held-out rows."""
    info = snapshot.info
    before = [i for i in _infos(folder) if i.days[-1] < info.days[0]]
    before = list({i.days[0]: i for i in sorted(before, key=lambda i: (i.days[-1], i.made_at))}.values())[-WEEKS_BEFORE:]
    usual, of = (production.spec.conns_a_day or None, "production") if not before else (
        median(_conns_a_day(i) for i in before), f"the {_plural(len(before), 'week')} before it"
    )  # fmt: skip
    last = before[-1] if before else None
    share_before = alerts_before = None
    if last is not None:
        share_before = _attack_share(last)
        with suppress(ModelError):  # it was altered or removed meanwhile: there is nothing to compare with
            earlier = load_snapshot(folder, last.id)
            alerts_before = _benign_alerts(judge_rows(production, earlier), last, production, threshold)
    missing = tuple(sorted(set(last.sensors) - set(info.sensors))) if last is not None else ()
    alerts = _benign_alerts(held_out, info, production, threshold)
    return Week(_conns_a_day(info), usual, of, missing, _attack_share(info), share_before, alerts, alerts_before)


def _plural(n: int, what: str) -> str:
    return what if n == 1 else f"{n} {what}s"


def _infos(folder: Path) -> list[SnapshotInfo]:
    """Return the facts of the snapshots of these features, in the order of their names."""
    found = []
    for path in sorted(folder.glob("*/snapshot.json")):
        with suppress(OSError, ValueError, TypeError):
            info = SnapshotInfo(**json.loads(path.read_text(encoding="utf-8")))
            if info.features_version == FEATURES_VERSION and info.id == path.parent.name and info.days:
                found.append(info)
    return found


def _conns_a_day(info: SnapshotInfo) -> float:
    return info.rows_there / max(len(info.days), 1)


def _attack_share(info: SnapshotInfo) -> float | None:
    own = sum(n for source, n in info.label_sources.items() if source not in {IMPLANTED, REFERENCE})
    return info.label_sources.get("true attack", 0) / own if own else None


def _benign_alerts(held_out: HeldOut, info: SnapshotInfo, model: Model, threshold: float | None) -> float | None:
    own = np.isin(held_out.network.astype(str), info.sensors) & (held_out.label == BENIGN)
    return float(held_out.alert(model.spec, threshold)[own].mean()) if int(own.sum()) >= _LEAST_BENIGN else None


def compare_alerts(models: Sequence[Model], batches: Iterable[pl.DataFrame], networks: tuple[str, ...], threshold: float | None) -> Shadow:
    """Return the alerts that challenger and opponent give on the same conns, grouped as they are sent."""
    extractor, conns = Extractor(networks), 0
    found: tuple[dict[str, str], dict[str, str]] = ({}, {})
    for batch in batches:
        conns += batch.height
        x = extractor.features(batch)
        for model, alerts in zip(models, found, strict=True):
            verdicts = judge(model, x, threshold)
            rows = np.flatnonzero(verdicts.alert)
            if len(rows):
                keys = group_keys(model, batch[rows.tolist()], verdicts, rows)
                alerts |= {k.id: " ".join(filter(None, (k.kind, k.source, k.target and f"> {k.target}"))) for k in keys}
    return Shadow(conns, *found)


def compare_cost(models: Sequence[Model], sizes: tuple[float, float], x: np.ndarray) -> Cost | None:
    """Return what challenger and opponent cost on rows float32[n, features], in CPU time, the least of some runs in turns; None without rows."""
    if not len(x):
        return None
    x = x[:_COST_ROWS]
    took = [[np.inf] * _COST_RUNS for _ in models]
    for run in range(_COST_RUNS):
        for number, model in enumerate(models):
            began = time.process_time()  # other work on the machine does not count
            model.score(x)
            took[number][run] = time.process_time() - began
    mine, theirs = (min(runs) / len(x) * 1e6 for runs in took)
    return Cost((mine, theirs), sizes)


def compare_capture(
    name: str, x: np.ndarray, attack: np.ndarray, benign: np.ndarray, models: Sequence[Model], threshold: float | None
) -> CaptureResult:
    """Return what challenger and opponent find in a labelled capture; nan where it has no attack, or no benign row."""
    alerts = [judge(model, x, threshold).alert for model in models]
    mine, theirs = ((_mean(alert[attack]), _mean(alert[benign])) for alert in alerts)
    return CaptureResult(name, (mine[0], theirs[0]), (mine[1], theirs[1]))


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")
