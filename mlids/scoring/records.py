"""Scores every record of http, dns, ssh and ssl with a forest of its log. Memory is bounded by a batch, whatever the logs hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from mlids.detectors.record_forests import RecordForest, fit_record_forest
from mlids.errors import InputError, StoreError
from mlids.features.records import RECORD_LOGS
from mlids.features.records.base import RecordLog
from mlids.ingest.conns import Reading, logs_of, read_logs
from mlids.scoring.batch_store import Sample
from mlids.scoring.ranking import IDENTITY
from mlids.scoring.row_files import write_rows
from mlids.zeek.types import CONN, TIME

SCORED_LOGS = ("conn", *RECORD_LOGS)
# Unusual records that are described, of each log; records that show the same are one.
DESCRIBED = 3
_CANDIDATES = 2_000  # of a batch, from which the described ones are taken
MAX_SHOWN = 256  # characters of a text in the output
THEMSELVES = "the scored rows themselves"
_TYPES = {c.name: c.dtype for c in CONN if c.name in IDENTITY}


@dataclass(frozen=True)
class UnusualRecord:
    """One of the most unusual records of a log: its identity and what its log shows of it, its score, and what makes it unusual."""

    record: dict[str, object]
    anomaly_score: float
    reason: str


@dataclass(frozen=True)
class ScoredLog:
    """What the scoring of one log beside conn.log gave."""

    log: str
    rows: int
    trained_on: str  # in words
    unusual: list[UnusualRecord]  # the most unusual first
    file: Path | None  # with one row per record


def parse_logs(text: str | None) -> tuple[str, ...]:
    """Return the logs of a comma list, in the order of SCORED_LOGS; all for None. Raises InputError naming one that is not scored."""
    if text is None:
        return SCORED_LOGS
    names = [name.strip().lower() for name in text.split(",") if name.strip()]
    wrong = [name for name in names if name not in SCORED_LOGS]
    if wrong or not names:
        what = f"{wrong[0]!r} is not scored" if wrong else "no log is named"
        raise InputError(f"--logs {text}: {what}; use any of {','.join(SCORED_LOGS)}, separated by commas")
    return tuple(name for name in SCORED_LOGS if name in names)


class RecordScoring:
    """Takes records batch by batch, keeps them in `folder`, then scores them.

    Logs for which `forests` has a forest are scored by it (`trained_on` says what it was trained on); the others by one that is
    fitted on a sample of the rows themselves.
    """

    def __init__(
        self, folder: Path, logs: Sequence[str], *, sensor: str = "zeek", forests: Mapping[str, RecordForest] | None = None,
        trained_on: str = "a trained model",
    ) -> None:  # fmt: skip
        self._folder, self._sensor, self._forests, self._trained_on = folder, sensor, dict(forests or {}), trained_on
        self._stores = {name: _Records(folder / name, RECORD_LOGS[name], name not in self._forests) for name in logs if name in RECORD_LOGS}

    @property
    def logs(self) -> frozenset[str]:
        """The logs whose records are taken."""
        return frozenset(self._stores)

    @property
    def rows(self) -> int:
        """Records taken so far."""
        return sum(s.rows for s in self._stores.values())

    def add(self, log: str, rows: pl.DataFrame) -> None:
        """Take a batch of a log's records; those of other logs are ignored. Raises StoreError when the temporary folder is full."""
        if log in self._stores and rows.height:
            self._stores[log].add(rows, self._sensor)

    def finish(self, out: Path | None = None) -> list[ScoredLog]:
        """Score all records; with `out` write those of each log beside it, as STEM.LOG.SUFFIX. Logs without records are left out.

        Raises InputError when a file cannot be written.
        """
        done = []
        for name, store in self._stores.items():
            if store.rows:
                trained_on = self._trained_on if name in self._forests else THEMSELVES
                forest = self._forests.get(name) or store.fit()
                file = out.with_name(f"{out.stem}.{name}{out.suffix}") if out is not None else None
                done.append(ScoredLog(name, store.rows, trained_on, store.score(forest, file), file))
        return done


