"""What the gate is asked: challenger and production on the same rows; and its decision in MLflow."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlids.alerts.stores.audit import AuditStore
from mlids.errors import ModelError, OtherFeaturesError
from mlids.pipeline.stores import open_lake
from mlids.settings import Settings
from mlids.text import short
from mlids.window import parse_day

if TYPE_CHECKING:
    from mlids.detectors.bundle import Bundle, Model
    from mlids.pipeline.production import Production
    from mlids.training.gate import Gate, Measured
    from mlids.training.gate_inputs import CaptureResult, Shadow
    from mlids.training.gate_report import Candidate, GateReport
    from mlids.training.held_out import HeldOut
    from mlids.training.registry import Registry
    from mlids.training.snapshot import Snapshot

log = logging.getLogger(__name__)

Decided = tuple["Gate", tuple["Candidate", ...]]
# Versions before production that the challenger is compared with, and conns of the latest day that both models score.
_EARLIER, _SHADOW_ROWS = 3, 400_000


def decide(registry: Registry, audit: AuditStore, current: Production, version: str, settings: Settings, snapshot_id: str) -> Decided:
    """Return the gate's decision on a version, compared with the current one, and the metrics of the models that were compared.

    A current one that is damaged is a refusal. Raises ModelError when the challenger or the snapshot cannot be loaded, InputError for
    captures of `gate_captures` that cannot be used.
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
        return gate(mine, None, rules=settings), (first,)
    asked = _Asked(settings, frozen, challenger, own, mine, first)
    if current.version is None:
        return asked.against_reference("no model is in production")
    try:
        production = registry.load(current.version, current.sha256)
        other = judge_rows(production, frozen)
        theirs = other.metrics()["hybrid"]
        if np.isfinite(mine["pr_auc_at_1pct"]) and not np.isfinite(theirs["pr_auc_at_1pct"]):
            raise ModelError("it gives no usable scores on the held-out rows")
        second = _candidate(PRODUCTION, f"v{current.version}", production, other, theirs, settings.threshold)
        measured = asked.measured(production, other, _earlier(registry, audit, {version, current.version}, frozen, settings.threshold))
    except OtherFeaturesError as error:  # it scores nothing here any more
        return asked.against_reference(f"version {current.version} cannot defend its place: {error}")
    except (ModelError, ValueError, IndexError, TypeError) as error:  # damaged or lost is not absent: that must not open the gate
        why = f"production, version {current.version}, cannot be compared with: {error}; repair it, or use --force"
        return refusal(mine, why), (first,)
    return gate(mine, theirs, measured, rules=settings, budget_per_day=settings.alert_budget_per_day), (first, second)


@dataclass(frozen=True)
class _Asked:
    """A challenger with its verdicts on the held-out rows of a snapshot, and its metrics there."""

    settings: Settings
    frozen: Snapshot
    challenger: Bundle
    own: HeldOut
    mine: dict[str, float]
    first: Candidate

    def against_reference(self, why: str) -> Decided:
        """Return the gate's decision compared with the reference model, which scores until there is another one.

        The reference model is judged at the challenger's lowest threshold: it keeps this site's alert budget, and that of the
        reference model was set on synthetic networks. Raises ModelError when the reference model cannot be used.
        """
        from mlids.detectors.reference import load_reference
        from mlids.detectors.verdict import lowest_threshold
        from mlids.training.gate import Measured, gate
        from mlids.training.gate_report import REFERENCE
        from mlids.training.held_out import judge_rows

        reference = load_reference()
        other = judge_rows(reference, self.frozen)
        theirs = other.metrics()["hybrid"]
        threshold = lowest_threshold(self.challenger.spec, self.settings.threshold)
        second = _candidate(REFERENCE, str(reference.version), reference, other, theirs, threshold)
        found, rows = self._found(other, reference, threshold)
        decision = gate(self.mine, theirs, Measured(found, rows), rules=self.settings, reference=f"{reference.version}; {why}")
        return decision, (self.first, second)

    def measured(self, production: Bundle, other: HeldOut, earlier: dict[str, float]) -> Measured:
        """Return all that the gate compares with a model in production; `other` are its verdicts on the held-out rows."""
        from mlids.training.gate import Measured
        from mlids.training.gate_inputs import compare_cost, compare_judged, compare_week

        folder, threshold, models = self.settings.home / "snapshots", self.settings.threshold, (self.challenger, production)
        found, rows = self._found(other, production, threshold)
        return Measured(
            found, rows, earlier,
            judged=compare_judged(folder, models, threshold),
            week=compare_week(folder, self.frozen, production, other, threshold),
            shadow=self._shadow(models),
            cost=compare_cost(models, (float(len(self.challenger.graph)), float(len(production.graph))), self.own.x),
            captures=self._captures(models),
        )  # fmt: skip

    def _found(
        self, other: HeldOut, opponent: Model, other_threshold: float | None
    ) -> tuple[tuple[frozenset[str], frozenset[str]], tuple[float, float]]:
        """Return the held-out attacks that challenger and opponent find at their thresholds, and the shares of their rows."""
        own, spec, threshold = self.own, self.challenger.spec, self.settings.threshold
        found = own.attacks_found(spec, threshold), other.attacks_found(opponent.spec, other_threshold)
        return found, (own.attack_rows_found(spec, threshold), other.attack_rows_found(opponent.spec, other_threshold))

    def _shadow(self, models: tuple[Bundle, Bundle]) -> Shadow | None:
        """Return the alerts of both models on the latest day of the snapshot that the lake still holds; of a full one the last hours."""
        from mlids.training.gate_inputs import compare_alerts
        from mlids.zeek.types import CONN

        lake, info, columns = open_lake(self.settings), self.frozen.info, [c.name for c in CONN]
        with lake.pinned() as held:
            for day in map(parse_day, reversed(info.days)):
                rows = held.rows("conn", info.sensors, [day])
                if rows:
                    begin = max(0.0, 1.0 - _SHADOW_ROWS / rows)
                    batches = (b for sensor in info.sensors for b in held.batches("conn", sensor, [day], columns, run=(begin, 1.0)))
                    return compare_alerts(models, batches, self.settings.networks, self.settings.threshold)
        return None

    def _captures(self, models: tuple[Bundle, Bundle]) -> tuple[CaptureResult, ...]:
        if self.settings.gate_captures is None:
            return ()
        from mlids.training.cross_capture.captures import load_capture
        from mlids.training.cross_capture.listing import read_listing
        from mlids.training.gate_inputs import compare_capture

        found = (load_capture(c) for c in read_listing(self.settings.gate_captures, self.settings.gate_captures_data))
        return tuple(compare_capture(c.name, c.x, c.attack, c.benign, models, self.settings.threshold) for c in found)


def _earlier(registry: Registry, audit: AuditStore, without: set[str], frozen: Snapshot, threshold: float | None) -> dict[str, float]:
    """Return the share of held-out attack rows that the latest versions before production find; those that cannot be loaded are left out."""
    from mlids.training.held_out import judge_rows

    found: dict[str, float] = {}
    for version in audit.in_production():
        if len(found) == _EARLIER:
            break
        if version not in without:
            try:
                model = registry.load(version)
                found[version] = judge_rows(model, frozen).attack_rows_found(model.spec, threshold)
            except (ModelError, ValueError, IndexError, TypeError) as error:
                log.info("version %s, in production before, is not compared with: %s", version, short(str(error), 200))
    return found


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
