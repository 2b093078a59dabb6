"""Which conns of a sensor were scored live: one file of eight-byte row keys per hour, appended to at each checkpoint."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import numpy as np
import polars as pl

from mlids.errors import StoreError
from mlids.features.context import mix
from mlids.zeek.types import lasted

HOUR_S = 3_600
KEY_COLUMNS = ("uid", "ts", "duration")
_KEY = np.dtype("<u8")
# Hours whose keys are kept in memory while a day is checked. Rows come in the order of their ends: two hours would do.
_HOURS_CACHED = 4


def row_keys(conns: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return uint64[n] row keys, and int64[n] the hours (epoch seconds) in which the conns ended.

    A key is made of uid and ts: a row has the same key whether it was read live or from the archive, on every
    machine and with every version. A uid has 95 bits or more; two rows of an hour of 300,000 share a key with a
    probability of 2e-9.
    """
    first, second, stamps, spans = (column.to_numpy() for column in conns.select(_columns()))
    keys = mix(mix(first, second), stamps.astype(np.int64).view(np.uint64))
    ended = (stamps + spans) // 1_000_000
    return keys, ended - ended % HOUR_S


@lru_cache(maxsize=1)
def _columns() -> list[pl.Expr]:
    """Return two 64-bit words of each uid, and start and duration in microseconds."""
    padded = pl.col("uid").fill_null("").str.pad_end(17, "\0").cast(pl.Binary)
    words = [padded.bin.slice(at, 8).bin.reinterpret(dtype=pl.UInt64, endianness="little").alias(f"word{at}") for at in (1, 9)]
    return [*words, pl.col("ts").dt.epoch("us").fill_null(0).alias("stamp"), (lasted() * 1e6).cast(pl.Int64).alias("lasted")]


class ScoredRecord:
    """The record of one sensor, in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pending: list[tuple[np.ndarray, np.ndarray]] = []
        self._keys_of = lru_cache(maxsize=_HOURS_CACHED)(self._load)

    def add(self, conns: pl.DataFrame) -> None:
        """Add rows to the record in memory; `store` writes them."""
        self._pending.append(row_keys(conns))

    @property
    def pending_rows(self) -> int:
        """Rows that were added and not yet stored."""
        return sum(len(keys) for keys, _ in self._pending)

    def store(self) -> None:
        """Append the pending rows to the files and sync them. Raises StoreError; the rows stay pending then."""
        if not self._pending:
            return
        keys = np.concatenate([k for k, _ in self._pending])
        hours = np.concatenate([h for _, h in self._pending])
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            for hour in np.unique(hours).tolist():
                self._append(hour, keys[hours == hour])
        except OSError as error:
            raise StoreError(f"{self._folder}: {error.strerror or error}; free some space or check its permissions") from error
        self._pending.clear()

    def forget(self) -> None:
        """Drop the pending rows: they will be read and scored again."""
        self._pending.clear()

    def _append(self, hour: int, keys: np.ndarray) -> None:
        file = os.open(self._path(hour), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            size = os.fstat(file).st_size
            end = size - size % _KEY.itemsize  # a partial key was left by a writer that was killed
            os.lseek(file, end, os.SEEK_SET)
            data = memoryview(keys.astype(_KEY).tobytes())
            try:
                while data:
                    data = data[os.write(file, data) :]
                os.fsync(file)
            except OSError:
                os.ftruncate(file, end)
                raise
        finally:
            os.close(file)

    def holds(self, keys: np.ndarray, hours: np.ndarray) -> np.ndarray:
        """Return bool[n]: which rows, given by `row_keys`, were scored live."""
        out = np.zeros(len(keys), bool)
        for hour in np.unique(hours).tolist():
            rows = hours == hour
            stored = self._keys_of(hour)
            if len(stored):
                at = np.minimum(np.searchsorted(stored, keys[rows]), len(stored) - 1)
                out[rows] = stored[at] == keys[rows]
        return out

    def _load(self, hour: int) -> np.ndarray:
        try:
            data = self._path(hour).read_bytes()
        except FileNotFoundError:
            return np.zeros(0, np.uint64)
        return np.unique(np.frombuffer(data[: len(data) - len(data) % _KEY.itemsize], _KEY))

    def any(self) -> bool:
        """Return whether any row was ever scored live."""
        return next(self._folder.glob("*.keys"), None) is not None

    def prune(self, before: datetime) -> None:
        """Remove the hours that began before a moment; their days have been reconciled."""
        for path in self._folder.glob("*.keys"):
            try:
                hour = datetime.strptime(path.stem, "%Y-%m-%dT%H").replace(tzinfo=UTC)
            except ValueError:
                continue
            if hour < before:
                path.unlink(missing_ok=True)

    def _path(self, hour: int) -> Path:
        return self._folder / f"{datetime.fromtimestamp(hour, UTC):%Y-%m-%dT%H}.keys"
