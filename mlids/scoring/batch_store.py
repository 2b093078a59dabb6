"""Temporary storage of a batch scoring: all rows on disk in order, and a uniform sample to fit a model on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from mlids.errors import StoreError
from mlids.evidence.site_hosts import SiteHosts
from mlids.features.spec import NAMES

FIT_ROWS = 65_536


class Part(NamedTuple):
    """Rows of a RowStore that were added together: the file with their identity columns, their first row number, their count."""

    path: Path
    start: int
    rows: int

    def of(self, rows: np.ndarray) -> np.ndarray:
        """Return bool[n]: which of these row numbers are in this part."""
        return (rows >= self.start) & (rows < self.start + self.rows)


class RowStore:
    """Identity columns and features of all rows, on disk in order: the second pass does not parse the logs again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.parts: list[Part] = []
        self.rows = 0
        self._features = folder / "features.f32"
        self._keys: list[np.ndarray] = []
        self.hosts = SiteHosts()

    @property
    def keys(self) -> np.ndarray:
        """uint64[rows]: what each row has in common with others of its service and day."""
        return np.concatenate(self._keys) if self._keys else np.zeros(0, np.uint64)

    def add(self, identity: pl.DataFrame, x: np.ndarray, keys: np.ndarray) -> None:
        """Append rows with features float32[n, features] and keys uint64[n] (`day_view.day_keys`). Raises StoreError when the temporary folder is full."""
        path = self._folder / f"{len(self.parts):06d}.arrow"
        try:
            identity.write_ipc(path)
            with self._features.open("ab") as out:
                x.T.tofile(out)  # column by column, the order they have in memory
        except OSError as error:
            raise StoreError(
                f"{self._folder}: {error.strerror or error}; scoring needs about 480 bytes a row there (set TMPDIR)"
            ) from error
        self.hosts.add(identity, x)
        self._keys.append(keys)
        self.parts.append(Part(path, self.rows, identity.height))
        self.rows += identity.height

    def features(self) -> Iterator[np.ndarray]:
        """Yield float32[n, features] of each part, columns contiguous, mapped from disk: pages are read when they are used."""
        return (self._block(part) for part in self.parts)

    def _block(self, part: Part) -> np.ndarray:
        width = len(NAMES)
        return np.memmap(self._features, np.float32, "c", offset=part.start * width * 4, shape=(width, part.rows)).T

    def identity(self, rows: np.ndarray) -> pl.DataFrame:
        """Return the identity columns of row numbers, in that order."""
        found = []
        for part in self.parts:
            wanted = rows[part.of(rows)]
            if len(wanted):
                held = pl.read_ipc(part.path)[(wanted - part.start).tolist()]
                found.append(held.with_columns(_row=pl.Series(wanted.astype(np.int64))))
        order = pl.DataFrame({"_row": rows.astype(np.int64)})
        return order.join(pl.concat(found), on="_row", how="left", maintain_order="left")

    def matrix(self, rows: np.ndarray) -> np.ndarray:
        """Return float32[n, features] of row numbers."""
        out = np.empty((len(rows), len(NAMES)), np.float32)
        for part in self.parts:
            wanted = part.of(rows)
            if wanted.any():
                out[wanted] = self._block(part)[rows[wanted] - part.start]
        return out


class Sample:
    """A uniform sample of at most `size` rows of a stream. The same seed takes the same rows, whatever the batch sizes."""

    def __init__(self, size: int = FIT_ROWS, seed: int = 0, *, features: int = len(NAMES)) -> None:
        self._size, self._rng = size, np.random.default_rng(seed)
        self._keys = np.full(size, np.inf)  # a random key per row; the rows with the smallest are the sample; infinite: free
        self._numbers = np.zeros(size, np.int64)  # row numbers in the stream
        self._x = np.empty((size, features), np.float32)
        self._seen = 0

    @property
    def x(self) -> np.ndarray:
        """float32[n, features] of the sample, in the order of the stream."""
        held = np.flatnonzero(np.isfinite(self._keys))
        return self._x[held[np.argsort(self._numbers[held])]]

    def add(self, x: np.ndarray) -> None:
        """Offer the next rows; those taken replace the ones with the largest keys."""
        keys = self._rng.random(len(x))
        offered = np.flatnonzero(keys < self._keys.max())
        if len(offered):
            going = np.argpartition(np.concatenate([self._keys, keys[offered]]), self._size)[self._size :]
            places = going[going < self._size]
            taken = np.delete(offered, going[going >= self._size] - self._size)
            self._keys[places], self._numbers[places], self._x[places] = keys[taken], self._seen + taken, x[taken]
        self._seen += len(x)
