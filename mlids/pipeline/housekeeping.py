"""Removes what is older than its setting, store by store; a run that is killed is continued by the next one.

No store waits for another: one that fails is named in the result, the others are done. What cannot be told to be
unneeded, because MLflow or the database does not answer, stays.
"""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlids.errors import MlidsError, StoreError
from mlids.files import write_atomic
from mlids.locks import locked_file
from mlids.pipeline import old_days, retention
from mlids.pipeline.health_documents import send_health
from mlids.pipeline.promotion import promotion_lock
from mlids.pipeline.retention import Clock, Old
from mlids.pipeline.stores import open_registry, open_stores
from mlids.settings import Settings, load_settings

if TYPE_CHECKING:
    from mlids.alerts.stores import Stores
    from mlids.training.registry import Registry

log = logging.getLogger(__name__)

# Entries of each store that a result names; the counts and bytes are of all.
LISTED = 200
# A clock that moved further than this since the last run has to be confirmed by a person: it would make everything old.
CLOCK_LEAP = timedelta(days=30)
_MOST_PAUSE_S = 0.5


@dataclass
class Done:
    """What became of one store. In a dry run `removed` and `bytes` are what would go; `kept` counts what stays, by reason."""

    store: str
    removed: int = 0
    bytes: int = 0
    kept: dict[str, int] = field(default_factory=dict)
    items: list[dict[str, Any]] = field(default_factory=list)
    error: str | None = None


def housekeeping(*, dry_run: bool = False, clock_is_right: bool = False, who: str = "command line") -> dict[str, Any]:
    """Remove what is older than its setting, and return what went, by store; with `dry_run`, what would go.

    `failed` names the stores with an error. Raises StoreError when another housekeeping runs, or the clock has moved by
    more than CLOCK_LEAP since the last run, unless `clock_is_right`.
    """
    settings = load_settings()
    clock = retention.clock_now()
    with _alone(settings):
        last = settings.state / "housekeeping.json"
        if not dry_run and not clock_is_right:
            _check_clock(clock, last)
        done = _Run(settings, clock, dry_run=dry_run).run(who)
        if not dry_run:
            write_atomic(last, json.dumps({"at": clock.now.isoformat(timespec="seconds")}))
    return {
        "dry_run": dry_run, "removed": sum(d.removed for d in done), "bytes": sum(d.bytes for d in done),
        "failed": [d.store for d in done if d.error], "stores": [asdict(d) for d in done],
    }  # fmt: skip


def nightly_housekeeping(*, dry_run: bool = False) -> dict[str, Any]:
    """Do what `housekeeping` does, for a DAG, and send sinks the pipeline's health of the night: counts by store. Raises StoreError naming the stores that failed, after the others are done."""
    done = housekeeping(dry_run=dry_run, who="airflow")
    if not dry_run:
        send_health()
    if done["failed"]:
        raise StoreError("; ".join(f"{d['store']}: {d['error']}" for d in done["stores"] if d["error"]))
    return {d["store"]: {n: d[n] for n in ("removed", "bytes", "kept")} for d in done["stores"]}


