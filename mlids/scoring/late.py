"""The gap ledger: the archived day is the truth, and every row of it that was not scored live is scored late.

The live scorer records eight bytes for each row it has scored, in a file an hour. At night the rows of the
lake are held against that record; those missing are scored with the past they have in the archive, under the
ids that a live alert would have had. Nothing is scored twice, nothing is left out, and the ledger says so.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import numpy as np
import polars as pl

from mlids.alerts.aggregation import AlertAggregator
from mlids.alerts.document import Alert
from mlids.detectors.bundle import Model
from mlids.detectors.verdict import judge
from mlids.errors import StoreError
from mlids.features.context import live_context, mix
from mlids.features.extract import Extractor
from mlids.zeek.types import CONN, conn_columns, lasted

HOUR_S = 3_600
KEY_COLUMNS = ("uid", "ts", "duration")
CONN_COLUMNS = tuple(c.name for c in CONN)
_SLICE_ROWS = 65_536
_KEY = np.dtype("<u8")
# Hours whose keys are held while a day is checked: rows come in the order of their ends, so that two would do.
_HOURS_HELD = 4


def row_keys(conns: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return uint64[n] that stand for the rows, and int64[n] hours (epoch seconds) in which they ended.

    The key is made of uid and ts: the same for a row whether it was read live or from the archive, on
    every machine and with every version. A uid carries 95 bits or more; two rows of an hour of 300,000
    share a key with a chance of 2e-9.
    """
    first, second, stamps, spans = (column.to_numpy() for column in conns.select(_columns()))
    keys = mix(mix(first, second), stamps.astype(np.int64).view(np.uint64))
    ended = (stamps + spans) // 1_000_000
    return keys, ended - ended % HOUR_S


@lru_cache(maxsize=1)
def _columns() -> list[pl.Expr]:
    """Return two words of each uid, and begin and length in microseconds."""
    padded = pl.col("uid").fill_null("").str.pad_end(17, "\0").cast(pl.Binary)
    words = [padded.bin.slice(at, 8).bin.reinterpret(dtype=pl.UInt64, endianness="little").alias(f"word{at}") for at in (1, 9)]
    return [*words, pl.col("ts").dt.epoch("us").fill_null(0).alias("stamp"), (lasted() * 1e6).cast(pl.Int64).alias("lasted")]


