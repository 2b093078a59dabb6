"""One day of a sensor: pulled, ingested into the lake, and reconciled with what was scored live."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlids.errors import NoRowsError, SourceError, StoreError, os_fault
from mlids.locks import locked_file, pinned
from mlids.pipeline.cases import gather, read_evidence
from mlids.pipeline.production import usable_production
from mlids.pipeline.stores import open_archive, open_delivery, open_lake, open_record, open_registry, open_stores
from mlids.settings import Settings, load_settings
from mlids.window import Window, day_window, parse_day

if TYPE_CHECKING:
    from mlids.alerts.aggregation import AlertAggregator
    from mlids.alerts.stores.ledger import LedgerStore
    from mlids.detectors.bundle import Bundle
    from mlids.evidence.base import SiteView
    from mlids.evidence.collecting import Collectors
    from mlids.ingest.day_manifest import DayManifest
    from mlids.ingest.lake import Ingested, Lake
    from mlids.ingest.landing import LandedDay
    from mlids.scoring.late import Hour, Reconciled

log = logging.getLogger(__name__)

# The record of live scored rows is kept this long: an archived hour may arrive that late.
KEEP_DAYS = 14
# Conns that ended further outside their day than this are of a clock that was wrong.
_CLOCK_BOUND = timedelta(hours=1)


def pull(sensor_name: str, day: str, progress: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Pull one day of a sensor into landing; return files, bytes and problems. Another pull from that sensor is waited for."""
    from mlids.ingest.pull import PullOptions, pull_day

    settings = load_settings()
    sensor = settings.sensor(sensor_name)
    with _one_pull(settings, sensor_name, progress), closing(open_archive(settings, sensor)) as archive:
        pulled = pull_day(archive, parse_day(day), settings.landing, sensor.types, PullOptions(sensor.max_file_gib << 30, progress))
    return {
        "sensor": sensor_name, "day": day, "files": len(pulled.files), "new": len(pulled.new), "bytes": pulled.bytes,
        "problems": pulled.problems,
    }  # fmt: skip


@contextmanager
def _one_pull(settings: Settings, sensor_name: str, progress: Callable[[str], None]) -> Iterator[None]:
    """Let one process at a time pull from a sensor: two would halve each other's speed, and burden a machine that captures packets."""
    path = settings.landing / sensor_name / "pull.lock"
    try:
        with ExitStack() as stack:
            try:
                stack.enter_context(locked_file(path, wait=False))
            except BlockingIOError:
                log.info("another pull from this sensor is running; waiting for it", extra={"sensor": sensor_name})
                progress(f"waiting for another pull from {sensor_name}")
                stack.enter_context(locked_file(path))
            yield
    except OSError as error:
        if error.filename != str(path):
            raise
        raise StoreError(os_fault(error, path)) from error


def trust(sensor_name: str, fingerprint: str) -> dict[str, str]:
    """Add a sensor's host key to the known hosts when it has this fingerprint; return both.

    Raises HostKeyError when the sensor has another key, SourceError when it cannot be reached.
    """
    from mlids.ingest import ssh

    settings = load_settings()
    added = ssh.trust(settings.sensor(sensor_name), settings.known_hosts, fingerprint)
    return {"fingerprint": added, "known_hosts": str(settings.known_hosts)}


def build_lake(sensor_name: str, day: str, problems: Sequence[str] = (), *, accept_shrunk: bool = False) -> dict[str, Any]:
    """Ingest a landed day into the lake, record it in the ledger, and return its rows and rejected lines.

    `problems` are those of the pull, which the ledger records as well. With `accept_shrunk` files and logs that became
    smaller replace what is held. Raises NoRowsError when nothing has landed.
    """
    from mlids.ingest.landing import read_landed

    settings = load_settings()
    landed = read_landed(settings.landing, sensor_name, parse_day(day))
    if not landed.files:
        raise NoRowsError(f"{landed.folder}: nothing has landed for {sensor_name} {day}; pull it first")
    with pinned(landed.folder):  # housekeeping leaves it alone, and a pull of this day waits
        return _build(settings, landed, problems, accept_shrunk)