class _Run:
    """One housekeeping."""

    def __init__(self, settings: Settings, clock: Clock, *, dry_run: bool) -> None:
        self._settings, self._clock, self._dry_run = settings, clock, dry_run
        self._registry: Registry | None = None
        self._gone: set[str] = set()  # versions

    def run(self, who: str) -> list[Done]:
        """Go through all stores, and write what went to the audit."""
        settings, clock = self._settings, self._clock
        done = [
            self._clean("left over", lambda: retention.left_over(settings, clock)),
            self._clean("quarantine", lambda: old_days.old_quarantine(settings, clock)),
            self._clean("reports", lambda: retention.old_reports(settings, clock)),
            self._clean("JSON lines", lambda: retention.old_alert_files(settings, clock)),
            self._clean("dead letters", lambda: retention.old_dead_letters(settings, clock)),
        ]
        try:
            with closing(open_stores(settings)) as stores:
                row = None if self._dry_run else stores.audit.begin_housekeeping(who)
                done += self._with_database(stores)
                if row is not None:
                    stores.audit.settle(row, "failed" if any(d.error for d in done) else "done", _counts(done))
        except MlidsError as error:
            done.append(Done("database", error=str(error)))
        return done

    def _with_database(self, stores: Stores) -> list[Done]:
        """Go through the stores of which the database says what is needed."""
        settings, clock, old = self._settings, self._clock, stores.retention
        pause = partial(_pause, dry_run=self._dry_run)
        return [
            self._clean("landing", lambda: old_days.old_landing(settings, clock, self._needed(stores, models=False))),
            self._clean("lake", lambda: old_days.old_lake(settings, clock, self._needed(stores))),
            self._clean("snapshots", lambda: retention.old_snapshots(settings, clock, frozenset(self._snapshots()))),
            self._clean("model versions", lambda: self._versions(stores)),
            self._clean("runs", lambda: retention.old_runs(settings, clock, self._opened(), frozenset(self._gone))),
            self._clean("alerts", lambda: retention.old_alerts(settings, clock, old, pause)),
            self._clean("ledger", lambda: old_days.old_ledger(settings, clock, old)),
        ]

    def _clean(self, store: str, find: Callable[[], Iterator[Old]]) -> Done:
        """Remove what is found in one store."""
        done, kept = Done(store), Counter[str]()
        try:
            for old in find():
                gone = 0 if old.kept else old.count if self._dry_run else old.remove()
                if gone:
                    done.removed += gone
                    done.bytes += old.bytes
                    if store == "model versions":
                        self._gone.add(old.what.rsplit(" ", 1)[1])
                    if not self._dry_run:
                        log.info("removed", extra={"store": store, "what": old.what, "count": gone, "bytes": old.bytes})
                else:
                    kept[old.kept or "in use"] += old.count
                if len(done.items) < LISTED:
                    done.items.append(
                        {"what": old.what, "count": old.count, "bytes": old.bytes, "kept": "" if gone else old.kept or "in use"}
                    )
        except (MlidsError, OSError) as error:
            done.error = str(error)
            log.exception("housekeeping of a store failed", extra={"store": store})
        done.kept = dict(kept)
        return done

    def _opened(self) -> Registry:
        if self._registry is None:
            self._registry = open_registry(self._settings)
        return self._registry

    def _snapshots(self) -> list[str]:
        """Return the ids of the snapshots that the versions with an alias were trained on. Raises StoreError."""
        versions = [self._opened().version(alias) for alias in ("production", "previous", "challenger")]
        return [v.params["snapshot"] for v in versions if v is not None and v.params and "snapshot" in v.params]

    def _needed(self, stores: Stores, *, models: bool = True) -> old_days.NeededDays:
        """Return the days that stay. Raises StoreError when a model in use does not say what it was trained on."""
        snapshots = self._snapshots() if models else []
        spans = {snapshot: retention.trained_on(snapshot) for snapshot in snapshots}
        for snapshot, span in spans.items():
            if span is None:
                raise StoreError(
                    f"a model in use was trained on snapshot {snapshot!r}, whose days are unknown; nothing of the lake is removed"
                )
        cases = old_days.case_days(self._settings, self._clock, stores.retention) if models else frozenset()
        reconciled = frozenset(stores.retention.reconciled(self._clock.now.date()))
        return old_days.NeededDays(tuple(s for s in spans.values() if s is not None), cases, reconciled)

    def _versions(self, stores: Stores) -> Iterator[Old]:
        last = stores.audit.last_move()  # its version is in production, wherever somebody moved the alias to
        moves = [*(move for _, move in stores.audit.unsettled()), *([last] if last is not None else [])]
        in_moves = frozenset(v for move in moves for v in (move.from_version, move.to_version) if v is not None)
        lock = partial(promotion_lock, self._settings.state)
        return retention.old_versions(self._settings, self._clock, self._opened(), lock, in_moves)


def _pause(took_s: float, *, dry_run: bool) -> None:
    """Let others write to the database for as long as a removal took."""
    if not dry_run:
        time.sleep(min(max(took_s, 0.005), _MOST_PAUSE_S))


def _counts(done: list[Done]) -> str:
    parts = [f"{d.store} {d.removed:,}" + (f" ({d.bytes:,} bytes)" if d.bytes else "") for d in done if d.removed]
    return "; ".join([*(parts or ["nothing was old"]), *(f"{d.store} failed" for d in done if d.error)])


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    path = settings.state / "housekeeping.lock"
    try:
        with locked_file(path, wait=False):
            yield
    except BlockingIOError as error:
        raise StoreError(f"{path}: another housekeeping is running; wait for it") from error
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or error}") from error


def _check_clock(clock: Clock, last: Path) -> None:
    try:
        before = datetime.fromisoformat(json.loads(last.read_text(encoding="utf-8"))["at"])
    except FileNotFoundError:
        return
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{last}: {error}; remove it if this machine's clock is right") from error
    if not timedelta(days=-1) < clock.now - before < CLOCK_LEAP:
        raise StoreError(
            f"this machine's clock says {clock.now:%Y-%m-%d}, and {before:%Y-%m-%d} at the last housekeeping: a wrong clock would make everything "
            "old; look at it, then run `mlids housekeeping --clock-is-right`"
        )
