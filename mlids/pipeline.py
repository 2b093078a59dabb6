"""The composition root: reads settings, builds stores, chains stages. What the DAGs and the command line call.

Each function takes and returns plain values (ids, paths, counts), so that they travel through XCom.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlids.errors import InputError, MlidsError, ModelError, NoRowsError, SourceError, StoreError
from mlids.settings import Sensor, Settings, load_settings
from mlids.window import Window, day_window, days_between, parse_day, zone

if TYPE_CHECKING:
    from mlids.alerts.database import Database
    from mlids.alerts.sinks import Sink
    from mlids.detectors.bundle import Bundle, Model
    from mlids.lake import Lake
    from mlids.registry import Registry, Version
    from mlids.sources.archive import Archive


log = logging.getLogger(__name__)


def check_networks(networks: Sequence[str]) -> tuple[str, ...]:
    """Return the networks, checked. Raises InputError naming the one that is no CIDR."""
    for network in networks:
        try:
            ipaddress.ip_network(network)
        except ValueError as error:
            raise InputError(f"{network!r} is not a network: {error} (write it as 192.0.2.0/24)") from None
    return tuple(networks)


def open_lake(settings: Settings) -> Lake:
    """Return the lake."""
    from mlids.lake import Lake

    return Lake(settings.lake)


def open_database(settings: Settings) -> Database:
    """Return the product's own tables."""
    from mlids.alerts.database import Database

    return Database(settings.database)


def open_registry(settings: Settings) -> Registry:
    """Return the model registry."""
    from mlids.registry import Registry

    return Registry(settings.tracking_uri, settings.model_name)


def open_archive(settings: Settings, sensor: Sensor) -> Archive:
    """Return a sensor's archive, connected. Raises SourceError when it cannot be reached."""
    if sensor.kind == "folder":
        from mlids.sources.folder import FolderArchive

        return FolderArchive(sensor.name, Path(sensor.logs))
    from mlids.sources.sftp import SftpArchive

    return SftpArchive(sensor, settings.known_hosts)


def open_sinks(settings: Settings, origin: str = "live") -> list[Sink]:
    """Return the configured alert sinks."""
    from mlids.alerts.sinks import DatabaseSink, ElasticSink, JsonLinesSink

    out: list[Sink] = []
    for name in settings.sinks:
        if name == "sqlite":
            out.append(DatabaseSink(open_database(settings), origin))
        elif name == "jsonl":
            out.append(JsonLinesSink(settings.home / "alerts"))
        else:
            key = settings.elastic_api_key
            sink = ElasticSink(
                settings.elastic_url, api_key=key.get_secret_value() if key else None,
                ca_file=settings.elastic_ca_file, prefix=settings.elastic_prefix,
            )  # fmt: skip
            sink.install()
            out.append(sink)
    return out


def open_model(reference: str) -> Model:
    """Return the model that a file, a folder or a `models:/…` URI names. Raises ModelError when there is none."""
    if reference.startswith(("models:/", "runs:/")):
        return open_registry(load_settings()).load(reference)
    from mlids.detectors.bundle import Bundle

    path = Path(reference)
    if path.is_dir():
        found = sorted(path.rglob("*.onnx"))
        if not found:
            raise ModelError(f"{path}: no .onnx file in it")
        path = found[0]
    if not path.is_file():
        raise ModelError(f"{path}: no such model file")
    return Bundle(path.read_bytes())


def sensor_names(settings: Settings | None = None) -> list[str]:
    """Return the names of the configured sensors. Raises InputError when there is none."""
    settings = settings or load_settings()
    names = [s.name for s in settings.sensors()]
    if not names:
        raise InputError(f"no sensor is configured: describe one in {settings.sensors_file or settings.home / 'sensors.toml'}")
    return names


