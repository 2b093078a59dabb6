"""All collectors together: rows of the logs go in, evidence comes out."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import groupby

import polars as pl

from mlids.evidence.base import Collector, Evidence, SiteView
from mlids.evidence.names import LOGS, Names
from mlids.evidence.registry import evidence_types
from mlids.text import short

log = logging.getLogger(__name__)

# A batch costs each collector some milliseconds, however few rows it has: an hour's file, or a second of live rows.
BATCH_ROWS = 32_768
# A table is grouped again with every batch: batches that wait may become as large as the largest table, within these limits.
MOST_ROWS, MOST_BYTES = 262_144, 32 << 20


class Collectors:
    """A collector of each type, and the names of addresses, over the same rows."""

    def __init__(self, networks: Sequence[str] = (), *, one_day: bool = False) -> None:
        self._collectors: list[Collector] = [make(one_day=one_day) for make in evidence_types()]
        self.networks = tuple(networks)
        self.names = Names()
        self._waiting: dict[str, list[pl.DataFrame]] = {}
        self._rows: dict[str, int] = {}
        self._bytes: dict[str, int] = {}
        # What no evidence comes from any more, and why: a collector that fails at rows is left out, and the others go on.
        self.problems: list[str] = []

    @staticmethod
    def fields() -> dict[str, set[str]]:
        """Return the fields that are read of each log, by Zeek's name of the log."""
        return {log: set(fields) for log, fields in _fields().items()}

    def add(self, log: str, rows: pl.DataFrame) -> None:
        """Take a batch of rows of a log, in its order; logs that nobody reads are ignored. Batches wait until they are BATCH_ROWS, or as many as a table has."""
        wanted = _fields().get(log)
        if wanted is None or rows.is_empty():
            return
        rows = rows.select([c for c in rows.columns if c in wanted])
        self._waiting.setdefault(log, []).append(rows)
        self._rows[log] = self._rows.get(log, 0) + rows.height
        self._bytes[log] = self._bytes.get(log, 0) + int(rows.estimated_size())
        if self._rows[log] >= BATCH_ROWS and self._rows[log] >= min(self._largest(log), MOST_ROWS):
            self._take(log)
        elif sum(self._bytes.values()) >= MOST_BYTES:
            self._take(max(self._bytes, key=lambda name: self._bytes[name]))

    def _largest(self, log: str) -> int:
        """Return the rows of the largest table that rows of a log go into."""
        return max((t.height for c in self._collectors if log in c.reads for t in c.tables.values()), default=0)

    def _take(self, log: str) -> None:
        """Give the collectors the rows of a log that wait."""
        waiting, self._rows[log], self._bytes[log] = self._waiting.pop(log, []), 0, 0
        for rows in _joined(waiting):
            try:
                self.names.add(log, rows)
            except (Exception, pl.exceptions.PanicException) as error:  # noqa: BLE001
                self._note(f"the names in rows of {log} cannot be read", error)
            for collector in list(self._collectors):
                if log in collector.reads:
                    try:
                        collector.add(log, rows)
                    except (Exception, pl.exceptions.PanicException) as error:  # noqa: BLE001
                        self._drop(collector, f"at rows of {log}", error)

    def _take_all(self) -> None:
        for name in list(self._waiting):
            self._take(name)

    def _drop(self, collector: Collector, where: str, error: BaseException) -> None:
        self._collectors.remove(collector)
        self._note(f"{type(collector).__name__} failed {where} and gives no evidence", error)

    def _note(self, what: str, error: BaseException) -> None:
        self.problems = [*self.problems[-99:], f"{what}: {type(error).__name__}: {short(str(error), 200)}"]
        log.error("%s", self.problems[-1], exc_info=error)

    def evidence(self, site: SiteView | None = None) -> list[Evidence]:
        """Return all evidence so far, the clearest first; `site.names` are those of these logs."""
        self._take_all()
        site = replace(site or SiteView(self.networks), names=self.names)
        found: list[Evidence] = []
        for collector in list(self._collectors):
            first = next(iter(collector.reads))
            try:
                found += [e if e.log else replace(e, log=first) for e in collector.evidence(site)]
            except (Exception, pl.exceptions.PanicException) as error:  # noqa: BLE001
                self._drop(collector, "when its evidence was asked for", error)
        return sorted(found, key=lambda e: -e.score)

    def state(self) -> dict[str, pl.DataFrame]:
        """Return the state as tables, by the name of their owner and their own."""
        self._take_all()
        out = {f"names/{name}": table for name, table in self.names.state().items()}
        for collector in self._collectors:
            out |= {f"{type(collector).__name__}/{name}": table for name, table in collector.tables.items()}
        return out

    def restore(self, state: Mapping[str, pl.DataFrame]) -> None:
        """Take over the state that other collectors returned; tables of collectors that are not installed are dropped."""
        self._waiting, self._rows, self._bytes = {}, {}, {}
        of: dict[str, dict[str, pl.DataFrame]] = {}
        for path, table in state.items():
            owner, _, name = path.partition("/")
            of.setdefault(owner, {})[name] = table
        self.names.restore(of.get("names", {}))
        for collector in self._collectors:
            collector.tables = of.get(type(collector).__name__, {})


@lru_cache(maxsize=1)
def _fields() -> Mapping[str, frozenset[str]]:
    out: dict[str, set[str]] = {log: set(fields) for log, fields in LOGS.items()}
    for make in evidence_types():
        for log, fields in make.reads.items():
            out.setdefault(log, set()).update(fields)
    return {log: frozenset(fields) for log, fields in out.items()}


def _joined(batches: Sequence[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Yield batches joined where their columns are the same: the files of an hour have the same ones."""
    for _, same in groupby(batches, key=lambda b: b.schema):
        yield pl.concat(list(same), rechunk=True)