def _build(settings: Settings, landed: LandedDay, problems: Sequence[str], accept_shrunk: bool) -> dict[str, Any]:
    if accept_shrunk:
        landed.accept_smaller()
    sensor_name, day = landed.sensor, landed.day.isoformat()
    files = [landed.folder / name for name in sorted(landed.files) if (landed.folder / name).exists()]
    digests = {n: e.sha256 for n, e in landed.files.items()}
    done = open_lake(settings).ingest(sensor_name, landed.day, files, digests, accept_shrunk=accept_shrunk)
    _ledger_archived(settings, sensor_name, day, done, len(files), [*problems, *landed.problems()])
    return asdict(done) | {"conns": done.logs.get("conn", 0), "files": len(files)}


def ingest_paths(sensor_name: str, day: str, paths: Sequence[Path], *, accept_shrunk: bool = False) -> dict[str, Any]:
    """Put loose log files into the lake as a sensor's day, without a pull, and record it in the ledger.

    With `accept_shrunk` they may have fewer rows than the lake holds of that day.
    """
    from mlids.zeek.reader import find_logs

    settings = load_settings()
    files = [log for path in paths for log in find_logs(path)]
    done = open_lake(settings).ingest(sensor_name, parse_day(day), files, accept_shrunk=accept_shrunk)
    _ledger_archived(settings, sensor_name, day, done, len(files))
    return asdict(done)


def pull_with_late(sensor_name: str, day: str) -> dict[str, Any]:
    """Pull a day, and the late hours of the day before when that is in the lake; `late` is the pull of these, or None."""
    pulled = pull(sensor_name, day)
    before = (parse_day(day) - timedelta(days=1)).isoformat()
    pulled["late"] = None
    if open_lake(load_settings()).manifest("conn", sensor_name, before) is not None:
        try:
            late = pull(sensor_name, before)
        except SourceError:
            late = None  # the sensor has removed that day: the lake keeps it
        if late and late["new"]:
            pulled["late"] = late
    return pulled


def build_lake_days(pulled: dict[str, Any]) -> dict[str, Any]:
    """Ingest the day that was pulled, and the day before when hours of it came late."""
    days = [pulled, *([pulled["late"]] if pulled.get("late") else [])]
    built = [build_lake(p["sensor"], p["day"], p["problems"]) for p in days]
    return {"sensor": pulled["sensor"], "days": [b["day"] for b in built], "built": built}


def warm_up(sensor_name: str) -> dict[str, Any]:
    """Return how many days of a sensor's conns the lake has, and how many training uses; `learning` while there are fewer."""
    settings = load_settings()
    have = len(open_lake(settings).days("conn", sensor_name))
    wanted = settings.train_days
    text = f"learning, day {have} of {wanted}" if have < wanted else f"{have} days to learn from"
    return {"sensor": sensor_name, "days": have, "of": wanted, "learning": have < wanted, "text": text}


def _zone(settings: Settings, sensor_name: str) -> str:
    return next((s.zone for s in settings.sensors() if s.name == sensor_name), "UTC")


def _ledger_archived(settings: Settings, sensor: str, day: str, done: Ingested, files: int, problems: Sequence[str] = ()) -> None:
    from mlids.alerts.stores.ledger import LedgerDay

    archived = done.logs.get("conn", 0)
    found = list(dict.fromkeys([*problems, *done.problems]))
    open_stores(settings).ledger.put_day(LedgerDay(sensor, day, archived, done.rejected, files, found))


def _ledger_scored(ledger: LedgerStore, sensor: str, day: str, scored: dict[str, int], problems: Sequence[str]) -> None:
    """Add what scoring found to the ledger's day: `scored` has the counts `scored` and `alerts`, and is empty without a model."""
    from mlids.alerts.stores.ledger import LedgerDay

    for row in ledger.days(parse_day(day), parse_day(day) + timedelta(days=1)):
        if row["sensor"] == sensor:
            facts = {name: row[name] for name in ("archived", "rejected", "files", "scored", "alerts")} | scored
            ledger.put_day(LedgerDay(sensor, row["day"], **facts, problems=list(dict.fromkeys([*row["problems"], *problems]))))


