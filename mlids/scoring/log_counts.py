"""How many rows of each log beside conn.log were read live: in all, and by the day of the log in which they stand.

The archive has a log in the folder of the day on which it was opened, so that the night compares like with like: a row that Zeek
wrote after midnight counts for the new day, whatever its own time says.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, tzinfo
from pathlib import Path
from typing import Any

import polars as pl

from mlids.scoring.tables_file import read_tables
from mlids.zeek.reader import Batch

# Days that are counted apart, of each log; the earliest are forgotten.
DAYS_KEPT = 16
TABLES = "tables.zip"
FACTS = "positions"  # the table with positions and counts, as JSON


@dataclass
class LogCounts:
    """What was read of one log over all runs: rows, and lines that did not parse. `error` is None while it is read."""

    rows: int = 0
    rejected: int = 0
    error: str | None = None
    days: dict[str, int] = field(default_factory=dict)  # rows by the day (ISO 8601) on which their log was opened
    opened: tuple[str, str] | None = None  # identity and day of the log that was read last

    def add(self, batch: Batch, identity: str, zone: tzinfo) -> None:
        """Count a batch of the log with this identity."""
        if self.opened is None or self.opened[0] != identity:
            self.opened = identity, _opened_on(batch, zone).isoformat()
        day = self.opened[1]
        self.rows += batch.frame.height
        self.days[day] = self.days.get(day, 0) + batch.frame.height
        while len(self.days) > DAYS_KEPT:
            del self.days[min(self.days)]

    def as_dict(self) -> dict[str, Any]:
        """Return what a status shows."""
        return {"rows": self.rows, "rejected": self.rejected, "error": self.error}

    def state(self) -> dict[str, Any]:
        """Return what is stored."""
        return {"rows": self.rows, "rejected": self.rejected, "days": self.days, "opened": self.opened}

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> LogCounts:
        """Return the counts that were stored. Raises ValueError, KeyError or TypeError when they are none."""
        days = {date.fromisoformat(day).isoformat(): int(rows) for day, rows in stored["days"].items()}
        opened = stored["opened"]
        return cls(int(stored["rows"]), int(stored["rejected"]), None, days, (str(opened[0]), str(opened[1])) if opened else None)


def _opened_on(batch: Batch, zone: tzinfo) -> date:
    """Return the day on which the log of a batch was opened: by its header, in JSON by its first rows."""
    ts = batch.frame["ts"].max() if "ts" in batch.frame.columns else None
    newest = ts.astimezone(zone).date() if isinstance(ts, datetime) and ts.tzinfo is not None else None
    try:
        return datetime.strptime((batch.opened or "")[:10], "%Y-%m-%d").date()
    except ValueError:
        return newest or datetime.now(zone).date()


def read_counts(folder: Path) -> dict[str, dict[str, int]]:
    """Return the rows read live by log and day, by the state folder of a sensor; empty when no log was followed."""
    try:
        facts = json.loads(read_tables(folder / "logs" / TABLES, [FACTS])[FACTS]["json"][0])
        return {name: LogCounts.of(stored).days for name, stored in facts["counts"].items()}
    except (OSError, ValueError, KeyError, TypeError, pl.exceptions.PolarsError):
        return {}
