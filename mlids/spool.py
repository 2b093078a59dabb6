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
                x.tofile(out)
        except OSError as error:
            raise StoreError(
                f"{self._folder}: {error.strerror or error}; scoring needs about 350 bytes a row there (set TMPDIR)"
            ) from error
        self.parts.append((path, identity.height))
        self.rows += identity.height

    def features(self, rows: int = 1 << 18) -> Iterator[np.ndarray]:
        """Yield the feature matrix in pieces of `rows`."""
        width = len(NAMES)
        if not self.rows:
            return
        with self._features.open("rb") as held:
            while (piece := np.fromfile(held, np.float32, rows * width)).size:
                yield piece.reshape(-1, width)

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
        held = np.memmap(self._features, np.float32, "r", shape=(self.rows, len(NAMES)))
        return np.array(held[rows])


class Sample:
    """A uniform sample of at most `size` rows of a stream; the same seed takes the same rows."""

    def __init__(self, size: int = FIT_ROWS, seed: int = 0) -> None:
        self._size, self._rng = size, np.random.default_rng(seed)
        self._keys = np.empty(0)
        self.x = np.empty((0, len(NAMES)), np.float32)

    def add(self, x: np.ndarray) -> None:
        """Offer rows."""
        keys = self._rng.random(len(x))
        if len(self._keys) == self._size:
            take = keys < self._keys.max()
            x, keys = x[take], keys[take]
        self._keys = np.concatenate([self._keys, keys])
        self.x = np.concatenate([self.x, x])
        if len(self._keys) > self._size:
            kept = np.argpartition(self._keys, self._size)[: self._size]
            kept.sort()
            self._keys, self.x = self._keys[kept], self.x[kept]
