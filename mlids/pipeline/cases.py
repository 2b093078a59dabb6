"""Cases: gathered each night from a day of the lake, listed, and judged by analysts."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import closing
from datetime import date
from typing import TYPE_CHECKING, Any

from mlids.errors import InputError, NoRowsError, StoreError
from mlids.pipeline.alerts import check_verdict
from mlids.pipeline.production import usable_production
from mlids.pipeline.stores import open_delivery, open_lake, open_registry, open_stores
from mlids.settings import Settings, load_settings
from mlids.window import parse_day

if TYPE_CHECKING:
    from mlids.cases.gathering import Gathered
    from mlids.detectors.bundle import Bundle, Model
    from mlids.evidence.collecting import Collectors
    from mlids.ingest.lake import Lake

log = logging.getLogger(__name__)


def gather_day(sensor: str, day: str, progress: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Gather the cases of a lake day from its logs, and store them; a second run replaces the first.

    The whole day is scored at once with the model in production, without one by the reference model: what a beacon became by
    the evening is known then for its first call too. Raises InputError when the day is not in the lake.
    """
    settings, when = load_settings(), parse_day(day)
    with open_lake(settings).pinned() as lake:
        _check_ingested(lake, sensor, when)
        production = usable_production(open_registry(settings), open_stores(settings).audit)
        return gather(settings, lake, sensor, when, read_evidence(settings, lake, sensor, when), production, progress)


def gather(
    settings: Settings, lake: Lake, sensor: str, day: date, collectors: Collectors, production: Bundle | None,
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:  # fmt: skip
    """Do what `gather_day` does, with collectors of evidence and a model that the caller has read already."""
    from mlids.detectors.reference import load_reference

    _check_ingested(lake, sensor, day)
    model = production if production is not None else load_reference()
    gathered = _gathered(settings, lake, sensor, day, collectors, model, progress)
    with closing(open_delivery(settings, "cases")) as delivery:
        stored = delivery.put_cases(sensor, f"day {day}", gathered.cases)
    background = gathered.background
    return {
        "sensor": sensor, "day": day.isoformat(), "cases": len(stored), "to_look_at": sum(c["severity"] != "low" for c in stored),
        "background": {"sources": background.sources, "services": background.services, "conns": background.conns},
    }  # fmt: skip


def _check_ingested(lake: Lake, sensor: str, day: date) -> None:
    if lake.manifest("conn", sensor, day) is None:
        raise InputError(f"{sensor} {day}: this day is not in the lake; ingest it first")


def _gathered(
    settings: Settings, lake: Lake, sensor: str, day: date, collectors: Collectors, model: Model, progress: Callable[[str], None]
) -> Gathered:
    from mlids.cases.gathering import Gathered
    from mlids.cases.severity import LEVELS
    from mlids.ingest.conns import Reading
    from mlids.scoring.batch import ScoreOptions, score_rows
    from mlids.zeek.types import CONN

    options = ScoreOptions(
        model=model, networks=settings.networks, sensor=sensor, top=0, threshold=settings.threshold,
        rules=open_stores(settings).rules.in_force(), levels=settings.severity or LEVELS,
    )  # fmt: skip
    conns = lake.batches("conn", sensor, [day], columns=[c.name for c in CONN])
    try:
        return score_rows(conns, collectors, Reading(), options, progress).gathered
    except NoRowsError:  # a day without a conn has no case
        return Gathered([])


def read_evidence(settings: Settings, lake: Lake, sensor: str, day: date) -> Collectors:
    """Return the collectors of evidence, filled from the logs of a lake day."""
    from mlids.evidence.collecting import Collectors

    collectors = Collectors(settings.networks, one_day=True)
    for log, fields in collectors.fields().items():
        manifest = lake.manifest(log, sensor, day)
        if manifest is None:
            continue
        columns = [name for name in sorted(fields) if name in manifest.columns]
        for rows in lake.batches(log, sensor, [day], columns=columns):
            collectors.add(log, rows)
    return collectors


def list_cases(*, closed: bool = False, severity: str = "medium", limit: int = 20) -> list[dict[str, Any]]:
    """Return the documents of cases, the most severe first: open and acknowledged ones, or the `closed` ones, from a severity on.

    Raises InputError for a severity that is not one.
    """
    from mlids.alerts.stores.cases import CaseState

    states = [CaseState.CLOSED] if closed else [CaseState.OPEN, CaseState.ACKNOWLEDGED]
    return open_stores(load_settings()).cases.latest(states=states, least=_severity(severity), limit=limit)


def _severity(name: str) -> Any:
    from mlids.cases.severity import Severity

    try:
        return Severity(name)
    except ValueError:
        raise InputError(f"{name!r} is not a severity; use one of {', '.join(Severity)}") from None


def find_case(beginning: str) -> dict[str, Any]:
    """Return the case whose id begins with `beginning`. Raises InputError when there is none, or several."""
    return open_stores(load_settings()).cases.get(beginning)


def judge_case(case: str, state: str, *, who: str, verdict: str | None = None, note: str | None = None) -> dict[str, Any]:
    """Set the state of the case whose id begins with `case`: open, acknowledged, or closed with a verdict; return its document.

    A verdict labels the conns that the case names, for the next training. Raises InputError for another state or verdict.
    """
    from mlids.alerts.stores.cases import CaseState

    if verdict is not None:
        check_verdict(verdict)
    settings = load_settings()
    stores = open_stores(settings)
    found = stores.cases.get(case)
    stores.cases.set_state(found["id"], CaseState(state), who, verdict=verdict, note=note)
    judged = stores.cases.get(found["id"])
    with closing(open_delivery(settings, "cases")) as delivery:
        try:
            delivery.send_cases([judged])
        except StoreError as error:  # the state is stored; a sink has it with the next gathering
            log.warning("case %s: %s", found["id"], error)
    return judged
