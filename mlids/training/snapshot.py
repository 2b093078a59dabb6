"""A frozen training week: sampled feature rows with labels, the days they are from, and a digest of all that training reads."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from mlids.detectors.forest import BENIGN
from mlids.errors import InputError, ModelError, NoRowsError, StoreError, os_fault
from mlids.features.spec import FEATURES_VERSION, NAMES
from mlids.files import replacing, write_atomic
from mlids.ingest.lake import Lake
from mlids.ingest.parquet import write_parquet
from mlids.training.dataset import ExampleOptions, gather_examples, reference, true_attack, weights
from mlids.training.label_sources.base import JUDGED_ALERTS, JUDGED_CASES, ConnLabels
from mlids.training.label_sources.cases import judged_evidence
from mlids.training.label_sources.registry import label_source_types
from mlids.training.label_sources.verdicts import judged_rows
from mlids.zeek.types import CONN

# The digest begins with its form. The first form had no name, and covered features alone.
DIGEST_FORM = "all2-"
_DIGEST_SHOWN = 12  # hexadecimal digits of the digest in the snapshot's id
_ROW_FACTS = ("label", "network", "weight", "held_out")  # beside the features


@dataclass(frozen=True)
class SnapshotInfo:
    """What a snapshot holds. `held_out` rows are kept from training: later days and whole attack instances."""

    id: str  # of the days, with the beginning of the digest: contents that were exchanged do not fit it
    sensors: list[str]
    days: list[str]
    rows_there: int  # conns of these days in the lake
    rows_seen: int  # of these, read: at most about SnapshotOptions.read_rows
    rows: int  # kept
    attacks: dict[str, int]  # rows of each attack
    label_sources: dict[str, int]  # rows by the source of their label; attacks that were not implanted count as "true attack"
    features_version: int
    digest: str  # of every row (features, label, network, weight, held_out) and every fact but `id` and `made_at`
    made_at: str


@dataclass(frozen=True)
class Snapshot:
    """float32[n, features] with `label` (benign or an attack's name), `network`, `weight` and `held_out` of each row."""

    info: SnapshotInfo
    x: np.ndarray
    label: np.ndarray
    network: np.ndarray
    weight: np.ndarray
    held_out: np.ndarray


@dataclass(frozen=True)
class SnapshotOptions:
    """How much of the lake becomes a snapshot."""

    networks: Sequence[str] = ()  # inside, as CIDR; default: private addresses
    max_rows: int = 200_000  # benign rows of all sensors together; bounds the memory
    read_rows: int = 12_000_000
    seed: int = 0


def take_snapshot(
    lake: Lake, folder: Path, sensors: Sequence[str], days: Sequence[date], options: SnapshotOptions = SnapshotOptions(), *,
    alerts: Iterable[Mapping[str, Any]] = (), cases: Iterable[Mapping[str, Any]] = (), progress: Callable[[str], None] = lambda _: None,
) -> SnapshotInfo:  # fmt: skip
    """Store the conns of `days` as features, with attacks implanted into them, and return what was stored.

    Of weeks with more than `read_rows` conns, a stretch of hours of each day is read: the features of a row need
    all rows before it, so a sample of single rows would have other features.

    Labels are the log's own, or those of the label sources: of logs of these days in the lake, and of `alerts` with a
    verdict. Raises NoRowsError when the lake holds no conns of those days.
    """
    judged, closed = list(alerts), list(cases)
    there = lake.rows("conn", sensors, days)
    with _storing(folder):  # what cannot be stored is known before the work
        folder.mkdir(parents=True, exist_ok=True)
    share = min(1.0, options.read_rows / max(there, 1))
    kept: list[pl.DataFrame] = []
    seen = 0
    present: list[str] = []
    for number, sensor in enumerate(sensors):
        chosen = ExampleOptions(options.max_rows // len(sensors), options.networks, seed=options.seed + number)
        with lake.pinned() as held:  # a day is read twice, and may be replaced meanwhile
            held_days = [d for d in days if held.manifest("conn", sensor, d)]
            if not held_days:
                continue
            of_sensor = [a for a in judged if a["observer"]["name"] == sensor], [c for c in closed if c["sensor"] == sensor]
            labels = conn_labels(held, sensor, held_days, *of_sensor)
            conns = partial(_conns, held, sensor, held_days, share)
            rows, part = gather_examples(conns, sensor, replace(chosen, labels=labels), partial(_report, progress, sensor))
        present.append(sensor)
        seen += rows
        kept.append(part)
    if seen == 0:
        raise NoRowsError(_no_conns(sensors, days))
    return _store(folder, pl.concat([*kept, reference()]), present, [d.isoformat() for d in days], there, seen)


def _no_conns(sensors: Sequence[str], days: Sequence[date]) -> str:
    span = f"{days[0]} to {days[-1]}" if days else "no days"
    names = ", ".join(sensors) or "any sensor"
    return f"the lake holds no conns of {names} for {span}; run zeek_ingest or `mlids ingest` for them first"


def conn_labels(
    lake: Lake, sensor: str, days: Sequence[date], alerts: Iterable[Mapping[str, Any]], cases: Iterable[Mapping[str, Any]] = ()
) -> ConnLabels:
    """Return the labels that all label sources have for a sensor's conns; `alerts` and `cases` are those of the sensor with a verdict.

    Raises SettingsError for a label source that cannot be loaded.
    """
    sources = [make() for make in label_source_types()]
    judged, evidence = judged_rows(alerts), judged_evidence(cases)
    for source in sources:
        if source.log == JUDGED_ALERTS:
            source.add(judged)
        elif source.log == JUDGED_CASES:
            source.add(evidence)
        elif source.log is not None:
            for rows in _rows_of(lake, source.log, source.fields, sensor, days):
                source.add(rows)
    return ConnLabels(sources)


def _rows_of(lake: Lake, log: str, fields: Sequence[str], sensor: str, days: Sequence[date]) -> Iterator[pl.DataFrame]:
    """Yield those columns of a log that a label source reads; logs of other Zeek versions lack some."""
    for day in days:
        manifest = lake.manifest(log, sensor, day)
        columns = [name for name in fields if manifest is not None and name in manifest.columns]
        if columns:
            yield from lake.batches(log, sensor, [day], columns)


def _report(progress: Callable[[str], None], sensor: str, done: int) -> None:
    progress(f"{sensor}: {done:,} conns")


def _conns(lake: Lake, sensor: str, days: Sequence[date], share: float) -> Iterator[pl.DataFrame]:
    """Yield the conns of days, or a stretch of hours of each: early on the first day, late on the last, so that all hours occur."""
    names = [c.name for c in CONN]
    for number, day in enumerate(days):
        held = lake.manifest("conn", sensor, day)
        own = [n for n in ("label", "detailed-label", "detailedlabel") if held is not None and n in held.fields]
        begin = (1.0 - share) * number / max(len(days) - 1, 1)
        yield from lake.batches("conn", sensor, [day], [*names, *own], run=(begin, begin + share))


def _store(folder: Path, frame: pl.DataFrame, sensors: list[str], days: list[str], there: int, seen: int) -> SnapshotInfo:
    frame = frame.rename({"late": "held_out"})
    frame = frame.with_columns(weight=weights(frame)).drop("instance")
    made_at = datetime.now(UTC)
    attacks = frame.filter(pl.col("label") != BENIGN)
    # Attacks that were not implanted are counted together, whatever the source: training depends on whether there are any.
    sources = frame.select(pl.when(true_attack()).then(pl.lit("true attack")).otherwise("source").alias("source")).to_series()
    info = SnapshotInfo(
        id="", sensors=sensors, days=days, rows_there=there, rows_seen=seen, rows=frame.height, attacks=_counts(attacks["label"]),
        label_sources=_counts(sources), features_version=FEATURES_VERSION, digest="", made_at=made_at.isoformat(timespec="seconds"),
    )  # fmt: skip
    digest = _digest(info, frame)
    info = replace(info, id=_id(info, digest), digest=digest)
    target = folder / info.id
    with _storing(target):
        target.mkdir(parents=True, exist_ok=True)
        with replacing(target / "rows.parquet") as partial:
            write_parquet(frame, partial)
        write_atomic(target / "snapshot.json", json.dumps(asdict(info), indent=1))
    return info


@contextmanager
def _storing(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"the snapshot was not stored: {os_fault(error, place)}") from error


def _counts(column: pl.Series) -> dict[str, int]:
    return {str(n): int(c) for n, c in column.value_counts(sort=True).iter_rows()}


def _id(info: SnapshotInfo, digest: str) -> str:
    return f"{info.days[0]}_{info.days[-1]}_{digest[: len(DIGEST_FORM) + _DIGEST_SHOWN]}"


def _digest(info: SnapshotInfo, frame: pl.DataFrame) -> str:
    """Return the digest of all that training and gate read; texts enter as JSON, so that no two lists give the same bytes."""
    facts = {k: v for k, v in asdict(info).items() if k not in ("id", "digest", "made_at")}
    out = hashlib.sha256(json.dumps([facts, NAMES], sort_keys=True).encode())
    out.update(np.ascontiguousarray(frame.select(NAMES).to_numpy(), np.float32).tobytes())
    for name, kind in (("weight", np.float64), ("held_out", np.uint8)):
        out.update(np.ascontiguousarray(frame[name].to_numpy(), kind).tobytes())
    for name in ("label", "network"):
        out.update(json.dumps(frame[name].to_list()).encode())
    return f"{DIGEST_FORM}{out.hexdigest()}"


def load_snapshot(folder: Path, snapshot_id: str) -> Snapshot:
    """Return a stored snapshot. Raises ModelError when it is missing, was altered, or is of another form or features version; InputError for no id."""
    if not snapshot_id or Path(snapshot_id).name != snapshot_id or snapshot_id == "..":
        raise InputError(f"{snapshot_id[:80]!r} is not the id of a snapshot; it is the name of a folder in {folder}")
    target = folder / snapshot_id
    try:
        info = SnapshotInfo(**json.loads((target / "snapshot.json").read_text(encoding="utf-8")))
        frame = pl.read_parquet(target / "rows.parquet")
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(f"snapshot {snapshot_id} is not in {folder}: {error}") from error
    except pl.exceptions.PolarsError as error:
        raise ModelError(f"snapshot {snapshot_id} cannot be read: {error}; take a new one") from error
    if info.features_version != FEATURES_VERSION:
        raise ModelError(
            f"snapshot {snapshot_id} is of features version {info.features_version}, this is {FEATURES_VERSION}; take a new one"
        )
    if not info.digest.startswith(DIGEST_FORM):
        raise ModelError(f"snapshot {snapshot_id} was taken by a version whose digest did not cover labels and weights; take a new one")
    try:
        whole = _digest(info, frame) == info.digest and snapshot_id == info.id == _id(info, info.digest)
        columns = [frame[c].to_numpy() for c in _ROW_FACTS]
    except (pl.exceptions.PolarsError, ValueError, TypeError, AttributeError, IndexError):  # columns or facts of another kind
        whole = False
    if not whole:
        raise ModelError(f"snapshot {snapshot_id} was altered after it was taken; take a new one")
    with suppress(OSError):
        os.utime(target)  # housekeeping counts from the last use
    return Snapshot(info, np.ascontiguousarray(frame.select(NAMES).to_numpy(), np.float32), *columns)
