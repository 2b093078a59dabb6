"""Labelled captures: one network and its days, with features, labels and examples for training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl

from mlids.detectors.forest import BENIGN
from mlids.errors import InputError, NoRowsError
from mlids.features.extract import Extractor
from mlids.ingest.conns import Reading, read_conns
from mlids.training.dataset import ExampleOptions, artefacts, gather_examples, labelled

MAX_ROWS = 2_000_000
BENIGN_ROWS = 3_000  # of a capture, in training
_IDENTITY = ["uid", "ts", "sensor", "id.orig_h", "id.resp_h", "id.resp_p", "proto"]


@dataclass(frozen=True)
class Capture:
    """One labelled network. `label` is benign, an attack's own name, or None for rows that are only context."""

    name: str
    conns: pl.DataFrame
    x: np.ndarray  # float32[n, features]
    label: np.ndarray
    artefacts: int
    examples: pl.DataFrame

    @property
    def attack(self) -> np.ndarray:
        """Which rows are attacks."""
        return is_attack(self.label)

    @property
    def benign(self) -> np.ndarray:
        """Which rows are benign."""
        return np.array([v == BENIGN for v in self.label])

    @property
    def known(self) -> np.ndarray:
        """Which rows have a label."""
        return self.attack | self.benign

    def pairs(self, attack: np.ndarray, benign: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the number of each row's pair of hosts (−1: neither attack nor benign), and which pairs have an attack."""
        known = attack | benign
        keys = self.conns.select("id.orig_h", "id.resp_h").filter(pl.Series(known))
        number = np.full(len(known), -1)
        number[known] = keys.select(pl.struct(pl.all()).rank("dense") - 1).to_series().to_numpy() if known.any() else 0
        bad = np.zeros(int(number.max(initial=-1)) + 1, bool)
        bad[number[attack]] = True
        return number, bad

    @cached_property
    def digests(self) -> np.ndarray:
        """uint64[n]: equal where all features are equal."""
        return pl.DataFrame(self.x).hash_rows(1).to_numpy()


def is_attack(label: np.ndarray) -> np.ndarray:
    """Return bool[n]: which labels name an attack."""
    return np.array([v is not None and v != BENIGN for v in label])


def load_capture(path: Path, networks: Sequence[str] = (), *, seed: int = 0, max_rows: int = MAX_ROWS) -> Capture:
    """Read a labelled log or folder, its features, and its examples for training.

    Raises NoRowsError when no row has a label, InputError when it cannot be read or has more than `max_rows`.
    """
    batches = _read(path, max_rows)
    conns = pl.concat(batches, how="diagonal_relaxed")
    fault = artefacts(conns)
    label = pl.select(pl.when(~fault).then(labelled(conns))).to_series()
    if label.null_count() == len(label):
        raise NoRowsError(f"{path}: no row has a label; a column `label` with Benign or Malicious… is needed")
    extractor = Extractor(networks)
    x = np.concatenate([extractor.features(b) for b in batches])
    options = ExampleOptions(BENIGN_ROWS, networks, assume_benign=False, seed=seed)
    _, examples = gather_examples(lambda: iter(batches), str(path), options)
    return Capture(str(path), conns.select(_IDENTITY), x, label.to_numpy(), int(fault.sum()), examples)


def _read(path: Path, max_rows: int) -> list[pl.DataFrame]:
    batches: list[pl.DataFrame] = []
    rows = 0
    for batch in read_conns([path], Reading()):
        batches.append(batch)
        rows += batch.height
        if rows > max_rows:
            raise InputError(f"{path}: more than {max_rows:,} rows; split it by time and evaluate a part")
    if not rows:
        raise NoRowsError(f"{path}: no conns in it")
    return batches


def contradictions(capture: Capture) -> int:
    """Return how many labelled rows share all features with a row of the other label."""
    known = capture.known
    frame = pl.DataFrame({"d": capture.digests[known], "a": capture.attack[known]})
    return int(frame.filter((pl.col("a").n_unique() > 1).over("d")).height)


def short_names(paths: Sequence[str]) -> dict[str, str]:
    """Return each path's file name, with as many of its folders as make it unique."""
    out = {}
    for path in paths:
        parts = Path(path).parts
        tails = ["/".join(parts[-n:]) for n in range(1, len(parts) + 1)]
        out[path] = next((t for t in tails if sum(p == t or p.endswith("/" + t) for p in paths) == 1), path)
    return out
