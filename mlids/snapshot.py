"""A frozen training week: sampled feature rows with labels, their window, and a digest over it all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import polars as pl

from mlids.errors import ModelError, NoRowsError
from mlids.features.behaviours import measure
from mlids.features.extract import Extractor
from mlids.features.spec import FEATURES_VERSION, NAMES
from mlids.files import write_aside
from mlids.labels import BENIGN, Hosts, make_implants, normal_label, with_implants
from mlids.lake import Lake
from mlids.zeek.types import CONN

ATTACK_ROWS_PER_CLASS = 4_000
IMPLANT_ROUNDS = 6
# Own rows that a behaviour names this clearly are no examples of benign traffic.
SUSPECT = 0.6


@dataclass(frozen=True)
class SnapshotInfo:
    """What a snapshot holds. `held_out` rows are kept from training: later days and whole attack instances."""

    id: str
    sensors: list[str]
    days: list[str]
    rows_seen: int
    rows: int
    attacks: dict[str, int]
    label_sources: dict[str, int]
    features_version: int
    digest: str
    made_at: str


@dataclass(frozen=True)
class Snapshot:
    """Feature rows with `label` (benign or an attack's name) and `held_out`."""

    info: SnapshotInfo
    x: np.ndarray
    label: np.ndarray
    held_out: np.ndarray


def take_snapshot(
    lake: Lake, folder: Path, sensors: Sequence[str], days: Sequence[date], *, networks: Sequence[str] = (),
    max_rows: int = 200_000, seed: int = 0, progress: Callable[[str], None] = lambda _: None,
) -> SnapshotInfo:  # fmt: skip
    """Freeze the conns of `days` as features, with attacks implanted into them; return what was taken.

    Memory is bounded by `max_rows`. Raises NoRowsError when the lake holds nothing of those days.
    """
    keep: list[pl.DataFrame] = []
    seen = 0
    have: list[str] = []
    for number, sensor in enumerate(sensors):
        present = [d for d in days if lake.manifest("conn", sensor, d)]
        if not present:
            continue
        have.append(sensor)
        rows, parts = _sensor_rows(lake, sensor, present, networks, max_rows // len(sensors), seed + number, progress)
        seen += rows
        keep += parts
    if not keep or seen == 0:
        spoken = f"{days[0]} to {days[-1]}" if days else "no days"
        raise NoRowsError(
            f"the lake holds no conns of {', '.join(sensors) or 'any sensor'} for {spoken}; run zeek_ingest or `mlids ingest` for them first"
        )
    frame = pl.concat(keep)
    return _store(folder, frame, have, [d.isoformat() for d in days], seen)


def _sensor_rows(
    lake: Lake, sensor: str, days: Sequence[date], networks: Sequence[str], max_rows: int, seed: int,
    progress: Callable[[str], None],
) -> tuple[int, list[pl.DataFrame]]:  # fmt: skip
    hosts = Hosts(networks)
    total, first, last = 0, np.inf, -np.inf
    for batch in _conns(lake, sensor, days):
        hosts.add(batch)
        total += batch.height
        ts = batch["ts"].drop_nulls().dt.epoch("ms")
        if len(ts):
            first, last = min(first, float(ts.quantile(0.01)) / 1e3), max(last, float(ts.quantile(0.99)) / 1e3)  # type: ignore[arg-type]
    cast = hosts.cast(seed)
    stream: Iterator[pl.DataFrame] = _conns(lake, sensor, days)
    if cast is not None and total:
        stream = with_implants(stream, make_implants(cast, first, last, rounds=IMPLANT_ROUNDS, seed=seed))
    else:
        stream = (b.with_columns(label=pl.lit(None, pl.String), instance=pl.lit(None, pl.String)) for b in stream)
    rng = np.random.default_rng([seed, 5])
    share = min(1.0, max_rows / max(total, 1))
    extractor = Extractor(networks)
    done, out = 0, []
    for batch in stream:
        x = extractor.features(batch)
        implanted = batch["label"].is_not_null().to_numpy()
        suspect = measure(x).max(axis=1) >= SUSPECT
        # Own rows after the first three quarters, and two instances of each attack, are held out.
        late = done + np.cumsum(~implanted) > 0.75 * total
        taken = implanted | ((rng.random(batch.height) < share) & ~suspect)
        frame = pl.DataFrame(x[taken], schema=list(NAMES)).with_columns(
            label=batch["label"].fill_null(BENIGN).filter(pl.Series(taken)),
            instance=batch["instance"].filter(pl.Series(taken)),
            held_out=pl.Series(late[taken]),
        )
        held = pl.col("instance").str.extract(r"-(\d+)$").cast(pl.Int32) >= IMPLANT_ROUNDS - 2
        out.append(frame.with_columns(held_out=held.fill_null(pl.col("held_out"))))
        done += int((~implanted).sum())
        progress(f"{sensor}: {done:,} of {total:,} conns")
    return total, out


def _conns(lake: Lake, sensor: str, days: Sequence[date]) -> Iterator[pl.DataFrame]:
    return lake.batches("conn", sensor, days, columns=[c.name for c in CONN])


def _store(folder: Path, frame: pl.DataFrame, sensors: list[str], days: list[str], seen: int) -> SnapshotInfo:
    attacks = frame.filter(pl.col("label") != BENIGN)
    few = [part.sample(min(part.height, ATTACK_ROWS_PER_CLASS), seed=0) for part in attacks.partition_by("label", maintain_order=True)]
    # Exact duplicates teach nothing twice.
    frame = pl.concat([frame.filter(pl.col("label") == BENIGN), *few]).drop("instance").unique(maintain_order=True)
    digest = _digest(frame.select(NAMES).to_numpy())
    made_at = datetime.now(UTC)
    counts = {str(n): int(c) for n, c in frame.filter(pl.col("label") != BENIGN)["label"].value_counts(sort=True).iter_rows()}
    info = SnapshotInfo(
        id=f"{days[0]}_{days[-1]}_{digest[:12]}", sensors=sensors, days=days, rows_seen=seen, rows=frame.height,
        attacks=counts, label_sources={"implanted": sum(counts.values()), "unlabelled as benign": frame.height - sum(counts.values())},
        features_version=FEATURES_VERSION, digest=digest, made_at=made_at.isoformat(timespec="seconds"),
    )  # fmt: skip
    target = folder / info.id
    target.mkdir(parents=True, exist_ok=True)
    aside = target / ".rows.parquet.part"
    frame.write_parquet(aside, compression="zstd", compression_level=1)
    aside.replace(target / "rows.parquet")
    write_aside(target / "snapshot.json", json.dumps(asdict(info), indent=1))
    return info


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
    return Snapshot(info, x, frame["label"].to_numpy(), frame["held_out"].to_numpy())


def labelled_rows(conns: pl.DataFrame) -> pl.Series:
    """Return `benign`, an attack's name or null for each row of a labelled log, whatever form its labels have."""
    columns = set(conns.columns)
    if "label" not in columns:
        return pl.Series("label", [None], dtype=pl.String).new_from_index(0, conns.height)
    detail = next((n for n in ("detailed-label", "detailedlabel") if n in columns), None)
    return conns.select(label=normal_label(pl.col("label"), pl.col(detail) if detail else pl.lit(None, pl.String))).to_series()
