"""The product's own tables: alerts, rules and verdicts, cases, ledger, audit. Seven stores over one engine; no sink and no model enters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlids.alerts.stores.alerts import AlertStore
from mlids.alerts.stores.audit import AuditStore
from mlids.alerts.stores.cases import CaseStore
from mlids.alerts.stores.engine import Engine
from mlids.alerts.stores.ledger import LedgerStore
from mlids.alerts.stores.retention import RetentionStore
from mlids.alerts.stores.rules import RuleStore
from mlids.alerts.stores.weeks import WeekStore
from mlids.cases.severity import LEVELS


@dataclass(frozen=True)
class Stores:
    """The stores of one database. `close` ends their connections."""

    alerts: AlertStore
    rules: RuleStore
    ledger: LedgerStore
    audit: AuditStore
    retention: RetentionStore
    cases: CaseStore
    weeks: WeekStore
    engine: Engine

    def close(self) -> None:
        """Close the connections of all of them."""
        self.engine.close()


def open_stores(url: str, levels: Sequence[float] = LEVELS) -> Stores:
    """Return the stores at a SQLAlchemy URL (SQLite or PostgreSQL), its schema brought up to date; `levels` are the scores of case severities.

    Raises StoreError when the database does not answer, or its schema is newer than this version of mlids.
    """
    engine = Engine(url)
    return Stores(
        AlertStore(engine),
        RuleStore(engine),
        LedgerStore(engine),
        AuditStore(engine),
        RetentionStore(engine),
        CaseStore(engine, levels),
        WeekStore(engine, levels),
        engine,
    )
