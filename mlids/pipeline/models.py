"""From snapshot to a model in production: snapshot, train, evaluate and promote, roll back."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from mlids.errors import InputError, ModelError
from mlids.pipeline.days import warm_up
from mlids.pipeline.stores import open_lake, open_registry, open_stores
from mlids.settings import Settings, load_settings
from mlids.window import days_between, parse_day

if TYPE_CHECKING:
    from datetime import date

    from mlids.alerts.stores.audit import AuditStore
    from mlids.detectors.record_forests import RecordForest
    from mlids.ingest.lake import Lake
    from mlids.pipeline.production import Production
    from mlids.training.registry import Registry


def snapshot(
    start: str, end: str, progress: Callable[[str], None] = lambda _: None, *, sensors: Sequence[str] | None = None
) -> dict[str, Any]:
    """Freeze the conns of days from `start` up to, not including, `end`, of all sensors in the lake or of these; return the snapshot's facts.

    Raises InputError for a sensor that the lake does not have.
    """
    from mlids.training.snapshot import SnapshotOptions, take_snapshot

    settings = load_settings()
    lake = open_lake(settings)
    days = days_between(parse_day(start), parse_day(end))
    options = SnapshotOptions(settings.networks, max_rows=settings.train_rows, read_rows=settings.train_read_rows)
    stores = open_stores(settings)
    alerts, cases = stores.alerts.judged(), stores.cases.judged()
    info = take_snapshot(
        lake, settings.home / "snapshots", _in_lake(lake, sensors), days, options, alerts=alerts, cases=cases, progress=progress
    )
    return asdict(info)


def _in_lake(lake: Lake, sensors: Sequence[str] | None) -> list[str]:
    known = lake.sensors()
    unknown = sorted(set(sensors or ()) - set(known))
    if unknown:
        raise InputError(f"the lake has nothing of {', '.join(unknown)} (it has: {', '.join(known) or 'no sensor'})")
    return [s for s in known if not sensors or s in sensors]


def train(snapshot_id: str, *, seed: int = 0) -> dict[str, Any]:
    """Train both forests on a snapshot, set the threshold by the budget, register the model as challenger; return its version."""
    from mlids.detectors.bundle import Bundle, Fitted, with_record_forests
    from mlids.detectors.onnx_graph import with_spec
    from mlids.training.model_card import model_card
    from mlids.training.runs import TrainingFacts
    from mlids.training.snapshot import load_snapshot
    from mlids.training.train import budget_thresholds
    from mlids.training.train import train as fit
    from mlids.zeek.types import CONN

    settings = load_settings()
    lake, registry = open_lake(settings), open_registry(settings)
    frozen = load_snapshot(settings.home / "snapshots", snapshot_id)
    trained = fit(frozen, seed=seed, budget_per_day=settings.alert_budget_per_day)
    latest, share = _latest(lake, frozen.info.sensors, frozen.info.days, settings.train_read_rows // 2)
    columns = [c.name for c in CONN]
    batches = (b for sensor in frozen.info.sensors for b in lake.batches("conn", sensor, latest, columns, run=(1.0 - share, 1.0)))
    found = budget_thresholds(
        Bundle(trained.graph), batches, len(latest) * share, settings.alert_budget_per_day, settings.networks,
        screen=Fitted(trained.isolation, trained.spec),
    )  # fmt: skip
    threshold, per_day = found.lowest, found.alerts_per_day
    spec = replace(trained.spec, threshold=threshold, thresholds=found.by_way)
    forests = _record_forests(lake, frozen.info.sensors, frozen.info.days, settings.train_read_rows, seed)
    record_rows = {name: forest.rows for name, forest in forests.items()}
    trained = replace(trained, spec=spec, graph=with_record_forests(with_spec(trained.graph, spec.as_dict()), forests))
    measured = evaluation(settings)
    card = model_card(trained, asdict(frozen.info), per_day, measured)
    version = registry.log_training(trained, TrainingFacts(card, found, record_rows, measured, settings.home / "snapshots" / snapshot_id))
    registry.set_alias("challenger", version.version)
    return {
        "version": version.version, "run_id": version.run_id, "snapshot_id": snapshot_id, "threshold": threshold,
        "alerts_per_day": per_day, "metrics": trained.metrics, "record_rows": record_rows,
        "warm_up": [warm_up(s)["text"] for s in frozen.info.sensors],
    }  # fmt: skip


def trained_before(snapshot_id: str, *, seed: int = 0) -> dict[str, Any] | None:
    """Return the newest version that this code trained on a snapshot with a seed, as `train` does; None when there is none.

    A week that is built again, by a backfill, gets no second version of the same forests. Raises StoreError.
    """
    held = open_registry(load_settings()).trained_on(snapshot_id, seed)
    return None if held is None else {"version": held.version, "run_id": held.run_id, "snapshot_id": snapshot_id}


def _record_forests(lake: Lake, sensors: Sequence[str], days: Sequence[str], most_rows: int, seed: int) -> dict[str, RecordForest]:
    """Return a forest of each of http, dns, ssh and ssl that the lake holds for these days, fitted on a sample of its records.

    Of a log with more than `most_rows` records, a stretch of hours of each day is read: early on the first day, late on the last.
    """
    from mlids.features.records import RECORD_LOGS
    from mlids.scoring.records import RecordSamples

    samples = RecordSamples()
    dates = [parse_day(day) for day in days]
    for name, log in RECORD_LOGS.items():
        share = min(1.0, most_rows / max(lake.rows(name, sensors, dates), 1))
        for sensor in sensors:
            for number, day in enumerate(dates):
                manifest = lake.manifest(name, sensor, day)
                columns = [c for c in log.columns if manifest is not None and c in manifest.columns]
                begin = (1.0 - share) * number / max(len(dates) - 1, 1)
                for rows in lake.batches(name, sensor, [day], columns, run=(begin, begin + share)) if columns else ():
                    samples.add(name, rows)
    return samples.forests(seed=seed)


def _latest(lake: Lake, sensors: Sequence[str], days: Sequence[str], most_rows: int) -> tuple[list[date], float]:
    """Return the last three days, or fewer when they exceed `most_rows`, and the share of each day that is read."""
    for n in (3, 2, 1):
        latest = [parse_day(d) for d in days[-n:]]
        rows = lake.rows("conn", sensors, latest)
        if rows <= most_rows:
            return latest, 1.0
    return latest, most_rows / rows


def evaluate_and_promote(version: str, snapshot_id: str, *, who: str = "airflow", force: bool = False, reason: str = "") -> dict[str, Any]:
    """Evaluate challenger and production on the same held-out rows, promote the challenger when it is not worse, return the decision.

    `force` promotes it although it is worse, and the audit says so; `reason` is what a person says, for the audit. A challenger of a
    week older than production's is never promoted. Raises ModelError when the challenger cannot be loaded.
    """
    from mlids.alerts.stores.audit import Move
    from mlids.pipeline.gating import decide, log_gate
    from mlids.pipeline.production import find_production
    from mlids.pipeline.promotion import heal_promotions, move_production, older_week, promotion_lock
    from mlids.training.gate import Check
    from mlids.training.gate_report import GateReport

    settings = load_settings()
    registry, audit = open_registry(settings), open_stores(settings).audit
    compared = _settled(registry, audit, settings)
    while True:
        # This takes minutes: a rollback need not wait for it.
        decision, candidates = decide(registry, audit, compared, version, settings, snapshot_id)
        older = older_week(registry, compared.version, version, snapshot_id)
        if older:
            decision = replace(decision, passed=False, why=older, checks=(Check("newer week", False, older), *decision.checks))
        is_forced = force and not decision.passed and not older
        asked = f"; asked for by {who}: {reason}" if reason else ""
        why = f"forced by {who}: {f'{reason}; ' if reason else ''}{decision.why}" if is_forced else f"{decision.why}{asked}"
        promoted = decision.passed or is_forced
        outcome = "promoted" if decision.passed else "forced" if is_forced else "refused"
        with promotion_lock(settings.state):
            heal_promotions(registry, audit)
            current = find_production(registry, audit)
            if current != compared:  # another promotion came first: the decision is on what is in production now
                compared = current
                continue
            move = Move(who, "promote" if promoted else "refuse", current.version, version, why, json.dumps(asdict(decision)))
            if promoted:
                move_production(registry, audit, move)
            else:
                audit.record(move)
        log_gate(registry, version, GateReport(outcome, why, snapshot_id, candidates, decision.checks))
        return {"version": version, "promoted": promoted} | asdict(decision)


def _settled(registry: Registry, audit: AuditStore, settings: Settings) -> Production:
    """Settle interrupted moves and return what is in production."""
    from mlids.pipeline.production import find_production
    from mlids.pipeline.promotion import heal_promotions, promotion_lock

    with promotion_lock(settings.state):
        heal_promotions(registry, audit)
        return find_production(registry, audit)


def rollback(*, to: str | None = None, why: str, who: str = "airflow") -> dict[str, Any]:
    """Put `previous`, or the version `to`, back into production; return the versions `from` and `to`.

    Raises ModelError when there is no such version, or it is in production already.
    """
    from mlids.alerts.stores.audit import Move
    from mlids.pipeline.production import find_production
    from mlids.pipeline.promotion import heal_promotions, move_production, promotion_lock

    settings = load_settings()
    registry, audit = open_registry(settings), open_stores(settings).audit
    with promotion_lock(settings.state):
        heal_promotions(registry, audit)
        current, alias, previous = find_production(registry, audit), registry.version("production"), registry.version("previous")
        target = to or (previous.version if previous else None)
        if target is None:
            raise ModelError("there is no previous version to go back to; name one with --to")
        if to is None and not audit.was_in_production(target):
            raise ModelError(f"the alias previous points at version {target}, which was never in production; name one with --to")
        before = alias.version if alias else None
        if before == target and current.fault is None:
            raise ModelError(f"version {target} is in production already")
        # `previous` becomes what the audit had in production, not where somebody moved the alias to.
        left = current.version if current.version != target else None
        if current.fault is not None:
            why += f" (the alias was at version {before or 'none'}, without an audit row)"
        move_production(registry, audit, Move(who, "rollback", left, target, why))
    return {"from": before, "to": target}


def accept(version: str, *, sha256: str, why: str, who: str = "airflow") -> dict[str, Any]:
    """Seal a version that was not registered by `train` with this site's key, after a person has checked its SHA-256; return both.

    Raises InputError when the registry holds another graph, ModelError when the graph cannot be used, or there is no such version.
    """
    from mlids.alerts.stores.audit import Move
    from mlids.detectors.bundle import Bundle
    from mlids.detectors.self_test import check_not_blind
    from mlids.training.seal import digest_of

    settings = load_settings()
    registry, audit = open_registry(settings), open_stores(settings).audit
    graph = registry.download_unsealed(version)
    found = digest_of(graph)
    if found != sha256.strip().lower():
        raise InputError(f"version {version} in the registry has the SHA-256 {found}, and not the given one; nothing was accepted")
    check_not_blind(Bundle(graph, version))
    audit.record(Move(who, "accept", None, version, why, sha256=found))
    registry.seal(version, graph)
    return {"version": version, "sha256": found}


def evaluation(settings: Settings) -> dict[str, Any] | None:
    """Return the metrics that `mlids evaluate --out $MLIDS_HOME/evaluation.json` wrote; None without that file."""
    try:
        found = json.loads((settings.home / "evaluation.json").read_text(encoding="utf-8"))
        return found if {"pooled", "macro", "about"} <= set(found) else None
    except (OSError, ValueError):
        return None


def production_facts(settings: Settings) -> dict[str, Any] | None:
    """Return version and metrics of the production model, those of older versions under today's names, and an `error` when the alias is not where the audit says; None without one."""
    from mlids.pipeline.production import find_production
    from mlids.training.experiments import OLD_PREFIX

    registry = open_registry(settings)
    found = find_production(registry, open_stores(settings).audit)
    if found.version is None and found.fault is None:
        return None
    held = registry.find(found.version) if found.version is not None else None
    facts: dict[str, Any] = {"version": found.version, "run_id": held.run_id if held else "", "error": found.fault}
    metrics = {name.removeprefix(OLD_PREFIX): value for name, value in ((held.metrics if held else None) or {}).items()}
    return facts | {"metrics": dict(sorted(metrics.items()))}
