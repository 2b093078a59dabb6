"""Labelled captures: one network and its days, with features, labels and examples for training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl

from mlids.detectors.day_view import day_keys
from mlids.detectors.forest import BENIGN
from mlids.errors import InputError, NoRowsError
from mlids.features.extract import Extractor
from mlids.ingest.conns import Reading, read_conns
from mlids.training.cross_capture.listing import ListedCapture, by_pattern
from mlids.training.cross_capture.ordering import in_written_order
from mlids.training.dataset import ExampleOptions, artefacts, gather_examples, labelled, thinned
from mlids.training.labels import family

MAX_ROWS = 2_000_000
BENIGN_ROWS = 2_000  # of a capture, in training
BATCH_ROWS = 1 << 16
_IDENTITY = ["uid", "ts", "sensor", "id.orig_h", "id.resp_h", "id.resp_p", "proto"]


@dataclass(frozen=True)
class Capture:
    """One labelled network. `label` is benign, an attack's own name, or None for rows that are only context."""

    name: str
    conns: pl.DataFrame
    x: np.ndarray  # float32[n, features]
    label: np.ndarray
    artefacts: int
    examples: pl.DataFrame  # thinned, with their weights
    laboratory: str = ""
    groups: Mapping[str, str] = field(default_factory=dict)  # attack's name → group, where its family does not say
    out_of_order: int = 0  # rows behind the clock, before they were sorted; 0: not sorted
    networks: tuple[str, ...] = ()  # inside, as CIDR; default: private addresses
    logs: tuple[Path, ...] = ()  # other logs of the same traffic
    hosts: tuple[str, ...] = ()  # infected, attacking or attacked ones; none: as the labels of conns say (`case_metrics.bad_hosts`)

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

    @cached_property
    def group(self) -> np.ndarray:
        """The group of each row's attack: `c2`, `scans` or `others`; None where it is no attack."""
        names = {v: self.groups.get(v) or attack_group(v) for v in set(self.label[self.attack].tolist())}
        return np.array([names.get(v) for v in self.label.tolist()], object)

    @cached_property
    def orig(self) -> np.ndarray:
        """int[n]: a number for each row's source, the same for the same address at either end."""
        return self._addresses[: len(self.x)]

    @cached_property
    def resp(self) -> np.ndarray:
        """int[n]: a number for each row's destination."""
        return self._addresses[len(self.x) :]

    @cached_property
    def _addresses(self) -> np.ndarray:
        both = pl.concat([self.conns["id.orig_h"], self.conns["id.resp_h"].alias("id.orig_h")])
        return both.fill_null("").rank("dense").to_numpy().astype(np.int64)

    @property
    def pair(self) -> np.ndarray:
        """int[n]: a number for each row's source and destination."""
        return self.orig * (int(self._addresses.max(initial=0)) + 1) + self.resp

    @cached_property
    def day_keys(self) -> np.ndarray:
        """uint64[n]: equal for conns of one source, destination and service on one UTC day."""
        service = self.conns.select(pl.struct("id.orig_h", "id.resp_h", "id.resp_p", "proto").hash(3)).to_series().to_numpy()
        return day_keys(service, self.conns["ts"].dt.epoch("us").cast(pl.Float64).to_numpy() / 1e6)

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


_SCANS = ("horizontal_scan", "vertical_scan", "slow_scan", "inbound_probes")


def attack_group(name: str) -> str:
    """Return the group of an attack by the family of its name: `c2`, `scans` or `others`."""
    known = family(name)
    return "c2" if known in {"command_and_control", "beacon", "calling"} else "scans" if known in _SCANS else "others"


def load_capture(source: Path | ListedCapture, *, seed: int = 0, max_rows: int = MAX_ROWS) -> Capture:
    """Read a labelled log or folder, its features, and its examples for training; sorted where it is not in the order of Zeek.

    Raises NoRowsError when no row has a label, InputError when it cannot be read or has more than `max_rows`.
    """
    listed = by_pattern([source], ())[0] if isinstance(source, Path) else source
    read = pl.concat(_read(listed.path, max_rows), how="diagonal_relaxed")
    ordered = in_written_order(listed.truth.with_labels(read))
    conns = ordered.conns
    fault = artefacts(conns)
    label = pl.select(pl.when(~fault).then(labelled(conns))).to_series()
    if label.null_count() == len(label):
        raise NoRowsError(f"{listed.path}: no row has a label; a column `label` with Benign or Malicious… is needed")
    batches = [conns.slice(start, BATCH_ROWS) for start in range(0, conns.height, BATCH_ROWS)]
    extractor = Extractor(listed.networks)
    x = np.concatenate([extractor.features(b) for b in batches])
    options = ExampleOptions(BENIGN_ROWS, listed.networks, assume_benign=False, seed=seed)
    _, examples = gather_examples(lambda: iter(batches), listed.name, options)
    return Capture(
        listed.name, conns.select(_IDENTITY), x, label.to_numpy(), int(fault.sum()), thinned(examples, seed),
        listed.laboratory, listed.groups, ordered.out_of_order, listed.networks, listed.logs, listed.hosts,
    )  # fmt: skip


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