def pull(sensor_name: str, day: str, progress: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Pull one day of a sensor into landing; return files, bytes and problems."""
    from mlids.sources.pull import pull_day

    settings = load_settings()
    sensor = settings.sensor(sensor_name)
    archive = open_archive(settings, sensor)
    try:
        pulled = pull_day(archive, parse_day(day), settings.landing, sensor.types, progress)
    finally:
        archive.close()  # type: ignore[attr-defined]
    return {
        "sensor": sensor_name, "day": day, "files": len(pulled.files), "new": len(pulled.new), "bytes": pulled.bytes,
        "problems": pulled.problems,
    }  # fmt: skip


def build_lake(sensor_name: str, day: str, problems: Sequence[str] = ()) -> dict[str, Any]:
    """Turn a landed day into Parquet, record it in the ledger, and return rows and rejects.

    `problems` are those of the pull: they go into the ledger too.
    """
    from mlids.sources.pull import day_folder, read_manifest

    settings = load_settings()
    folder = day_folder(settings.landing, sensor_name, parse_day(day))
    landed = read_manifest(folder)
    if not landed:
        raise NoRowsError(f"{folder}: nothing has landed for {sensor_name} {day}; pull it first")
    files = [folder / name for name in sorted(landed) if (folder / name).exists()]
    done = open_lake(settings).ingest(sensor_name, parse_day(day), files, {n: e.sha256 for n, e in landed.items()})
    database = open_database(settings)
    database.put_ledger(
        sensor_name, day, archived=done.logs.get("conn", 0), rejected=done.rejected, files=len(files),
        problems=[*problems, *done.problems],
    )  # fmt: skip
    return asdict(done) | {"conns": done.logs.get("conn", 0), "files": len(files)}


def ingest_paths(sensor_name: str, day: str, paths: Sequence[Path]) -> dict[str, Any]:
    """Put loose log files into the lake as a sensor's day, without a pull."""
    from mlids.zeek.reader import find_logs

    settings = load_settings()
    files = [log for path in paths for log in find_logs(path)]
    done = open_lake(settings).ingest(sensor_name, parse_day(day), files)
    open_database(settings).put_ledger(
        sensor_name, day, archived=done.logs.get("conn", 0), rejected=done.rejected, files=len(files), problems=done.problems
    )
    return asdict(done)


def score_day(sensor_name: str, day: str) -> dict[str, Any]:
    """Score a lake day with the production model and keep its alerts; a second run leaves the same.

    Without a production model nothing is scored, and the outcome says so.
    """
    from mlids.alerts.gather import Gatherer
    from mlids.detectors.verdict import judge
    from mlids.features.extract import Extractor, conn_columns

    settings = load_settings()
    lake, database, registry = open_lake(settings), open_database(settings), open_registry(settings)
    if registry.version("production") is None:
        return {"sensor": sensor_name, "day": day, "scored": 0, "alerts": 0, "model_version": None}
    model = registry.load("production")
    extractor, gatherer = Extractor(settings.networks), Gatherer()
    alerts = {}
    rows = 0
    for batch in lake.batches("conn", sensor_name, [parse_day(day)]):
        for start in range(0, batch.height, 65_536):
            conns = conn_columns(batch.slice(start, 65_536))
            x = extractor.features(conns)
            for alert in gatherer.add(model, conns, x, judge(model, x, settings.threshold)):
                alerts[alert.id] = alert
            rows += conns.height
    window = day_window(parse_day(day), _zone(settings, sensor_name))
    for sink in open_sinks(settings, "batch"):
        sink.write(list(alerts.values()))
    database.drop_day_alerts(sensor_name, window.start, window.end, set(alerts))
    _ledger_scored(database, sensor_name, day, rows, len(alerts))
    return {"sensor": sensor_name, "day": day, "scored": rows, "alerts": len(alerts), "model_version": model.version}


def _zone(settings: Settings, sensor_name: str) -> str:
    return next((s.zone for s in settings.sensors() if s.name == sensor_name), "UTC")


def _ledger_scored(database: Database, sensor: str, day: str, scored: int, alerts: int) -> None:
    for row in database.ledger(parse_day(day), parse_day(day) + timedelta(days=1)):
        if row["sensor"] == sensor:
            database.put_ledger(
                sensor, day, archived=row["archived"], rejected=row["rejected"], files=row["files"], problems=row["problems"],
                scored=scored, alerts=alerts,
            )  # fmt: skip


def snapshot(start: str, end: str, progress: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Freeze the conns of days from `start` up to, not including, `end`; return the snapshot's facts."""
    from mlids.snapshot import take_snapshot

    settings = load_settings()
    lake = open_lake(settings)
    days = days_between(parse_day(start), parse_day(end))
    info = take_snapshot(
        lake, settings.home / "snapshots", lake.sensors(), days, networks=settings.networks,
        max_rows=settings.train_rows, progress=progress,
    )  # fmt: skip
    return asdict(info)


def train(snapshot_id: str, *, seed: int = 0) -> dict[str, Any]:
    """Train both forests on a snapshot, set the cut by the budget, register the bundle as challenger."""
    from dataclasses import replace

    from mlids.detectors.bundle import Bundle
    from mlids.detectors.onnx_graph import with_spec
    from mlids.snapshot import load_snapshot
    from mlids.train import budget_threshold
    from mlids.train import train as fit
    from mlids.zeek.types import CONN

    settings = load_settings()
    lake, registry = open_lake(settings), open_registry(settings)
    frozen = load_snapshot(settings.home / "snapshots", snapshot_id)
    trained = fit(frozen, seed=seed, budget_per_day=settings.alert_budget_per_day)
    latest = [parse_day(d) for d in frozen.info.days[-3:]]
    columns = [c.name for c in CONN]
    batches = (b for sensor in frozen.info.sensors for b in lake.batches("conn", sensor, latest, columns))
    cut, per_day = budget_threshold(
        Bundle(trained.graph), batches, len(latest), settings.alert_budget_per_day, settings.networks
    )
    spec = replace(trained.spec, threshold=cut)
    trained = replace(trained, spec=spec, graph=with_spec(trained.graph, spec.as_dict()))
    version = registry.log_training(trained, {"snapshot": asdict(frozen.info), "alerts_per_day_at_threshold": per_day})
    registry.log_metrics(version.run_id, {"threshold": cut, "alerts_per_day": per_day})
    registry.set_alias("challenger", version.version)
    return {
        "version": version.version, "run_id": version.run_id, "snapshot_id": snapshot_id, "threshold": cut,
        "alerts_per_day": per_day, "figures": trained.figures,
    }  # fmt: skip


def evaluate_and_promote(version: str, snapshot_id: str, *, who: str = "airflow", force: bool = False) -> dict[str, Any]:
    """Judge challenger and production on the same held-out rows; promote only what is not worse. Returns the gate."""
    from mlids.evaluate import gate
    from mlids.snapshot import load_snapshot
    from mlids.train import judge_held_out

    settings = load_settings()
    registry, database = open_registry(settings), open_database(settings)
    frozen = load_snapshot(settings.home / "snapshots", snapshot_id)
    mine = judge_held_out(registry.load(version), frozen)["hybrid"]
    current = registry.version("production")
    theirs = None
    if current is not None and current.version != version:
        try:
            theirs = judge_held_out(registry.load("production"), frozen)["hybrid"]
        except ModelError:
            theirs = None  # of another feature version, or damaged: it cannot defend its place
    decision = gate(mine, theirs)
    if decision.passed or force:
        why = decision.why if decision.passed else f"forced by {who}: {decision.why}"
        _move_production(registry, database, current, version, who=who, action="promote", why=why, gate=json.dumps(asdict(decision)))
    else:
        database.audit(who, "refuse", current.version if current else None, version, decision.why, json.dumps(asdict(decision)))
    return {"version": version, "promoted": decision.passed or force} | asdict(decision)


def _move_production(
    registry: Registry, database: Database, current: Version | None, version: str, *, who: str, action: str, why: str, gate: str | None = None
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


def drift(start: str, end: str, days: int | None = None) -> dict[str, Any]:
    """Compare the days of `start`..`end` with as many before them; file the page, log the effects to MLflow."""
    from mlids.drift import compare

    settings = load_settings()
    lake, registry = open_lake(settings), open_registry(settings)
    current = days_between(parse_day(start), parse_day(end))
    span = days or len(current)
    reference = days_between(parse_day(start) - timedelta(days=span), parse_day(start))
    name = f"drift-{start}_{end}"
    found = compare(lake, lake.sensors(), reference, current, settings.reports / f"{name}.html")
    facts = found.as_dict()
    path = settings.reports / f"{name}.json"
    from mlids.sources.pull import write_aside

    write_aside(path, json.dumps(facts, indent=1))
    metrics = {f"drift_{k}": v for k, v in found.effects.items()} | {"drift_share": found.share}
    facts["run_id"] = registry.log_report(name, metrics, {"drift": Path(found.html)})
    return facts


def report(start: str, end: str) -> dict[str, Any]:
    """Write the report over days from `start` up to, not including, `end`; return its files."""
    from mlids.assets import asset_folder
    from mlids.report import summarize, write_report

    settings = load_settings()
    database = open_database(settings)
    first, last = parse_day(start), parse_day(end)
    window = Window(day_window(first).start, day_window(last).start)
    alerts = database.alerts(since=window.start, until=window.end, limit=10_000)
    drift_file = settings.reports / f"drift-{start}_{end}.json"
    try:
        compared = json.loads(drift_file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        compared = None
    content = summarize(window, alerts, database.ledger(first, last), compared, production_facts(settings), database.audit_rows(10))
    files = write_report(settings.reports, asset_folder("reports_templates"), content, f"weekly-{start}_{end}")
    return {
        "html": str(files.html), "pdf": str(files.pdf) if files.pdf else None, "why": files.why,
        "alerts": len(alerts), "drift": compared is not None,
    }  # fmt: skip


def production_facts(settings: Settings) -> dict[str, Any] | None:
    """Return version and figures of the production model; None without one."""
    version = open_registry(settings).version("production")
    if version is None:
        return None
    return {"version": version.version, "run_id": version.run_id, "metrics": dict(sorted((version.metrics or {}).items()))}


def score_live(sensor_name: str, seconds: float | None = None) -> dict[str, Any]:
    """Follow a sensor's growing log and score it, for `seconds` or until told to stop (SIGTERM, Ctrl-C)."""
    from mlids.scorer import Scorer
    from mlids.sources.follow import open_place

    settings = load_settings()
    sensor = settings.sensor(sensor_name)
    registry = open_registry(settings)

    def version() -> str | None:
        found = registry.version("production")
        return found.version if found else None

    scorer = Scorer(
        sensor, open_place=lambda: open_place(sensor, settings.known_hosts), load_model=lambda: _good_model(settings, registry),
        model_version=version, sinks=open_sinks(settings), state=settings.state, networks=settings.networks,
        threshold=settings.threshold, poll_s=settings.poll_interval_s,
    )  # fmt: skip
    before = {}
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            before[number] = signal.signal(number, lambda *_: scorer.stop())
        except ValueError:  # not the main thread: the caller stops it otherwise
            break
    try:
        return asdict(scorer.run(seconds))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _good_model(settings: Settings, registry: Registry) -> Bundle:
    """Return the production model, or the last good one kept on disk while MLflow is down."""
    from mlids.detectors.bundle import Bundle

    kept = settings.state / "production.onnx"
    try:
        model = registry.load("production")
    except StoreError:
        if not kept.exists():
            raise
        return Bundle(kept.read_bytes(), (settings.state / "production.version").read_text(encoding="utf-8"))
    kept.parent.mkdir(parents=True, exist_ok=True)
    aside = kept.with_name(f".{kept.name}.{os.getpid()}.part")
    aside.write_bytes(model.graph)
    (settings.state / "production.version").write_text(model.version or "", encoding="utf-8")
    aside.replace(kept)
    return model


def statuses(settings: Settings | None = None) -> list[dict[str, Any]]:
    """Return the status files of all scorers."""
    settings = settings or load_settings()
    out = []
    for path in sorted(settings.state.glob("*/status.json")):
        try:
            out.append(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            continue
    return out


def overview(limit: int = 200) -> dict[str, Any]:
    """Return what the page in the Airflow UI shows: alerts, model, ledger, scorers, reports."""
    settings = load_settings()
    database = open_database(settings)
    try:
        model = production_facts(settings)
    except MlidsError as error:
        model = {"version": None, "error": str(error), "metrics": {}}
    reports = sorted((p.name for p in settings.reports.glob("*.*") if p.suffix in {".html", ".pdf"} and not p.name.startswith(".")), reverse=True)
    return {
        "alerts": database.alerts(limit=limit), "model": model, "ledger": database.ledger()[:60], "audit": database.audit_rows(10),
        "scorers": statuses(settings), "reports": reports[:40],
    }  # fmt: skip


def span(start: str | None, end: str | None, interval_end: datetime | None, days: int = 7) -> tuple[str, str]:
    """Return the days asked for, or the `days` days that end before the interval's last midnight.

    Raises InputError when only one end was given, or neither and there is no interval.
    """
    if start and end:
        if parse_day(start) >= parse_day(end):
            raise InputError(f"start {start} must lie before end {end}")
        return start, end
    if start or end:
        raise InputError("give both `start` and `end`, or neither")
    if interval_end is None:
        raise InputError("this run has no data interval: give `start` and `end`")
    last = interval_end.date()
    return (last - timedelta(days=days)).isoformat(), last.isoformat()


def days_are_there(start: str, end: str) -> bool:
    """Say whether the lake holds any conns of these days; a new site has none at first, and that is no failure."""
    lake = open_lake(load_settings())
    days = days_between(parse_day(start), parse_day(end))
    found = any(lake.manifest("conn", sensor, day) for sensor in lake.sensors() for day in days)
    if not found:
        log.warning("the lake holds no conns of these days yet: nothing to do", extra={"start": start, "end": end})
    return found


def days_to_pull(sensors: Sequence[str] | None, day: str | None, interval_end: datetime | None) -> list[dict[str, str]]:
    """Return sensor and day of each pull: the day given, or the last one that has ended in the sensor's zone.

    Raises SettingsError for an unknown sensor, InputError without a day and an interval.
    """
    settings = load_settings()
    out = []
    for name in sensors or sensor_names(settings):
        if day is not None:
            out.append({"sensor": name, "day": parse_day(day).isoformat()})
            continue
        if interval_end is None:
            raise InputError("this run has no data interval: give `day`")
        local = interval_end.astimezone(zone(settings.sensor(name).zone))
        out.append({"sensor": name, "day": (local.date() - timedelta(days=1)).isoformat()})
    return out


def pull_with_late(sensor_name: str, day: str) -> dict[str, Any]:
    """Pull a day, and what came late for the day before when that is in the lake; return what landed anew."""
    pulled = pull(sensor_name, day)
    before = (parse_day(day) - timedelta(days=1)).isoformat()
    pulled["late"] = None
    if open_lake(load_settings()).manifest("conn", sensor_name, before) is not None:
        try:
            late = pull(sensor_name, before)
        except SourceError:
            late = None  # the sensor keeps no such day any more: what is in the lake stays
        if late and late["new"]:
            pulled["late"] = late
    return pulled


def build_lake_days(pulled: dict[str, Any]) -> dict[str, Any]:
    """Build the day that was pulled, and the day before when hours of it came late."""
    some = [pulled, *([pulled["late"]] if pulled.get("late") else [])]
    built = [build_lake(p["sensor"], p["day"], p["problems"]) for p in some]
    return {"sensor": pulled["sensor"], "days": [b["day"] for b in built], "built": built}


def score_days(sensor_name: str, days: Sequence[str]) -> dict[str, Any]:
    """Score lake days of a sensor."""
    done = [score_day(sensor_name, day) for day in days]
    return {"sensor": sensor_name, "days": done, "alerts": sum(d["alerts"] for d in done)}


def score_unscored(limit: int = 60) -> list[dict[str, Any]]:
    """Score the days in the lake that no model has scored yet, oldest first."""
    database = open_database(load_settings())
    waiting = [r for r in database.ledger() if r["scored"] is None][:limit]
    return [score_day(r["sensor"], r["day"]) for r in reversed(waiting)]