def _live_problems(settings: Settings, sensor: str, window: Window, hours: Sequence[Hour]) -> list[str]:
    """Return what the ledger should say about live scoring of a day: a clock that leapt, and lines that killed the scorer."""
    from mlids.ingest.read_mark import put_aside

    found = []
    odd = [h for h in hours if not window.start - _CLOCK_BOUND <= h.start < window.end + _CLOCK_BOUND]
    if odd and len(odd) < len(hours):
        rows = sum(h.archived for h in odd)
        found.append(
            f"conn: {rows:,} conns ended outside this day, from {odd[0].start:%Y-%m-%d %H:00} to {odd[-1].start:%Y-%m-%d %H:59} UTC; "
            "was the sensor's clock wrong? set up NTP there"
        )
    aside = [e for e in put_aside(settings.state / sensor) if window.start <= datetime.fromisoformat(e["at"]) < window.end + _CLOCK_BOUND]
    if aside:
        found.append(f"conn: live scoring put {sum(e['lines'] for e in aside):,} lines aside, which killed it: {aside[-1]['reason']}")
    return found


def reconcile(sensor_name: str, day: str, progress: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Reconcile a lake day with what was scored live: score missing conns, close the ledger of the day, and gather its cases.

    A second run gives the same result. Without a production model no conn is scored, and the ledger counts the missing ones.
    """
    settings, when = load_settings(), parse_day(day)
    with open_lake(settings).pinned() as lake:  # the day is read several times, and may be replaced meanwhile
        collectors = read_evidence(settings, lake, sensor_name, when)
        # The reference model scores live only: what it did not reach waits for the first model of the site (`reconcile_unscored`).
        model = usable_production(open_registry(settings), open_stores(settings).audit)
        done = _reconciled(settings, lake, sensor_name, day, collectors, model, progress)
        return done | {"cases": gather(settings, lake, sensor_name, when, collectors, model, progress)["to_look_at"]}


def _reconciled(
    settings: Settings,
    lake: Lake,
    sensor_name: str,
    day: str,
    collectors: Collectors,
    model: Bundle | None,
    progress: Callable[[str], None],
) -> dict[str, Any]:
    from mlids.alerts.aggregation import AlertAggregator
    from mlids.scoring.evidence_alerts import evidence_alerts

    when = parse_day(day)
    zone_name = _zone(settings, sensor_name)
    window = day_window(when, zone_name)
    part = f"late {day}"
    manifest = lake.manifest("conn", sensor_name, when)
    with closing(open_delivery(settings, part)) as delivery:
        aggregator = AlertAggregator(delivery.rules())
        done = _score_late(settings, lake, sensor_name, when, model, aggregator, progress)
        others = evidence_alerts(
            collectors.evidence(_site(settings, lake, sensor_name, when)), sensor_name, day, threshold=settings.threshold,
            aggregator=aggregator, networks=settings.networks,
        )  # fmt: skip
        alerts = [*done.alerts, *others]
        delivery.send(alerts, lambda error, attempt: False)
        delivery.count_suppressed(aggregator)
    stores = open_stores(settings)
    if done.model_version is not None:  # otherwise nothing was judged, and what an earlier model found stays
        stores.alerts.drop_part(sensor_name, part, {a.id for a in alerts})
    hours = _with_rejected(done.hours, manifest, window, zone_name)
    stores.ledger.put_hours(sensor_name, day, hours)
    logs = _live_rows_of_logs(settings, sensor_name, day)
    stores.ledger.put_logs(sensor_name, day, logs)
    live, missing = sum(h.live for h in done.hours), sum(h.missing for h in done.hours)
    scored = {"scored": live + done.late, "alerts": len(alerts)} if done.model_version is not None else {}
    problems = _live_problems(settings, sensor_name, window, done.hours)
    if scored or problems:
        _ledger_scored(stores.ledger, sensor_name, day, scored, problems)
    return {
        "sensor": sensor_name, "day": day, "archived": sum(h.archived for h in done.hours), "live": live, "late": done.late,
        "missing": missing, "rejected": sum(h["rejected"] for h in hours), "alerts": len(alerts), "tunnels": sum(a.key.kind == "dns_tunnel" for a in others),
        "model_version": done.model_version, "logs": {log: {"archived": n, "live": live} for log, (n, live) in logs.items()},
    }  # fmt: skip


def _live_rows_of_logs(settings: Settings, sensor_name: str, day: str) -> dict[str, tuple[int, int | None]]:
    """Return by log beside conn.log the rows of a lake day and how many were read live; None where live scoring does not follow it.

    They are numbers, and not a record of rows as conn.log has: the day's cases are gathered from the archive whatever was missed.
    """
    from mlids.evidence.collecting import Collectors
    from mlids.scoring.log_counts import read_counts

    lake, live = open_lake(settings), read_counts(settings.state / sensor_name)
    manifests = {log: lake.manifest(log, sensor_name, day) for log in sorted(Collectors.fields())}
    return {
        log: (manifest.rows, live[log].get(day, 0) if log in settings.live_logs and log in live else None)
        for log, manifest in manifests.items()
        if manifest is not None
    }


def _score_late(
    settings: Settings, lake: Lake, sensor_name: str, day: date, model: Bundle | None, aggregator: AlertAggregator,
    progress: Callable[[str], None],
) -> Reconciled:  # fmt: skip
    """Score the conns of a lake day that were not scored live, with the production model if there is one."""
    from mlids.scoring.late import CONN_COLUMNS, LateOptions
    from mlids.scoring.late import reconcile as reconcile_day

    start = day_window(day, _zone(settings, sensor_name)).start
    before = lake.last_rows("conn", sensor_name, day - timedelta(days=1), start - timedelta(hours=1), columns=CONN_COLUMNS)
    options = LateOptions(before, aggregator, settings.networks, settings.threshold, progress)
    record = open_record(settings, sensor_name)
    return reconcile_day(lambda columns: lake.batches("conn", sensor_name, [day], columns=columns), record, model, options)


def _site(settings: Settings, lake: Lake, sensor_name: str, day: date) -> SiteView:
    """Return what evidence may ask about the site, from the conns of a lake day."""
    from mlids.evidence.base import SiteView

    return SiteView(settings.networks, conns=lambda: lake.batches("conn", sensor_name, [day], columns=["id.orig_h", "id.resp_h"]))


def _with_rejected(hours: Sequence[Hour], manifest: DayManifest | None, window: Window, zone_name: str) -> list[dict[str, Any]]:
    """Return the ledger's hours; rejected lines are counted in the first hour of their file."""
    from mlids.ingest.archive import hour_of
    from mlids.scoring.late import Hour

    by_start = {h.start: h for h in hours}
    for source in manifest.sources if manifest is not None else []:
        if source.rejected:
            start = hour_of(source.name, window.start, zone_name)
            by_start.setdefault(start, Hour(start)).rejected += source.rejected
    return [
        {"hour": f"{h.start:%Y-%m-%dT%H:00Z}", "archived": h.archived, "live": h.live, "late": h.late, "rejected": h.rejected}
        for h in sorted(by_start.values(), key=lambda h: h.start)
    ]  # fmt: skip


def reconcile_days(sensor_name: str, days: Sequence[str]) -> dict[str, Any]:
    """Reconcile lake days of a sensor, and remove the record of live scored rows of days long past.

    The day before them is reconciled again when it had late or missing conns: a scorer that was behind at night may
    have scored them live since.
    """
    settings = load_settings()
    ledger = open_stores(settings).ledger
    first = min(parse_day(d) for d in days)
    before = [r["day"] for r in ledger.days(first - timedelta(days=1), first) if r["sensor"] == sensor_name and (r["late"] or r["missing"])]
    live = open_record(settings, sensor_name)
    done = [reconcile(sensor_name, day) for day in [*(before if live.any() else []), *days]]
    live.prune(day_window(first, "UTC").start - timedelta(days=KEEP_DAYS))
    return {"sensor": sensor_name, "days": done, "alerts": sum(d["alerts"] for d in done)}


def reconcile_unscored(limit: int = 60) -> list[dict[str, Any]]:
    """Reconcile the lake days that no model has scored yet, at most the `limit` newest, oldest first."""
    ledger = open_stores(load_settings()).ledger
    waiting = [r for r in ledger.days() if r["scored"] is None][:limit]
    return [reconcile(r["sensor"], r["day"]) for r in reversed(waiting)]
