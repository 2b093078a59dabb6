"""The product's own tables: alerts, rules and verdicts, ledger, audit. Five stores over one engine; no sink and no model enters."""

from __future__ import annotations

from dataclasses import dataclass

from mlids.alerts.stores.alerts import AlertStore
from mlids.alerts.stores.audit import AuditStore
from mlids.alerts.stores.engine import Engine
from mlids.alerts.stores.ledger import LedgerStore
from mlids.alerts.stores.retention import RetentionStore
from mlids.alerts.stores.rules import RuleStore


@dataclass(frozen=True)
class Stores:
    """The stores of one database. `close` ends their connections."""

    alerts: AlertStore
    rules: RuleStore
    ledger: LedgerStore
    audit: AuditStore
    retention: RetentionStore
    engine: Engine

    def close(self) -> None:
        """Close the connections of all of them."""
        self.engine.close()


def open_stores(url: str) -> Stores:
    """Return the stores at a SQLAlchemy URL (SQLite or PostgreSQL), its schema brought up to date.

    Raises StoreError when the database does not answer, or its schema is newer than this version of mlids.
    """
    engine = Engine(url)
    return Stores(AlertStore(engine), RuleStore(engine), LedgerStore(engine), AuditStore(engine), RetentionStore(engine), engine)
