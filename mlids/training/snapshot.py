"""A frozen training week: sampled feature rows with labels, their window, and a digest over it all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from mlids.errors import ModelError, NoRowsError
from mlids.features.spec import FEATURES_VERSION, NAMES
from mlids.files import replacing, write_atomic
from mlids.ingest.lake import Lake
from mlids.training.dataset import gather, reference, true_attack, weights
from mlids.training.label_sources import LabelSources
from mlids.training.labels import BENIGN
from mlids.zeek.types import CONN


@dataclass(frozen=True)
class SnapshotInfo:
    """What a snapshot holds. `held_out` rows are kept from training: later days and whole attack instances."""

    id: str
    sensors: list[str]
    days: list[str]
    rows_there: int  # conns of these days in the lake
    rows_seen: int  # of these, read: all of them, save where that would take too long
    rows: int  # kept
    attacks: dict[str, int]
    label_sources: dict[str, int]
    features_version: int
    digest: str
    made_at: str


@dataclass(frozen=True)
class Snapshot:
    """Feature rows with `label` (benign or an attack's name), the network they are of, `weight` and `held_out`."""

    info: SnapshotInfo
    x: np.ndarray
    label: np.ndarray
    network: np.ndarray
    weight: np.ndarray
    held_out: np.ndarray


def take_snapshot(
    lake: Lake, folder: Path, sensors: Sequence[str], days: Sequence[date], *, networks: Sequence[str] = (),
    alerts: Iterable[Mapping[str, Any]] = (), max_rows: int = 200_000,
    read_rows: int = 12_000_000, seed: int = 0, progress: Callable[[str], None] = lambda _: None,
) -> SnapshotInfo:  # fmt: skip
    """Freeze the conns of `days` as features, with attacks implanted into them; return what was taken.

    Of weeks with more than `read_rows` conns a run of hours of each day is read: their past needs every row
    of a run, so that one row in ten would be no sample.

    Labels are the log's own, analysts' verdicts on `alerts`, and Zeek's notices of those days.
    Memory is bounded by `max_rows`. Raises NoRowsError when the lake holds nothing of those days.
    """
    judged = list(alerts)
    there = lake.rows("conn", sensors, days)
    share = min(1.0, read_rows / max(there, 1))
    keep: list[pl.DataFrame] = []
    seen = 0
    have: list[str] = []
    for number, sensor in enumerate(sensors):
        present = [d for d in days if lake.manifest("conn", sensor, d)]
        if not present:
            continue
        have.append(sensor)
        rows, part = gather(
            partial(_conns, lake, sensor, present, share), sensor, networks=networks, label_sources=_label_sources(lake, sensor, present, judged), max_benign=max_rows // len(sensors),
            seed=seed + number, progress=partial(_tell, progress, sensor),
        )  # fmt: skip
        seen += rows
        keep.append(part)
    if not keep or seen == 0:
        spoken = f"{days[0]} to {days[-1]}" if days else "no days"
        raise NoRowsError(
            f"the lake holds no conns of {', '.join(sensors) or 'any sensor'} for {spoken}; run zeek_ingest or `mlids ingest` for them first"
        )
    frame = pl.concat([*keep, reference()])
    return _store(folder, frame, have, [d.isoformat() for d in days], there, seen)


def _label_sources(lake: Lake, sensor: str, days: Sequence[date], alerts: Sequence[Mapping[str, Any]]) -> LabelSources:
    """Return what Zeek's notices of these days and the analysts say of a sensor's rows."""
    out = LabelSources()
    for notices in lake.batches("notice", sensor, days):
        out.add_notices(notices)
    out.add_verdicts(a for a in alerts if a["observer"]["name"] == sensor)
    return out


def _tell(progress: Callable[[str], None], sensor: str, done: int) -> None:
    progress(f"{sensor}: {done:,} conns")


def _conns(lake: Lake, sensor: str, days: Sequence[date], share: float) -> Iterator[pl.DataFrame]:
    """Yield the conns of days, or a run of hours of each: early in the first one, late in the last, so that all hours are met."""
    names = [c.name for c in CONN]
    for number, day in enumerate(days):
        held = lake.manifest("conn", sensor, day)
        own = [n for n in ("label", "detailed-label", "detailedlabel") if held is not None and n in held.fields]
        begin = (1.0 - share) * number / max(len(days) - 1, 1)
        yield from lake.batches("conn", sensor, [day], [*names, *own], run=(begin, begin + share))


def _store(folder: Path, frame: pl.DataFrame, sensors: list[str], days: list[str], there: int, seen: int) -> SnapshotInfo:
    frame = frame.rename({"late": "held_out"})
    frame = frame.with_columns(weight=weights(frame)).drop("instance")
    digest = _digest(frame.select(NAMES).to_numpy())
    made_at = datetime.now(UTC)
    attacks = frame.filter(pl.col("label") != BENIGN)
    # Where the labels came from, and apart from that how many true attacks there are.
    sources = frame.select(pl.when(true_attack()).then(pl.lit("true attack")).otherwise("source").alias("source")).to_series()
    info = SnapshotInfo(
        id=f"{days[0]}_{days[-1]}_{digest[:12]}", sensors=sensors, days=days, rows_there=there, rows_seen=seen, rows=frame.height,
        attacks=_counts(attacks["label"]), label_sources=_counts(sources),
        features_version=FEATURES_VERSION, digest=digest, made_at=made_at.isoformat(timespec="seconds"),
    )  # fmt: skip
    target = folder / info.id
    target.mkdir(parents=True, exist_ok=True)
    with replacing(target / "rows.parquet") as partial:
        frame.write_parquet(partial, compression="zstd", compression_level=1)
    write_atomic(target / "snapshot.json", json.dumps(asdict(info), indent=1))
    return info


def _counts(column: pl.Series) -> dict[str, int]:
    return {str(n): int(c) for n, c in column.value_counts(sort=True).iter_rows()}


def _digest(x: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(x, np.float32).tobytes()).hexdigest()


def load_snapshot(folder: Path, snapshot_id: str) -> Snapshot:
    """Return a stored snapshot. Raises ModelError when it is missing, altered or of another feature version."""
    target = folder / snapshot_id
    try:
        info = SnapshotInfo(**json.loads((target / "snapshot.json").read_text(encoding="utf-8")))
        frame = pl.read_parquet(target / "rows.parquet")
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(f"snapshot {snapshot_id} is not in {folder}: {error}") from error
    if info.features_version != FEATURES_VERSION:
        raise ModelError(
            f"snapshot {snapshot_id} is of features version {info.features_version}, this is {FEATURES_VERSION}; take a new one"
        )
    x = np.ascontiguousarray(frame.select(NAMES).to_numpy(), np.float32)
    if _digest(x) != info.digest:
        raise ModelError(f"snapshot {snapshot_id} was altered after it was taken; take a new one")
    return Snapshot(info, x, *(frame[c].to_numpy() for c in ("label", "network", "weight", "held_out")))
