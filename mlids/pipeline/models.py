"""A model from snapshot to production, and back."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from mlids.errors import ModelError
from mlids.pipeline.days import warm_up
from mlids.pipeline.stores import open_database, open_lake, open_registry
from mlids.settings import Settings, load_settings
from mlids.window import days_between, parse_day

if TYPE_CHECKING:
    from datetime import date

    from mlids.alerts.database import Database
    from mlids.ingest.lake import Lake
    from mlids.training.registry import Registry, Version


def snapshot(start: str, end: str, progress: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Freeze the conns of days from `start` up to, not including, `end`; return the snapshot's facts."""
    from mlids.training.snapshot import SnapshotOptions, take_snapshot

    settings = load_settings()
    lake = open_lake(settings)
    days = days_between(parse_day(start), parse_day(end))
    options = SnapshotOptions(settings.networks, max_rows=settings.train_rows, read_rows=settings.train_read_rows)
    alerts = open_database(settings).judged_alerts()
    info = take_snapshot(lake, settings.home / "snapshots", lake.sensors(), days, options, alerts=alerts, progress=progress)
    return asdict(info)


def train(snapshot_id: str, *, seed: int = 0) -> dict[str, Any]:
    """Train both forests on a snapshot, set the cut by the budget, register the bundle as challenger."""
    from dataclasses import replace

    from mlids.detectors.bundle import Bundle, Fitted
    from mlids.detectors.onnx_graph import with_spec
    from mlids.training.model_card import model_card
    from mlids.training.snapshot import load_snapshot
    from mlids.training.train import budget_threshold
    from mlids.training.train import train as fit
    from mlids.zeek.types import CONN

    settings = load_settings()
    lake, registry = open_lake(settings), open_registry(settings)
    frozen = load_snapshot(settings.home / "snapshots", snapshot_id)
    trained = fit(frozen, seed=seed, budget_per_day=settings.alert_budget_per_day)
    latest, share = _latest(lake, frozen.info.sensors, frozen.info.days, settings.train_read_rows // 2)
    columns = [c.name for c in CONN]
    batches = (b for sensor in frozen.info.sensors for b in lake.batches("conn", sensor, latest, columns, run=(1.0 - share, 1.0)))
    cut, per_day = budget_threshold(
        Bundle(trained.graph), batches, len(latest) * share, settings.alert_budget_per_day, settings.networks,
        screen=Fitted(trained.isolation, trained.spec),
    )  # fmt: skip
    spec = replace(trained.spec, threshold=cut)
    trained = replace(trained, spec=spec, graph=with_spec(trained.graph, spec.as_dict()))
    card = model_card(trained, asdict(frozen.info), per_day, evaluation(settings))
    version = registry.log_training(trained, {"snapshot": asdict(frozen.info), "alerts_per_day_at_threshold": per_day}, card)
    registry.log_metrics(version.run_id, {"threshold": cut, "alerts_per_day": per_day})
    registry.set_alias("challenger", version.version)
    return {
        "version": version.version, "run_id": version.run_id, "snapshot_id": snapshot_id, "threshold": cut,
        "alerts_per_day": per_day, "metrics": trained.metrics, "warm_up": [warm_up(s)["text"] for s in frozen.info.sensors],
    }  # fmt: skip


def _latest(lake: Lake, sensors: Sequence[str], days: Sequence[str], most_rows: int) -> tuple[list[date], float]:
    """Return the last three days, or fewer where they are full, and the share of each that is looked at."""
    for n in (3, 2, 1):
        latest = [parse_day(d) for d in days[-n:]]
        rows = lake.rows("conn", sensors, latest)
        if rows <= most_rows:
            return latest, 1.0
    return latest, most_rows / rows


def evaluate_and_promote(version: str, snapshot_id: str, *, who: str = "airflow", force: bool = False) -> dict[str, Any]:
    """Judge challenger and production on the same held-out rows; promote only what is not worse. Returns the gate."""
    from mlids.training.gate import gate
    from mlids.training.snapshot import load_snapshot
    from mlids.training.train import judge_held_out

    settings = load_settings()
    registry, database = open_registry(settings), open_database(settings)
    frozen = load_snapshot(settings.home / "snapshots", snapshot_id)
    challenger = registry.load(version)
    mine = judge_held_out(challenger, frozen)["hybrid"]
    current = registry.version("production")
    theirs = conns_a_day = None
    if current is not None and current.version != version:
        try:
            production = registry.load("production")
            theirs = judge_held_out(production, frozen)["hybrid"]
            conns_a_day = (challenger.spec.conns_a_day, production.spec.conns_a_day)
        except ModelError:
            theirs = None  # of another feature version, or damaged: it cannot defend its place
    decision = gate(mine, theirs, conns_a_day=conns_a_day)
    if decision.passed or force:
        why = decision.why if decision.passed else f"forced by {who}: {decision.why}"
        _move_production(registry, database, current, version, who=who, action="promote", why=why, gate=json.dumps(asdict(decision)))
    else:
        database.audit(who, "refuse", current.version if current else None, version, decision.why, json.dumps(asdict(decision)))
    return {"version": version, "promoted": decision.passed or force} | asdict(decision)


def _move_production(
    registry: Registry,
    database: Database,
    current: Version | None,
    version: str,
    *,
    who: str,
    action: str,
    why: str,
    gate: str | None = None,
) -> None:
    registry.load(version)  # a version that cannot be loaded is never put in production
    if current is not None and current.version != version:
        registry.set_alias("previous", current.version)
    registry.set_alias("production", version)
    database.audit(who, action, current.version if current else None, version, why, gate)


def rollback(*, to: str | None = None, why: str, who: str = "airflow") -> dict[str, Any]:
    """Put `previous` (or the version named) back into production. Raises ModelError when there is none."""
    settings = load_settings()
    registry, database = open_registry(settings), open_database(settings)
    current = registry.version("production")
    previous = registry.version("previous")
    target = to or (previous.version if previous else None)
    if target is None:
        raise ModelError("there is no previous version to go back to; name one with --to")
    if current is not None and current.version == target:
        raise ModelError(f"version {target} is in production already")
    _move_production(registry, database, current, target, who=who, action="rollback", why=why)
    return {"from": current.version if current else None, "to": target}


def evaluation(settings: Settings) -> dict[str, Any] | None:
    """Return the metrics that `mlids evaluate --out $MLIDS_HOME/evaluation.json` left; None without any."""
    try:
        found = json.loads((settings.home / "evaluation.json").read_text(encoding="utf-8"))
        return found if {"pooled", "macro", "about"} <= set(found) else None
    except (OSError, ValueError):
        return None


def production_facts(settings: Settings) -> dict[str, Any] | None:
    """Return version and metrics of the production model; None without one."""
    version = open_registry(settings).version("production")
    if version is None:
        return None
    return {"version": version.version, "run_id": version.run_id, "metrics": dict(sorted((version.metrics or {}).items()))}
