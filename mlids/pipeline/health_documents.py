"""Documents about the pipeline itself, for sinks that take them: scorers, ledger days, the model in production, drift.

Each is stored once by its id: a scorer's of a minute, a ledger day's, that of a model on a day, that of a drift's span.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from mlids.errors import MlidsError, SettingsError, StoreError
from mlids.pipeline.models import production_facts
from mlids.pipeline.stores import open_sinks, open_stores
from mlids.pipeline.views import scorer_statuses
from mlids.settings import Settings, load_settings
from mlids.text import short
from mlids.window import stamp

if TYPE_CHECKING:
    from mlids.alerts.sinks.base import Document
    from mlids.scoring.status import Status

log = logging.getLogger(__name__)

DATASET = "mlids.health"
LEDGER_DAYS = 14
EVERY_S = 60.0
_LEDGER_EVERY = 60  # times: its days change at night
_COUNTERS = ("rows", "rejected", "alerts", "dead_letters", "errors")
_LEDGER = ("archived", "rejected", "live", "late", "missing", "alerts")


def live_documents(statuses: Iterable[Status], now: datetime) -> list[Document]:
    """Return a document for each scorer's status at a time, in UTC; `well` is false when the scorer or one of its sinks is not."""
    from mlids.pipeline.health import is_well

    out = []
    for s in statuses:
        fault = (
            s.fault or s.silence or "; ".join(f"sink {name} is stopped: {why}" for name, why in s.stopped_sinks.items()) or s.model_error
        )
        facts: dict[str, Any] = {
            "state": str(s.state), "well": is_well(s) and not s.stopped_sinks, "fault": short(fault, 500) if fault else None,
            "lag_s": s.lag_s, "rows_per_s": s.rows_per_s, "stopped_sinks": sorted(s.stopped_sinks),
        }  # fmt: skip
        facts |= {name: getattr(s, name) for name in _COUNTERS}
        out.append(_document("live", f"{s.sensor}-{now:%Y%m%dT%H%M}", now, facts, sensor=s.sensor, model_version=s.model_version))
    return out


def ledger_documents(days: Iterable[Mapping[str, Any]]) -> list[Document]:
    """Return a document for each day of the ledger, dated at that day's midnight, UTC."""
    out = []
    for row in days:
        when = datetime.combine(date.fromisoformat(row["day"]), datetime.min.time(), UTC)
        facts = {"day": row["day"]} | {name: row[name] for name in _LEDGER if row[name] is not None}
        out.append(_document("ledger", f"{row['sensor']}-{row['day']}", when, facts, sensor=row["sensor"]))
    return out


def model_document(facts: Mapping[str, Any], now: datetime) -> Document:
    """Return the document of the model in production, from `production_facts`."""
    metrics = facts["metrics"]
    found = {name: metrics[name] for name in ("pr_auc", "alerts_per_day") if name in metrics}
    fault = {"fault": short(facts["error"], 500)} if facts["error"] else {}
    return _document("model", f"{now:%Y-%m-%d}-{facts['version']}", now, found | fault, model_version=facts["version"])


def drift_document(facts: Mapping[str, Any]) -> Document:
    """Return the document of a comparison of two spans, from `drift-….json`, dated at the last day of the current one."""
    span = f"{facts['current'][0]} to {facts['current'][-1]}"
    when = datetime.combine(date.fromisoformat(facts["current"][-1]), datetime.min.time(), UTC)
    return _document("drift", span.replace(" ", "-"), when, {"span": span, "drift_share": facts["share"], "drifted": len(facts["drifted"])})


def _document(
    part: str, name: str, when: datetime, facts: Mapping[str, Any], *, sensor: str | None = None, model_version: str | None = None
) -> Document:
    out: Document = {
        "ts": stamp(when), "@timestamp": stamp(when), "message": f"{part} of {sensor or 'mlids'}",
        "event": {"kind": "metric", "module": "mlids", "dataset": DATASET, "id": f"{part}-{name}"},
        "mlids": {"health": {"part": part, **facts}} | ({"model_version": model_version} if model_version else {}),
    }  # fmt: skip
    return out | ({"observer": {"name": sensor, "product": "Zeek", "type": "sensor"}} if sensor else {})


