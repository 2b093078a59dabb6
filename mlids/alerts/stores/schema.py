"""Brings a database to the current schema; alembic is imported only when there is something to do."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import sqlalchemy as sa

from mlids.errors import StoreError

# The revisions in `migrations/versions`, oldest first; the last one is the schema of `tables.py`.
REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006", "0007")
# A name of its own: MLflow and Airflow keep an `alembic_version` each, and may share the database.
VERSION_TABLE = "mlids_schema_version"
MIGRATIONS = Path(__file__).resolve().parent / "migrations"
_LOCK_KEY = 0x6D6C696473  # "mlids"; PostgreSQL's advisory locks have numbers
_one_at_a_time = threading.Lock()  # alembic's `context` and `op` are global to the process

log = logging.getLogger(__name__)


def upgrade(engine: sa.Engine, shown: str) -> None:
    """Create or upgrade the schema; nothing happens when it is current.

    One transaction under a lock of the database: of several processes one upgrades and the others wait for it.
    Tables without a version (of mlids before migrations) are adopted with their rows. Raises StoreError when the
    schema is newer than this version of mlids.
    """
    with engine.connect() as db:
        if schema_version(db) == REVISIONS[-1]:
            return
    with _one_at_a_time, engine.begin() as db:
        if db.dialect.name == "postgresql":
            db.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK_KEY)))
        else:
            db.exec_driver_sql("BEGIN IMMEDIATE")
        found = schema_version(db)
        if found == REVISIONS[-1]:
            return
        if found is not None and found not in REVISIONS:
            raise StoreError(
                f"database {shown} has schema version {found}, and this mlids knows versions up to {REVISIONS[-1]}: "
                "install the newer mlids again, or restore the database from before its upgrade"
            )
        _migrate(db)
        log.info("database schema upgraded", extra={"database": shown, "from": found, "to": REVISIONS[-1]})


def schema_version(db: sa.Connection) -> str | None:
    """Return the version of a database's schema; None for an empty database and for one without a version."""
    if not sa.inspect(db).has_table(VERSION_TABLE):
        return None
    return db.execute(sa.text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608 - a constant


def _migrate(db: sa.Connection) -> None:
    from alembic import command
    from alembic.config import Config

    logging.getLogger("alembic").setLevel(logging.WARNING)
    config = Config(attributes={"connection": db})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    command.upgrade(config, "head")
