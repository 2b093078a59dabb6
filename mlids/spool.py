"""Rows on their way through a batch scoring: all of them on disk in order, and a uniform sample to fit on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from mlids.errors import StoreError
from mlids.features.spec import NAMES

FIT_ROWS = 65_536


class Spool:
    """Identity and features of all rows on disk, in order, so that two passes need no second reading."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.parts: list[tuple[Path, int]] = []
        self.rows = 0
        self._features = folder / "features.f32"

    def add(self, identity: pl.DataFrame, x: np.ndarray) -> None:
        """Append rows. Raises StoreError when the temporary folder is full."""
        path = self._folder / f"{len(self.parts):06d}.arrow"
        try:
            identity.write_ipc(path)
            with self._features.open("ab") as out:
                x.T.tofile(out)  # by columns, as they lie
        except OSError as error:
            raise StoreError(
                f"{self._folder}: {error.strerror or error}; scoring needs about 480 bytes a row there (set TMPDIR)"
            ) from error
        self.parts.append((path, identity.height))
        self.rows += identity.height

    def features(self) -> Iterator[np.ndarray]:
        """Yield the feature matrix as it was added, columns contiguous; what is not looked at is not read."""
        start = 0
        for _, height in self.parts:
            yield self._block(start, height)
            start += height

    def _block(self, start: int, height: int) -> np.ndarray:
        width = len(NAMES)
        return np.memmap(self._features, np.float32, "c", offset=start * width * 4, shape=(width, height)).T

    def identity(self, rows: np.ndarray) -> pl.DataFrame:
        """Return the identity of chosen rows, in the order asked for."""
        found = []
        start = 0
        for path, height in self.parts:
            wanted = rows[(rows >= start) & (rows < start + height)]
            if len(wanted):
                part = pl.read_ipc(path)[(wanted - start).tolist()]
                found.append(part.with_columns(_row=pl.Series(wanted.astype(np.int64))))
            start += height
        order = pl.DataFrame({"_row": rows.astype(np.int64)})
        return order.join(pl.concat(found), on="_row", how="left", maintain_order="left")

    def matrix(self, rows: np.ndarray) -> np.ndarray:
        """Return the features of chosen rows."""
        out = np.empty((len(rows), len(NAMES)), np.float32)
        start = 0
        for _, height in self.parts:
            wanted = (rows >= start) & (rows < start + height)
            if wanted.any():
                out[wanted] = self._block(start, height)[rows[wanted] - start]
            start += height
        return out


class Sample:
    """A uniform sample of at most `size` rows of a stream; the same seed takes the same rows, however they are cut."""

    def __init__(self, size: int = FIT_ROWS, seed: int = 0) -> None:
        self._size, self._rng = size, np.random.default_rng(seed)
        self._keys = np.empty(0)
        self._numbers = np.empty(0, np.int64)  # of the rows in the stream
        self._x = np.empty((0, len(NAMES)), np.float32)
        self._seen = 0

    @property
    def x(self) -> np.ndarray:
        """The rows taken, in the order of the stream."""
        return self._x[np.argsort(self._numbers)]

    def add(self, x: np.ndarray) -> None:
        """Offer rows."""
        keys = self._rng.random(len(x))
        numbers = np.arange(self._seen, self._seen + len(x))
        self._seen += len(x)
        held = len(self._keys)
        if held == self._size:
            some = keys < self._keys.max()
            x, keys, numbers = x[some], keys[some], numbers[some]
        every = np.concatenate([self._keys, keys])
        taken = np.ones(len(every), bool)
        if len(every) > self._size:
            taken[np.argpartition(every, self._size)[self._size :]] = False
        # The rows that stay keep their places; the new ones take those of the rows that go.
        coming, free = np.flatnonzero(taken[held:]), np.flatnonzero(~taken[:held])
        more = len(coming) - len(free)
        into = np.concatenate([free, np.arange(held, held + more)])
        for name, new in (("_keys", keys), ("_numbers", numbers), ("_x", x)):
            array = getattr(self, name)
            if more:
                array = np.concatenate([array, np.empty((more, *array.shape[1:]), array.dtype)])
            array[into] = new[coming]
            setattr(self, name, array)