def all_documents(settings: Settings, now: datetime, *, ask_registry: bool = True) -> list[Document]:
    """Return the documents of scorers, of the latest ledger days, of the latest drift, and of the model; a part that fails is left out with a warning.

    Without `ask_registry` the model is left out: an MLflow server that does not answer is waited for.
    """
    parts: list[Callable[[Settings, datetime], list[Document]]] = [_live, _ledger, _drift, *([_model] if ask_registry else [])]
    out = []
    for part in parts:
        try:
            out += part(settings, now)
        except MlidsError as error:
            log.warning("a part of pipeline health is left out: %s", error)
    return out


def _live(settings: Settings, now: datetime) -> list[Document]:
    return live_documents(scorer_statuses(settings), now)


def _ledger(settings: Settings, now: datetime) -> list[Document]:
    return ledger_documents(open_stores(settings).ledger.days(now.date() - timedelta(days=LEDGER_DAYS)))


def _model(settings: Settings, now: datetime) -> list[Document]:
    facts = production_facts(settings)
    return [] if facts is None else [model_document(facts, now)]


def _drift(settings: Settings, now: datetime) -> list[Document]:
    for path in sorted(settings.reports.glob("drift-*.json"))[-1:]:
        try:
            return [drift_document(json.loads(path.read_text(encoding="utf-8")))]
        except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
            log.warning("%s is not a drift's result and is left out: %s", path, error)
    return []


def takes_health(settings: Settings) -> bool:
    """Return whether a sink of the settings may take health, as far as it is known without opening one."""
    return bool(set(settings.sinks) - {"sqlite", "jsonl", "csv"})


def send_health(*, ask_registry: bool = True) -> dict[str, Any]:
    """Send the sinks that take them the documents of `all_documents`; return how many (`documents`) and why one was not taken (`reason`).

    What fails is a warning of the log and is sent again the next time: nothing waits for it.
    """
    settings = load_settings()
    found = all_documents(settings, datetime.now(UTC), ask_registry=ask_registry) if takes_health(settings) else []
    return {"documents": len(found), "reason": _send(settings, found)}


def _send(settings: Settings, documents: Sequence[Document]) -> str | None:
    from mlids.alerts.sinks.base import TakesHealth

    reasons = []
    for sink in open_sinks(settings) if documents else []:
        with closing(sink):
            if not isinstance(sink, TakesHealth):
                continue
            try:
                reasons += [r.reason for r in sink.write_health(documents)]
            except StoreError as error:
                reasons.append(str(error))
    if reasons:
        log.warning("pipeline health was not sent: %s", reasons[0])
    return reasons[0] if reasons else None


class HealthReporter:
    """Sends the statuses of scorers each minute from a thread, while it is entered; nothing waits for it, and a server that is down is met again."""

    def __init__(self, settings: Settings, statuses: Callable[[], Sequence[Status]], every_s: float = EVERY_S) -> None:
        self._settings, self._statuses, self._every_s = settings, statuses, every_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="health", daemon=True)

    def __enter__(self) -> HealthReporter:
        """Start sending, if a sink takes health."""
        if takes_health(self._settings):
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop; what is on its way is not waited for."""
        self._ended.set()

    def _run(self) -> None:
        sent = 0
        while not self._ended.wait(self._every_s):
            now = datetime.now(UTC)
            try:
                ledger = _ledger(self._settings, now) if sent % _LEDGER_EVERY == 0 else []
                _send(self._settings, [*live_documents(self._statuses(), now), *ledger])
                sent += 1
            except StoreError as error:
                log.warning("pipeline health was not sent: %s", error)
            except SettingsError as error:
                log.warning("pipeline health is not sent: %s", error)
                return