@dataclass
class _Records:
    """Records of one log on disk: what is shown of them and their features, a file each for every batch."""

    folder: Path
    log: RecordLog
    fitted: bool  # a forest is fitted on them
    rows: int = 0
    _parts: list[Path] = field(default_factory=list)
    _sample: Sample | None = None

    def add(self, rows: pl.DataFrame, sensor: str) -> None:
        shown, x = _shown(rows, self.log, sensor), self.log.matrix(rows)
        if self.fitted:
            self._sample = self._sample or Sample(features=len(self.log.names))
            self._sample.add(x)
        path = self.folder / f"{len(self._parts):06d}.arrow"
        try:
            self.folder.mkdir(exist_ok=True)
            shown.write_ipc(path)
            x.T.tofile(path.with_suffix(".f32"))
        except OSError as error:
            raise StoreError(f"{self.folder}: {error.strerror or error}; scoring needs about 300 bytes a row there (set TMPDIR)") from error
        self._parts.append(path)
        self.rows += rows.height

    def fit(self) -> RecordForest:
        assert self._sample is not None
        return fit_record_forest(self.log, self._sample.x)

    def score(self, forest: RecordForest, out: Path | None) -> list[UnusualRecord]:
        """Return the most unusual records, and write all to `out`."""
        best: list[pl.DataFrame] = []
        values: list[np.ndarray] = []
        scored = []
        for path in self._parts:
            x = np.fromfile(path.with_suffix(".f32"), np.float32).reshape(len(self.log.names), -1).T
            frame = pl.read_ipc(path).with_columns(anomaly_score=pl.Series(forest.scores(x)))
            top = frame.with_row_index("_x").top_k(_CANDIDATES, by="anomaly_score").sort("anomaly_score", "_x", descending=[True, False])
            top = top.unique(self.log.shown, keep="first", maintain_order=True).head(DESCRIBED)
            start = sum(map(len, values))
            values.append(x[top["_x"].to_numpy()])
            best.append(top.with_columns(_x=pl.int_range(start, start + top.height, dtype=pl.Int64)))
            if out is not None:
                scored.append(path.with_suffix(".scored.arrow"))
                frame.write_ipc(scored[-1])
            if len(best) > 100:
                best, values = self._best(best, values)
        if out is not None:
            write_rows(scored, out)
        (found,), (rows,) = self._best(best, values)
        return [
            UnusualRecord(
                {n: v for n, v in record.items() if n not in ("_x", "anomaly_score")}, record["anomaly_score"], forest.explain(row)
            )
            for record, row in zip(found.iter_rows(named=True), rows, strict=True)
        ]

    def _best(self, best: list[pl.DataFrame], values: list[np.ndarray]) -> tuple[list[pl.DataFrame], list[np.ndarray]]:
        """Return the DESCRIBED most unusual of some records, with their features."""
        top = pl.concat(best).sort("anomaly_score", "_x", descending=[True, False])
        top = top.unique(self.log.shown, keep="first", maintain_order=True).head(DESCRIBED)
        rows = np.concatenate(values)[top["_x"].to_numpy()]
        return [top.with_columns(_x=pl.int_range(top.height, dtype=pl.Int64))], [rows]


def _shown(rows: pl.DataFrame, log: RecordLog, sensor: str) -> pl.DataFrame:
    """Return the identity of records and the columns that their log shows; null where the log lacks one."""
    schema = rows.schema
    name = (
        pl.coalesce(pl.col("_system_name").cast(pl.String), pl.lit(sensor)) if schema.get("_system_name") == pl.String else pl.lit(sensor)
    )
    wanted = dict.fromkeys(IDENTITY, pl.String()) | _TYPES | dict.fromkeys(log.shown, pl.String())
    found = rows.with_columns(sensor=name).select(
        _column(n, t, schema.get(n, pl.String() if n == "sensor" else None)) for n, t in wanted.items()
    )
    return found.select(*IDENTITY, *log.shown)


def _column(name: str, dtype: pl.DataType, found: pl.DataType | None) -> pl.Expr:
    if found is None or (found != dtype and (found.is_nested() or dtype == TIME)):
        return pl.lit(None, dtype).alias(name)
    cell = pl.col(name).cast(dtype, strict=False)
    return cell.str.head(MAX_SHOWN) if dtype == pl.String else cell


def read_records(paths: Iterable[Path], scoring: RecordScoring | RecordSamples, reading: Reading) -> None:
    """Give all records of files and folders to `scoring`; a file that cannot be read is added to `reading.problems`."""
    for _, batch in read_logs(logs_of(paths, scoring.logs), reading):
        scoring.add(batch.log, batch.frame)


class RecordSamples:
    """A bounded uniform sample of the records of each log, to fit forests on."""

    def __init__(self, logs: Iterable[str] = RECORD_LOGS) -> None:
        self._samples = {name: Sample(features=len(RECORD_LOGS[name].names)) for name in logs if name in RECORD_LOGS}
        self.logs = frozenset(self._samples)

    def add(self, log: str, rows: pl.DataFrame) -> None:
        """Offer a batch of a log's records; those of other logs are ignored."""
        if log in self._samples:
            self._samples[log].add(RECORD_LOGS[log].matrix(rows))

    def forests(self, *, seed: int = 0) -> dict[str, RecordForest]:
        """Return a forest for each log that has records."""
        found = {name: sample.x for name, sample in self._samples.items()}
        return {name: fit_record_forest(RECORD_LOGS[name], x, seed=seed) for name, x in found.items() if len(x)}