class ScoredRecord:
    """Which rows of a sensor were scored live: one file of keys an hour, appended to at each checkpoint."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pending: list[tuple[np.ndarray, np.ndarray]] = []
        self._hour = lru_cache(maxsize=_HOURS_HELD)(self._load)

    def add(self, conns: pl.DataFrame) -> None:
        """Remember rows as scored; `store` puts them on the disk."""
        self._pending.append(row_keys(conns))

    @property
    def pending_rows(self) -> int:
        """Rows remembered and not yet stored."""
        return sum(len(keys) for keys, _ in self._pending)

    def store(self) -> None:
        """Append what is remembered. Raises StoreError when the disk refuses; nothing is forgotten then."""
        if not self._pending:
            return
        keys = np.concatenate([k for k, _ in self._pending])
        hours = np.concatenate([h for _, h in self._pending])
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            for hour in np.unique(hours).tolist():
                self._append(hour, keys[hours == hour])
        except OSError as error:
            raise StoreError(f"{self._folder}: {error.strerror or error}") from error
        self._pending.clear()

    def forget(self) -> None:
        """Drop what is not stored: those rows will be read and scored again."""
        self._pending.clear()

    def _append(self, hour: int, keys: np.ndarray) -> None:
        handle = os.open(self._path(hour), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            size = os.fstat(handle).st_size
            whole = size - size % _KEY.itemsize  # half a key of a writer that was killed
            os.lseek(handle, whole, os.SEEK_SET)
            data = memoryview(keys.astype(_KEY).tobytes())
            try:
                while data:
                    data = data[os.write(handle, data) :]
                os.fsync(handle)
            except OSError:
                os.ftruncate(handle, whole)
                raise
        finally:
            os.close(handle)

    def holds(self, keys: np.ndarray, hours: np.ndarray) -> np.ndarray:
        """Say which rows were scored live."""
        out = np.zeros(len(keys), bool)
        for hour in np.unique(hours).tolist():
            rows = hours == hour
            held = self._hour(hour)
            if len(held):
                at = np.minimum(np.searchsorted(held, keys[rows]), len(held) - 1)
                out[rows] = held[at] == keys[rows]
        return out

    def _load(self, hour: int) -> np.ndarray:
        try:
            data = self._path(hour).read_bytes()
        except FileNotFoundError:
            return np.zeros(0, np.uint64)
        return np.unique(np.frombuffer(data[: len(data) - len(data) % _KEY.itemsize], _KEY))

    def any(self) -> bool:
        """Say whether anything was ever scored live."""
        return next(self._folder.glob("*.keys"), None) is not None

    def prune(self, before: datetime) -> None:
        """Remove hours that ended before a moment: their days have been reconciled long ago."""
        for path in self._folder.glob("*.keys"):
            try:
                hour = datetime.strptime(path.stem, "%Y-%m-%dT%H").replace(tzinfo=UTC)
            except ValueError:
                continue
            if hour < before:
                path.unlink(missing_ok=True)

    def _path(self, hour: int) -> Path:
        return self._folder / f"{datetime.fromtimestamp(hour, UTC):%Y-%m-%dT%H}.keys"


@dataclass
class Hour:
    """What became of the rows of one hour."""

    start: datetime
    archived: int = 0
    live: int = 0
    late: int = 0
    rejected: int = 0

    @property
    def missing(self) -> int:
        """Archived rows that no model has scored."""
        return self.archived - self.live - self.late


@dataclass
class Reconciled:
    """A day held against the record: its hours, and the alerts of what was scored late."""

    hours: list[Hour]
    alerts: list[Alert]
    model_version: str | None

    @property
    def late(self) -> int:
        """Rows scored late."""
        return sum(h.late for h in self.hours)


def reconcile(
    batches: Callable[[Sequence[str]], Iterable[pl.DataFrame]], record: ScoredRecord, model: Model | None, *, before: Iterable[pl.DataFrame] = (),
    aggregator: AlertAggregator | None = None, networks: tuple[str, ...] = (), threshold: float | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Reconciled:  # fmt: skip
    """Hold a day's conns against the record and score what is missing; memory is bounded by a batch.

    `batches` is called with the columns that are wanted: once to count, and, where rows are missing, once to score them. `before`
    gives the last hour of the day before, for its past alone. Without a model nothing is scored. `aggregator`
    knows the rules that hold alerts back.
    """
    hours: dict[int, Hour] = {}
    rows = 0
    for conns in batches(KEY_COLUMNS):
        keys, ended = row_keys(conns)
        live = record.holds(keys, ended)
        for hour in np.unique(ended).tolist():
            entry = hours.setdefault(hour, Hour(datetime.fromtimestamp(hour, UTC)))
            entry.archived += int((ended == hour).sum())
            entry.live += int((live & (ended == hour)).sum())
        rows += conns.height
        progress(f"{rows:,} conns counted")
    out = Reconciled([hours[h] for h in sorted(hours)], [], model.version if model else None)
    if model is not None and any(h.missing for h in out.hours):
        out.alerts = _score_missing(batches, before, record, model, hours, aggregator or AlertAggregator(), networks, threshold, progress)
    return out


def _score_missing(
    batches: Callable[[Sequence[str]], Iterable[pl.DataFrame]], before: Iterable[pl.DataFrame], record: ScoredRecord, model: Model,
    hours: dict[int, Hour], aggregator: AlertAggregator, networks: tuple[str, ...], threshold: float | None, progress: Callable[[str], None],
) -> list[Alert]:  # fmt: skip
    extractor = Extractor(networks, live_context())
    for conns in _slices(before):
        extractor.features(conns)
    alerts: dict[str, Alert] = {}
    left = sum(h.missing for h in hours.values())
    total = left
    for conns in _slices(batches(CONN_COLUMNS)):
        x = extractor.features(conns)
        keys, ended = row_keys(conns)
        missing = ~record.holds(keys, ended)
        if missing.any():
            some = conns.filter(pl.Series(missing))
            verdicts = judge(model, x[missing], threshold)
            alerts |= {a.id: a for a in aggregator.add(model, some, x[missing], verdicts)}
            for hour, n in zip(*np.unique(ended[missing], return_counts=True), strict=True):
                hours[int(hour)].late += int(n)
            left -= some.height
            progress(f"{total - left:,} of {total:,} conns scored late")
        if left <= 0:
            break
    return list(alerts.values())


def _slices(batches: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    for batch in batches:
        for start in range(0, batch.height, _SLICE_ROWS):
            yield conn_columns(batch.slice(start, _SLICE_ROWS))
