"""What admins do with Elasticsearch: install what it needs, and send it what the store has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from mlids.errors import DeniedError, InputError, StoreError
from mlids.pipeline.stores import open_stores
from mlids.settings import Settings, load_settings
from mlids.window import days_between, parse_day, stamp

if TYPE_CHECKING:
    from mlids.alerts.elastic.install import Plan
    from mlids.alerts.sinks.base import Document
    from mlids.alerts.sinks.elasticsearch import ElasticSink
    from mlids.alerts.stores import Stores

_CASES_AT_ONCE = 200
_REASONS_KEPT = 5


def elastic_requests(*, append_only: bool = False, make_key: bool | None = None) -> list[dict[str, Any]]:
    """Return the requests that an installation sends to a cluster that has nothing of it: `method`, `path` and `body` of each, in their order.

    Nothing is connected to.
    """
    plan = _plan(load_settings(), append_only, make_key)
    return [{"method": r.method, "path": r.path, "body": r.body} for r in plan.requests()]


def elastic_install(*, append_only: bool = False, make_key: bool | None = None) -> dict[str, Any]:
    """Install policy, templates, roles and the writer's key; return `parts`, each with what became of it, and `key`.

    `key` is the secret of a key that was made now, which nothing stores, else None. `make_key`: None makes one when there is none,
    True makes another one, False makes none. Raises what `install` and `connect_as_admin` do.
    """
    from mlids.alerts.elastic.client import connect_as_admin
    from mlids.alerts.elastic.install import install

    settings = load_settings()
    with closing(connect_as_admin(settings)) as client:
        found = install(client, settings.elastic_url, _plan(settings, append_only, make_key))
    return {"parts": [asdict(p) for p in found.parts], "key": found.key}


def elastic_backfill(since: str, progress: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Send Elasticsearch the stored alerts and cases from the day `since` (UTC) on that it does not have; what it has stays as it is.

    Alerts that a suppression rule hides are left out, and cases of low severity, as in live scoring. Returns `alerts` and
    `cases`, each with the counts `created`, `there` and `refused`, and `reasons`, the first of what was refused. Raises
    InputError for no day or one to come, and DeniedError or StoreError when Elasticsearch takes nothing; a second run goes on.
    """
    from mlids.alerts.sinks.elasticsearch import open_sink

    day, now = parse_day(since), datetime.now(UTC)
    if day > now.date():
        raise InputError(f"{since} is still to come; give the first day whose alerts are sent")
    settings = load_settings()
    with closing(open_stores(settings)) as stores, closing(open_sink(settings)) as sink:
        days = [datetime.combine(d, time(), UTC) for d in days_between(day, now.date() + timedelta(days=1))]
        reasons: list[str] = []
        try:
            alerts = _add(
                sink, (_alerts(stores, start, end) for start, end in zip(days, [*days[1:], None], strict=True)), "alerts", progress, reasons
            )
            cases = _add(sink, _cases(stores, stamp(days[0])), "cases", progress, reasons)
        except DeniedError:
            raise
        except StoreError as error:
            raise StoreError(f"{error}; run `mlids elastic backfill` again: what has arrived is not sent twice") from error
    return {"alerts": alerts, "cases": cases, "reasons": reasons}


def _plan(settings: Settings, append_only: bool, make_key: bool | None) -> Plan:
    from mlids.alerts.elastic.install import Plan

    return Plan(settings.elastic_prefix, settings.elastic_keep_days, settings.elastic_cold_days, append_only, make_key)


def _add(
    sink: ElasticSink, parts: Iterable[Sequence[Document]], what: str, progress: Callable[[str], None], reasons: list[str]
) -> dict[str, int]:
    """Add parts to a sink and return the counts; the first reasons of refused ones are appended to `reasons`."""
    counts = {"created": 0, "there": 0, "refused": 0}
    for documents in parts:
        if not documents:
            continue
        added = sink.add(documents)
        counts["created"] += added.created
        counts["there"] += added.there
        counts["refused"] += len(added.refused)
        reasons += [f"{r.document['event']['id']}: {r.reason}" for r in added.refused][: _REASONS_KEPT - len(reasons)]
        progress(f"{sum(counts.values()):,} {what} sent")
    return counts


def _alerts(stores: Stores, start: datetime, end: datetime | None) -> list[Document]:
    """Return the alerts from `start` on, before `end`, as sinks got them."""
    shown = stores.alerts.latest(since=start, until=end, limit=10_000_000)
    return list(stores.alerts.documents([d["id"] for d in shown]).values())


def _cases(stores: Stores, since: str) -> Iterable[list[Document]]:
    """Yield the cases that were seen since a stamp, as sinks got them, some at a time."""
    from mlids.alerts.case_document import case_document
    from mlids.alerts.stores.cases import CaseFilter, CaseState
    from mlids.cases.severity import Severity

    chosen, start = CaseFilter(tuple(CaseState), Severity.MEDIUM, since=since), 0
    while some := stores.cases.page(chosen, _CASES_AT_ONCE, start):
        yield [case_document(c) for c in some if c["first"]]
        start += len(some)
