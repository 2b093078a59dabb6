"""What the gate is asked: challenger and production on the same held-out rows; and its decision in MLflow."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from mlids.errors import ModelError, OtherFeaturesError
from mlids.settings import Settings
from mlids.text import short

if TYPE_CHECKING:
    from mlids.detectors.bundle import Bundle, Model
    from mlids.pipeline.production import Production
    from mlids.training.gate import Gate
    from mlids.training.gate_report import Candidate, GateReport
    from mlids.training.held_out import HeldOut
    from mlids.training.registry import Registry
    from mlids.training.snapshot import Snapshot

log = logging.getLogger(__name__)

Decided = tuple["Gate", tuple["Candidate", ...]]


def decide(registry: Registry, current: Production, version: str, settings: Settings, snapshot_id: str) -> Decided:
    """Return the gate's decision on a version, compared with the current one, and the metrics of the models that were compared.

    A current one that is damaged is a refusal. Raises ModelError when the challenger or the snapshot cannot be loaded.
    """
    from mlids.training.gate import gate, refusal
    from mlids.training.gate_report import CHALLENGER, PRODUCTION
    from mlids.training.held_out import judge_rows
    from mlids.training.snapshot import load_snapshot

    frozen = load_snapshot(settings.home / "snapshots", snapshot_id)
    challenger = registry.load(version)
    own = judge_rows(challenger, frozen)
    mine = own.metrics()["hybrid"]
    first = _candidate(CHALLENGER, f"v{version}", challenger, own, mine, settings.threshold)
    if current.fault is not None:
        return refusal(mine, current.fault), (first,)
    if current.version == version:
        return gate(mine, None), (first,)
    if current.version is None:
        return _against_reference(challenger, own, mine, frozen, settings, first, "no model is in production")
    try:
        production = registry.load(current.version, current.sha256)
        other = judge_rows(production, frozen)
        theirs = other.metrics()["hybrid"]
        if np.isfinite(mine["pr_auc_at_1pct"]) and not np.isfinite(theirs["pr_auc_at_1pct"]):
            raise ModelError("it gives no usable scores on the held-out rows")
        second = _candidate(PRODUCTION, f"v{current.version}", production, other, theirs, settings.threshold)
        found, rows = _found(own, challenger, other, production, settings.threshold, settings.threshold)
    except OtherFeaturesError as error:  # it scores nothing here any more
        why = f"version {current.version} cannot defend its place: {error}"
        return _against_reference(challenger, own, mine, frozen, settings, first, why)
    except (ModelError, ValueError, IndexError, TypeError) as error:  # damaged or lost is not absent: that must not open the gate
        why = f"production, version {current.version}, cannot be compared with: {error}; repair it, or use --force"
        return refusal(mine, why), (first,)
    decision = gate(mine, theirs, conns_a_day=(challenger.spec.conns_a_day, production.spec.conns_a_day), found=found, rows=rows)
    return decision, (first, second)


def _against_reference(
    challenger: Bundle, own: HeldOut, mine: dict[str, float], frozen: Snapshot, settings: Settings, first: Candidate, why: str
) -> Decided:  # fmt: skip
    """Return the gate's decision on a challenger compared with the reference model, which scores until there is another one.

    The reference model is judged at the challenger's lowest threshold: it keeps this site's alert budget, and that of the reference model was
    set on synthetic networks. Raises ModelError when the reference model cannot be used.
    """
    from mlids.detectors.reference import load_reference
    from mlids.detectors.verdict import lowest_threshold
    from mlids.training.gate import gate
    from mlids.training.gate_report import REFERENCE
    from mlids.training.held_out import judge_rows

    reference = load_reference()
    other = judge_rows(reference, frozen)
    theirs = other.metrics()["hybrid"]
    threshold = lowest_threshold(challenger.spec, settings.threshold)
    second = _candidate(REFERENCE, str(reference.version), reference, other, theirs, threshold)
    found, rows = _found(own, challenger, other, reference, settings.threshold, threshold)
    decision = gate(mine, theirs, found=found, rows=rows, reference=f"{reference.version}; {why}")
    return decision, (first, second)


def _found(
    own: HeldOut, challenger: Model, other: HeldOut, opponent: Model, own_threshold: float | None, other_threshold: float | None
) -> tuple[tuple[frozenset[str], frozenset[str]], tuple[float, float]]:
    """Return the held-out attacks that challenger and opponent find at their thresholds, and the shares of their rows."""
    found = own.attacks_found(challenger.spec, own_threshold), other.attacks_found(opponent.spec, other_threshold)
    return found, (own.attack_rows_found(challenger.spec, own_threshold), other.attack_rows_found(opponent.spec, other_threshold))


def _candidate(role: str, version: str, model: Model, held_out: HeldOut, metrics: dict[str, float], threshold: float | None) -> Candidate:
    """Return a model as the report shows it: `metrics`, which need no threshold, and those at its threshold."""
    from mlids.detectors.verdict import lowest_threshold
    from mlids.training.gate_report import Candidate

    at = {"threshold": lowest_threshold(model.spec, threshold), "attacks_found": float(len(held_out.attacks_found(model.spec, threshold)))}
    return Candidate(role, version, metrics | at | held_out.metrics_at(model.spec, threshold).get("hybrid", {}))


def log_gate(registry: Registry, version: str, report: GateReport) -> None:
    """Log a decision to MLflow. A fault there is a warning: the decision stands and is in the audit."""
    try:
        registry.log_gate(version, report)
    except Exception as error:  # noqa: BLE001 — whatever it is, it must not make a decision that is carried out look like a failure
        log.warning("the gate's comparison is not in MLflow, the decision stands: %s", short(error, 200))
