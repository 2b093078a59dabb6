"""Very many stored alerts, made by the database itself from one template: a million take seconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from mlids.alerts.grouping import GroupKey
from mlids.alerts.stores import Stores
from mlids.alerts.stores.tables import ALERTS
from tests.support.alerts import alert

BEGIN = datetime(2026, 8, 1, tzinfo=UTC)
APART_S = 9  # seconds from one alert to the next
SOURCES = 65_536
_SOURCE = "10.77.77.77"
_TS = "2026-08-01T00:00:00.000000Z"


def fill(stores: Stores, count: int) -> None:
    """Store `count` alerts of `SOURCES` sources (10.0.0.0/16), one each APART_S seconds: nine tenths vertical scans, the rest beacons."""
    key = GroupKey("ID" * 16, "hq", "vertical_scan", _SOURCE, "192.0.2.1", 0)
    words = "vertical scan: 400 services tried between the two in 1 h; 98 % of those between the two failed in 1 h"
    stores.alerts.put([alert(1, BEGIN, key=key, src=_SOURCE, dst="192.0.2.1", reasons=words, uids=[f"C{n}abc" for n in range(5)])], "live")
    with stores.engine.writing("many alerts") as db:
        (row,) = db.execute(sa.select(ALERTS)).mappings()
        db.execute(sa.delete(ALERTS))
        db.exec_driver_sql(_statement(db.dialect.name, dict(row), count))
    with stores.engine.writing("statistics") as db:
        db.exec_driver_sql("ANALYZE alerts")


def _statement(dialect: str, row: dict[str, Any], count: int) -> str:
    """Return the INSERT that repeats a row; id, time, source, kind, score and count change."""
    sqlite = dialect == "sqlite"
    if sqlite:
        numbers = f"(WITH RECURSIVE g(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM g WHERE n < {count - 1}) SELECT n FROM g) AS g"
        number = "printf('%08x', n) || printf('%024x', 0)"
        ts = f"strftime('%Y-%m-%dT%H:%M:%S', {int(BEGIN.timestamp())} + n * {APART_S}, 'unixepoch') || '.000000Z'"
        source_key = f"'4' || printf('%08x', {0x0A000000} + n % {SOURCES})"
    else:
        numbers = f"generate_series(0::bigint, {count - 1}) AS g(n)"
        number = "lpad(to_hex(n), 8, '0') || repeat('0', 24)"
        ts = (
            f"to_char(to_timestamp({int(BEGIN.timestamp())} + n * {APART_S}) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS') || '.000000Z'"
        )
        source_key = f"'4' || lpad(to_hex({0x0A000000} + n % {SOURCES}), 8, '0')"
    source = f"'10.0.' || CAST((n % {SOURCES}) / 256 AS {'INTEGER' if sqlite else 'BIGINT'}) || '.' || (n % 256)"
    kind = "CASE WHEN n % 10 = 0 THEN 'beacon' ELSE 'vertical_scan' END"
    changed = {
        "id": number,
        "ts": ts,
        "src": source,
        "kind": kind,
        "source_key": source_key,
        "score": "60.0 + n % 40",
        "count": "1 + n % 7",
    }

    def text(column: str) -> str:
        value = row[column]
        if column in changed:
            return changed[column]
        if value is None or isinstance(value, (int, float)):
            return "NULL" if value is None else str(value)
        quoted = "'" + value.replace("'", "''") + "'"
        if column not in ("document", "parts"):
            return quoted
        for old, new in (("ID" * 16, number), (_SOURCE, source), (_TS, ts), ('"vertical_scan"', f"'\"' || ({kind}) || '\"'")):
            quoted = f"replace({quoted}, '{old}', {new})"
        return quoted

    columns = list(row)
    names = ", ".join('"' + c + '"' for c in columns)
    statement = f"INSERT INTO alerts ({names}) SELECT {', '.join(text(c) for c in columns)} FROM {numbers}"
    return statement if sqlite else statement.replace("%", "%%")  # psycopg2 reads percent signs


def when(n: int) -> datetime:
    """Return when the n-th alert began."""
    return BEGIN + timedelta(seconds=n * APART_S)
