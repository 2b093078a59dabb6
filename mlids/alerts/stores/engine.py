"""One SQLAlchemy engine for all stores: URL, SQLite's journal, transactions, upserts, and errors as StoreError."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from mlids.alerts.stores.schema import upgrade
from mlids.errors import StoreError, os_fault
from mlids.files import open_private
from mlids.text import short

# SQLite's busy timeout does not cover the change to WAL: the change is tried again.
_WAL_TRIES, _WAL_WAIT_S = 100, 0.1
# No transaction of mlids takes a second, save for an upgrade of the schema.
_BUSY_S = 120
_DISK_FAULTS = frozenset(
    {"disk I/O error", "database or disk is full", "attempt to write a readonly database", "unable to open database file"}
)


def now() -> str:
    """Return the current time, UTC, ISO 8601 to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class Engine:
    """A database, opened and with the current schema. Every error of SQLAlchemy leaves it as StoreError.

    SQLite gets a connection for each transaction, so that none is shared with a forked task; PostgreSQL a pool.
    """

    def __init__(self, url: str) -> None:
        self.shown = _shown(url)
        with self._errors("cannot be opened; check MLIDS_DATABASE_URL"):
            self._engine = _create(url)
            if self._engine.dialect.name == "sqlite":
                _use_wal(self._engine)
            upgrade(self._engine, self.shown)

    def close(self) -> None:
        """Close the pool."""
        self._engine.dispose()

    @contextmanager
    def reading(self, what: str) -> Iterator[sa.Connection]:
        """Give a connection to read `what` (plural, for messages) with. Raises StoreError."""
        with self._errors(f"{what} could not be read"), self._engine.connect() as db:
            yield db

    @contextmanager
    def writing(self, what: str) -> Iterator[sa.Connection]:
        """Give a transaction to write `what` in; an error rolls it back. Raises StoreError."""
        with self._errors(f"{what} could not be written"), self._engine.begin() as db:
            if db.dialect.name == "sqlite":
                db.exec_driver_sql("BEGIN IMMEDIATE")  # waits for its turn; a transaction that read first would fail instead
            yield db

    def upsert(self, table: sa.Table, keep: frozenset[str] = frozenset()) -> Any:
        """Return the insert that replaces rows of the same primary key, save for the columns in `keep`."""
        if self._engine.dialect.name == "postgresql":
            from sqlalchemy.dialects.postgresql import insert
        else:
            from sqlalchemy.dialects.sqlite import insert  # type: ignore[assignment]
        statement = insert(table)
        keys = [c.name for c in table.primary_key]
        changed = {c.name: statement.excluded[c.name] for c in table.columns if c.name not in {*keys, *keep}}
        return statement.on_conflict_do_update(index_elements=keys, set_=changed)

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        try:
            yield
        except sa.exc.SQLAlchemyError as error:
            busy = "locked" in str(getattr(error, "orig", ""))
            why = f"another program has been writing for {_BUSY_S} s; try again, and close it if this stays" if busy else _short(error)
            raise StoreError(f"database {self.shown}: {what}: {why}") from error


def _shown(url: str) -> str:
    """Return the URL without its password."""
    try:
        return sa.engine.make_url(url).render_as_string(hide_password=True)
    except sa.exc.ArgumentError as error:
        raise StoreError("MLIDS_DATABASE_URL is not a SQLAlchemy URL; write sqlite:////path/mlids.db or postgresql+psycopg2://…") from error


def _create(url: str) -> sa.Engine:
    """Return an engine; the folder of a SQLite file is made. Raises StoreError when it cannot be, or a driver is missing."""
    if not url.startswith("sqlite"):
        try:
            return sa.create_engine(url)
        except ModuleNotFoundError as error:
            raise StoreError(f"database {_shown(url)}: {error}; install mlids[postgres]") from error
    name = sa.engine.make_url(url).database
    if name and name != ":memory:" and not name.startswith("file:"):
        path = Path(name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(open_private(name, os.O_RDWR | os.O_CREAT))  # SQLite gives its -wal and -shm the same rights
        except OSError as error:
            raise StoreError(os_fault(error, path)) from error
    return sa.create_engine(url, connect_args={"timeout": _BUSY_S}, poolclass=sa.pool.NullPool)


def _use_wal(engine: sa.Engine) -> None:
    """Switch a SQLite file to the write-ahead log, so that readers and the writer do not block each other."""
    for left in reversed(range(_WAL_TRIES)):
        try:
            with engine.connect() as db:
                db.exec_driver_sql("PRAGMA journal_mode=WAL")
            return
        except sa.exc.OperationalError as error:
            if not left or "locked" not in str(error):
                raise
            time.sleep(_WAL_WAIT_S)


def _short(error: Exception) -> str:
    found = short(str(getattr(error, "orig", None) or error).split("\n", 1)[0], 300)
    return f"{found} (is the disk full, or are its folder and files not writable?)" if found in _DISK_FAULTS else found
