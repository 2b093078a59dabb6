"""The evidence of the logs beside conn.log by day: each row counts for the day of its own time, whichever log is read first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, tzinfo

import polars as pl

from mlids.evidence.collecting import Collectors
from mlids.evidence.names import Names

# Days that are collected at once: the present one, and the next one for logs that are read before conn.log is.
MOST_DAYS = 2
_UNKNOWN = date(1970, 1, 1)  # of rows without a time, while no day is known


class EvidenceDays:
    """Collectors of the present day and of the next one. `zone` is the sensor's; names of addresses stay from day to day.

    The present day is that of conn.log (`begin`). Rows of days before it are not collected: the night gathers them from the
    archive. Rows of days after the next one count for the next one.
    """

    def __init__(self, networks: Sequence[str], zone: tzinfo) -> None:
        self._networks, self._zone = tuple(networks), str(zone)
        self._held: dict[date, Collectors] = {}
        self._names = Names()
        self.day: date | None = None

    @property
    def present(self) -> Collectors:
        """Return the collectors of the present day; before the first day began, of the earliest one that was seen."""
        return self._collectors(self.day or min(self._held, default=_UNKNOWN))

    @property
    def problems(self) -> list[str]:
        """Return what no evidence comes from any more, and why."""
        return [problem for _, one in sorted(self._held.items()) for problem in one.problems]

    def begin(self, day: date) -> None:
        """Take `day` as the present one, and forget the days before it. An earlier day than the present one is ignored."""
        if self.day is not None and day <= self.day:
            return
        self._held = {d: one for d, one in self._held.items() if d >= day}
        self.day = day
        self._collectors(day)

    def add(self, log: str, rows: pl.DataFrame) -> None:
        """Take a batch of rows of a log, in its order."""
        present = self.day or min(self._held, default=None)
        days = self._days_of(rows)
        days = days.fill_null(present or days.min() or _UNKNOWN)  # type: ignore[arg-type]
        for day in days.unique().sort().head(MOST_DAYS).to_list():
            if len(self._held) < MOST_DAYS and (self.day is None or day >= self.day):
                self._collectors(day)
        after = None
        held = sorted(self._held)
        for day in held:
            wanted = days <= day if day != held[-1] else pl.repeat(True, len(days), eager=True)
            if after is not None:
                wanted &= days > after
            elif self.day is not None:
                wanted &= days >= self.day
            self._held[day].add(log, rows if wanted.all() else rows.filter(wanted))
            after = day

    def _days_of(self, rows: pl.DataFrame) -> pl.Series:
        """Return the day of each row in the sensor's zone; null for a row without a time."""
        ts = rows["ts"] if "ts" in rows.columns else None
        if ts is None or not isinstance(ts.dtype, pl.Datetime):
            return pl.repeat(None, rows.height, dtype=pl.Date, eager=True)
        return (ts if ts.dtype.time_zone else ts.dt.replace_time_zone("UTC")).dt.convert_time_zone(self._zone).dt.date()

    def _collectors(self, day: date) -> Collectors:
        if day not in self._held:
            self._held[day] = Collectors(self._networks, one_day=True)
            self._held[day].names = self._names
        return self._held[day]

    def state(self) -> dict[str, pl.DataFrame]:
        """Return the state as tables, by `DAY/` and the names that `Collectors` gives them."""
        out: dict[str, pl.DataFrame] = {}
        for day, one in self._held.items():
            out |= {(name if name.startswith("names/") else f"{day}/{name}"): table for name, table in one.state().items()}
        return out

    def restore(self, tables: Mapping[str, pl.DataFrame], day: date | None) -> None:
        """Take over the tables that another one returned, and its day; none begins anew. Raises ValueError when they are no such tables."""
        self._held, self._names, self.day = {}, Names(), day
        names = {name: table for name, table in tables.items() if name.startswith("names/")}
        by_day: dict[date, dict[str, pl.DataFrame]] = {}
        for path, table in tables.items():
            if path not in names:
                of, _, name = path.partition("/")
                by_day.setdefault(date.fromisoformat(of), {})[name] = table
        for of_day, held in by_day.items():
            self._collectors(of_day).restore(held)
        self._names.restore({name.removeprefix("names/"): table for name, table in names.items()})
