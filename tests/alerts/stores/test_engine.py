"""The engine: every error of the database is a StoreError that says what and where."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
import sqlalchemy as sa

from mlids.alerts.stores import Stores, open_stores
from mlids.alerts.stores.audit import DONE, Move
from mlids.alerts.stores.cases import CaseFilter, CaseState
from mlids.alerts.stores.ledger import LedgerDay
from mlids.alerts.stores.tables import META
from mlids.alerts.suppression import Rule
from mlids.cases.severity import LEVELS
from mlids.errors import StoreError
from tests.conftest import free_port
from tests.support.alerts import NOON, alert

CALLS: dict[str, Callable[[Stores], object]] = {
    "alerts.put": lambda s: s.alerts.put([alert(1)], "live"),
    "alerts.latest": lambda s: s.alerts.latest(),
    "alerts.count": lambda s: s.alerts.count(),
    "alerts.summary": lambda s: s.alerts.summary(NOON, NOON),
    "alerts.documents": lambda s: s.alerts.documents(["x"]),
    "alerts.kinds": lambda s: s.alerts.kinds(),
    "alerts.newest": lambda s: s.alerts.newest(),
    "alerts.by_hour": lambda s: s.alerts.by_hour(NOON, NOON, LEVELS, 5),
    "alerts.judged": lambda s: s.alerts.judged(),
    "alerts.drop_part": lambda s: s.alerts.drop_part("hq", "live", set()),
    "rules.add": lambda s: s.rules.add(Rule(0, kind="beacon"), "why", "who"),
    "rules.end": lambda s: s.rules.end(1),
    "rules.history": lambda s: s.rules.history(),
    "alerts.coverage": lambda s: s.alerts.coverage(Rule(0, kind="beacon"), NOON),
    "rules.in_force": lambda s: s.rules.in_force(),
    "rules.rows": lambda s: s.rules.rows(),
    "rules.count_suppressed": lambda s: s.rules.count_suppressed({1: 1}),
    "rules.verdict": lambda s: s.rules.verdict("x"),
    "rules.put_verdict": lambda s: s.rules.put_verdict("x", "true positive", "who"),
    "ledger.put_day": lambda s: s.ledger.put_day(LedgerDay("hq", "2026-11-20", 1, 0, 1)),
    "ledger.days": lambda s: s.ledger.days(),
    "ledger.put_hours": lambda s: s.ledger.put_hours("hq", "2026-11-20", []),
    "ledger.hours": lambda s: s.ledger.hours(date(2026, 11, 20), date(2026, 11, 21)),
    "ledger.put_logs": lambda s: s.ledger.put_logs("hq", "2026-11-20", {"dns": (1, 1)}),
    "ledger.logs": lambda s: s.ledger.logs(date(2026, 11, 20), date(2026, 11, 21)),
    "cases.put": lambda s: s.cases.put("hq", "day 2026-11-20", []),
    "cases.latest": lambda s: s.cases.latest(),
    "cases.page": lambda s: s.cases.page(CaseFilter(), 10),
    "cases.count": lambda s: s.cases.count(CaseFilter()),
    "cases.hosts": lambda s: s.cases.hosts(CaseFilter()),
    "cases.counts": lambda s: s.cases.counts(),
    "cases.get": lambda s: s.cases.get("0"),
    "cases.set_state": lambda s: s.cases.set_state("0", CaseState.OPEN, "who"),
    "cases.judged": lambda s: s.cases.judged(),
    "audit.record": lambda s: s.audit.record(Move("who", "refuse", None, "1", "why")),
    "audit.begin": lambda s: s.audit.begin(Move("who", "promote", None, "1", "why")),
    "audit.settle": lambda s: s.audit.settle(1, DONE),
    "audit.unsettled": lambda s: s.audit.unsettled(),
    "audit.last_move": lambda s: s.audit.last_move(),
    "audit.was_in_production": lambda s: s.audit.was_in_production("1"),
    "audit.in_production": lambda s: s.audit.in_production(),
    "audit.begin_housekeeping": lambda s: s.audit.begin_housekeeping("who"),
    "audit.housekeeping": lambda s: s.audit.housekeeping(),
    "audit.rows": lambda s: s.audit.rows(),
    "weeks.alerts_by_day": lambda s: s.weeks.alerts_by_day(NOON, NOON),
    "weeks.kinds": lambda s: s.weeks.kinds(NOON, NOON),
    "weeks.riskiest_hosts": lambda s: s.weeks.riskiest_hosts(NOON, NOON),
    "weeks.cases_by_severity": lambda s: s.weeks.cases_by_severity(NOON, NOON),
    "weeks.judged_alerts": lambda s: s.weeks.judged_alerts(NOON, NOON),
    "weeks.judged_cases": lambda s: s.weeks.judged_cases(NOON, NOON),
    "weeks.hidden": lambda s: s.weeks.hidden(NOON, NOON),
    "weeks.decisions": lambda s: s.weeks.decisions(),
    "weeks.days_read": lambda s: s.weeks.days_read(),
    "weeks.last_days": lambda s: s.weeks.last_days(),
    "weeks.days_of_sensors": lambda s: s.weeks.days_of_sensors(date(2026, 11, 20)),
}


def test_every_method_of_the_stores_is_called_here() -> None:
    stores = open_stores("sqlite://")
    methods = {
        f"{name}.{method}"
        for name in ("alerts", "rules", "ledger", "audit", "cases", "weeks")
        for method in vars(type(getattr(stores, name)))
        if method[0] != "_"
    }
    assert methods - {"rules.rows_in_force"} == set(CALLS)


@pytest.mark.parametrize("call", CALLS)
def test_error_of_the_database_is_a_store_error(tmp_path: Path, call: str) -> None:
    stores = open_stores(f"sqlite:///{tmp_path}/mlids.db")
    with stores.engine.writing("tables") as db:
        META.drop_all(db)
    with pytest.raises(StoreError, match=r"database sqlite:.*mlids\.db: .* could not be (read|written): no such table"):
        CALLS[call](stores)


def test_error_rolls_the_transaction_back(stores: Stores) -> None:
    with pytest.raises(StoreError, match="alerts could not be written"), stores.engine.writing("alerts") as db:
        db.execute(sa.text("insert into verdicts (alert_id, verdict, who, at) values ('x', 'true positive', 'ana', 'now')"))
        db.execute(sa.text("insert into nothing values (1)"))
    with stores.engine.reading("verdicts") as db:
        assert db.execute(sa.text("select count(*) from verdicts")).scalar() == 0


def test_database_that_does_not_answer_is_named_without_its_password() -> None:
    pytest.importorskip("psycopg2")
    with pytest.raises(StoreError, match=r"u:\*\*\*@127\.0\.0\.1.*cannot be opened; check MLIDS_DATABASE_URL") as refused:
        open_stores(f"postgresql+psycopg2://u:hunter2@127.0.0.1:{free_port()}/x")
    assert "hunter2" not in str(refused.value)


def test_url_that_cannot_be_used_is_a_store_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="MLIDS_DATABASE_URL is not a SQLAlchemy URL"):
        open_stores("mlids.db")
    with pytest.raises(StoreError, match="install mlids"):
        open_stores("postgresql+pg8000://u@127.0.0.1/x")
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="a file is where a folder is needed"):
        open_stores(f"sqlite:///{tmp_path}/file/mlids.db")
