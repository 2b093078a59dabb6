"""Batch scoring of conn logs: one pass to read and compute features, one to score; memory bounded by a batch."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
import polars as pl

from mlids.alerts.grouping import in_common, kind_names
from mlids.detectors.bundle import Fitted, Model, Spec
from mlids.detectors.isolation import fit_isolation
from mlids.detectors.verdict import Verdicts, explain, judge
from mlids.errors import InputError, MlidsError, NoRowsError
from mlids.features.behaviours import BEHAVIOURS
from mlids.features.extract import Extractor, conn_columns
from mlids.features.spec import NAMES
from mlids.zeek.ahead import ahead
from mlids.zeek.bytestream import Problem
from mlids.zeek.reader import LogReader, find_logs, is_conn
from mlids.zeek.tsv import Reject

IDENTITY = ["uid", "ts", "sensor", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "proto"]
FIT_ROWS = 65_536
CANDIDATES, MOST_CANDIDATES = 5_000, 320_000
WORTH_A_LOOK = 40.0  # risk_score below which no more candidates are looked for
# Reasons cost a hundred scorings a row: they are given to every alert and to the strangest rows.
EXPLAINED_ROWS = 2_000


@dataclass
class Reading:
    """What was read: rows taken, rows refused, sources that broke off, logs that are not conn."""

    rows: int = 0
    rejected: int = 0
    files: int = 0
    problems: list[Problem] = field(default_factory=list)
    rejects: list[tuple[str, Reject]] = field(default_factory=list)  # the first hundred
    skipped: list[str] = field(default_factory=list)  # log types that were not conn


@dataclass(frozen=True)
class Finding:
    """One entry of the ranked list: a conn that stands for `alike` conns of the same kind."""

    conn: dict[str, object]
    risk_score: float
    anomaly_score: float
    attack_probability: float | None
    attack_class: str | None
    behaviour: str | None
    reasons: str
    alert: bool
    alike: int


@dataclass(frozen=True)
class Scored:
    """The outcome of a scoring run."""

    reading: Reading
    alerts: int
    threshold: float
    findings: list[Finding]
    model_version: str | None
    trained_on: str  # in words


def read_conns(
    paths: Sequence[Path | BinaryIO], reading: Reading, *, sensor: str = "zeek", log_columns: list[str] | None = None
) -> Iterator[pl.DataFrame]:
    """Yield the conns of files and folders in archive order; other logs are passed over and named.

    A file that cannot be read is reported in `reading.problems` when there are others; alone it raises.
    """
    sources: list[Path | BinaryIO] = []
    for path in paths:
        sources += find_logs(path) if isinstance(path, Path) else [path]
    if not sources:
        raise InputError(f"{', '.join(map(str, paths))}: no Zeek logs in it (looked for *.log, *.json, .gz and .zst)")
    for source in sources:
        if isinstance(source, Path) and len(sources) > 1 and _other_log(source, reading):
            continue
        reader = LogReader(source, "standard input" if not isinstance(source, Path) else None, log="conn")
        try:
            for batch in reader:
                if is_conn(batch) and {"id.orig_h", "id.resp_h"} & set(batch.frame.columns):
                    yield _with_sensor(conn_columns(batch.frame), sensor)
                else:
                    reader.report.rows -= batch.frame.height
                    if batch.log not in reading.skipped:
                        reading.skipped.append(batch.log)
        except MlidsError as error:
            if len(sources) == 1:
                raise
            reading.problems.append(Problem(reader.report.source, str(error)))
        finally:
            reading.files += 1
            reading.rows += reader.report.rows
            reading.rejected += reader.report.rejected
            reading.problems += reader.report.problems
            room = max(100 - len(reading.rejects), 0)
            reading.rejects += [(reader.report.source, r) for r in reader.report.take_rejects()[:room]]


def _other_log(path: Path, reading: Reading) -> bool:
    from mlids.zeek.types import CONN_LIKE, log_type_of

    log = log_type_of(path.name)
    if log is None or log in CONN_LIKE:
        return log in CONN_LIKE and log != "conn"
    if log not in reading.skipped:
        reading.skipped.append(log)
    return True


def _with_sensor(frame: pl.DataFrame, sensor: str) -> pl.DataFrame:
    if "_system_name" in frame.columns:
        return frame.with_columns(sensor=pl.coalesce("_system_name", pl.lit(sensor)))
    return frame.with_columns(sensor=pl.lit(sensor))


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
            from mlids.errors import StoreError

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


def fit_unlabelled(x: np.ndarray, *, seed: int = 0) -> Fitted:
    """Return a model of what is usual in `x`, without labels."""
    medians = np.median(x, axis=0).astype(float).tolist()
    return Fitted(fit_isolation(x, seed=seed), Spec(medians=medians, rows=len(x)))


def learn_normal(paths: Sequence[Path], networks: Sequence[str], extractor: Extractor | None = None) -> Fitted:
    """Return a model fitted on other days."""
    reading = Reading()
    sample = Sample()
    extractor = extractor or Extractor(networks)
    for conns in read_conns(paths, reading):
        sample.add(extractor.features(conns))
    if len(sample.x) < 2:
        raise NoRowsError(f"{', '.join(map(str, paths))}: {len(sample.x)} conns to learn from; at least 2 are needed")
    return fit_unlabelled(sample.x)


def score_logs(
    paths: Sequence[Path | BinaryIO], *, model: Model | None = None, train: Sequence[Path] = (), networks: Sequence[str] = (),
    sensor: str = "zeek", top: int = 20, out: Path | None = None, threshold: float | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Scored:  # fmt: skip
    """Score every conn of `paths` and return the ranked findings; `out` gets one row per conn.

    Without `model` an IsolationForest is fitted on `train`, or on the very rows that are scored.
    Raises NoRowsError when there is no conn at all, InputError for an `out` of unknown kind.
    """
    if out is not None and out.suffix not in _SINKS:
        raise InputError(f"{out}: write to one of {', '.join(_SINKS)}")
    reading = Reading()
    extractor = Extractor(networks)
    trained_on = "a trained model"
    if model is None and train:
        progress("learning what is usual")
        model = learn_normal(train, networks, extractor)
        trained_on = "other days given with --train"
    sample = Sample()
    with tempfile.TemporaryDirectory(prefix="mlids-score-") as folder:
        spool = Spool(Path(folder))
        read = ((conns, extractor.prepare(conns)) for conns in read_conns(paths, reading, sensor=sensor))
        for conns, prepared in ahead(read):  # the past of one block while the next is read and prepared
            x = extractor.features(prepared)
            if model is None:
                sample.add(x)
            spool.add(conns.select(IDENTITY), x)
            progress(f"{spool.rows:,} conns read")
        if not spool.rows:
            raise NoRowsError(_nothing(reading))
        if model is None:
            trained_on = "these very rows: no trained model was given"
            model = fit_unlabelled(sample.x) if spool.rows > 1 else fit_unlabelled(np.repeat(sample.x, 2, axis=0))
        return _score(spool, model, reading, trained_on, top=top, out=out, threshold=threshold, progress=progress)


def _nothing(reading: Reading) -> str:
    why = []
    if reading.rejected:
        source, first = reading.rejects[0]
        why.append(f"{reading.rejected} rows did not parse (first: {source} line {first.line}: {first.reason})")
    if reading.skipped:
        why.append(f"only other logs were found ({', '.join(reading.skipped[:8])})")
    why += [f"{p.source}: {p.reason}" if p.source not in p.reason else p.reason for p in reading.problems[:3]]
    return "no conns to score: " + ("; ".join(why) or "the log holds a header but no rows")


def _score(
    spool: Spool, model: Model, reading: Reading, trained_on: str, *, top: int, out: Path | None,
    threshold: float | None, progress: Callable[[str], None],
) -> Scored:  # fmt: skip
    risk = np.empty(spool.rows, np.float32)
    anomaly = np.empty(spool.rows, np.float32)
    behaviour = np.empty(spool.rows, np.int8)
    probability = np.full(spool.rows, np.nan, np.float32)
    kind = np.full(spool.rows, -1, np.int16)
    at = 0
    for x in spool.features():
        verdicts = judge(model, x, threshold)
        part = slice(at, at + len(x))
        risk[part], anomaly[part], behaviour[part] = verdicts.risk_score, verdicts.scores.anomaly_score, verdicts.behaviour
        if verdicts.scores.attack_probability is not None and verdicts.scores.attack_class is not None:
            probability[part], kind[part] = verdicts.scores.attack_probability, verdicts.scores.attack_class
        at += len(x)
        progress(f"{at:,} conns scored")
    cut = model.spec.threshold if threshold is None else threshold
    order = risk + anomaly * 1e-3
    wanted = CANDIDATES
    while True:
        first = _largest(order, wanted)
        identity = spool.identity(first)
        kinds = kind_names(model.attack_classes, behaviour[first], probability[first], kind[first])
        groups, sizes = _group(identity, kinds, top)
        if len(groups) >= top or wanted >= min(MOST_CANDIDATES, len(order)) or risk[first[-1]] < WORTH_A_LOOK:
            break
        wanted *= 8  # one scan can fill many lines
    named = _class_names(model, kind[first])
    told = _explain(model, spool, first[groups])
    findings = [
        Finding(
            conn={name: identity[name][int(i)] for name in IDENTITY},
            risk_score=float(risk[first[i]]),
            anomaly_score=float(anomaly[first[i]]),
            attack_probability=None if np.isnan(probability[first[i]]) else float(probability[first[i]]),
            attack_class=named[int(i)],
            behaviour=BEHAVIOURS[behaviour[first[i]]].name if behaviour[first[i]] >= 0 else None,
            reasons=reasons,
            alert=bool(risk[first[i]] >= cut),
            alike=int(size),
        )
        for i, size, reasons in zip(groups, sizes, told, strict=True)
    ]
    if out is not None:
        explained = first[:EXPLAINED_ROWS]
        words = dict(zip(explained.tolist(), _explain(model, spool, explained), strict=True))
        _write(spool, out, model, risk, anomaly, probability, kind, cut, words)
    return Scored(reading, int((risk >= cut).sum()), cut, findings, model.version, trained_on)


def _largest(values: np.ndarray, n: int) -> np.ndarray:
    if len(values) > n:
        some = np.argpartition(-values, n)[:n]
        return some[np.lexsort((some, -values[some]))]
    return np.lexsort((np.arange(len(values)), -values))


def _class_names(model: Model, kind: np.ndarray) -> list[str | None]:
    return [model.attack_classes[k] if k >= 0 else None for k in kind]


def _group(identity: pl.DataFrame, kinds: Sequence[str], top: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the strongest row of each group that would be one alert, and how many are alike among the candidates."""
    columns = (identity[n].to_list() for n in ("sensor", "id.orig_h", "id.resp_h", "id.resp_p", "proto"))
    keys = [(k, n, *in_common(k, s or "", t or "", f"{p}/{o}")) for k, n, s, t, p, o in zip(kinds, *columns, strict=True)]
    sizes = Counter(keys)
    first = {key: i for i, key in reversed(list(enumerate(keys)))}
    groups = sorted(first.values())[:top]
    return np.array(groups, np.int64), np.array([sizes[keys[i]] for i in groups], np.int64)


def _explain(model: Model, spool: Spool, rows: np.ndarray) -> list[str]:
    if not len(rows):
        return []
    x = spool.matrix(rows)
    verdicts: Verdicts = judge(model, x)
    return explain(model, x, verdicts, np.arange(len(rows)))


_SINKS: dict[str, Callable[[pl.LazyFrame, Path], object]] = {
    ".parquet": lambda frame, path: frame.sink_parquet(path, compression="zstd", compression_level=1),
    ".csv": lambda frame, path: frame.sink_csv(path),
    ".jsonl": lambda frame, path: frame.sink_ndjson(path),
}


def _write(
    spool: Spool, out: Path, model: Model, risk: np.ndarray, anomaly: np.ndarray, probability: np.ndarray,
    kind: np.ndarray, cut: float, words: dict[int, str],
) -> None:  # fmt: skip
    at = 0
    scored = []
    for path, height in spool.parts:
        part = slice(at, at + height)
        frame = pl.read_ipc(path).with_columns(
            attack_probability=pl.Series(probability[part], nan_to_null=True),
            attack_class=pl.Series(_class_names(model, kind[part]), dtype=pl.String),
            anomaly_score=pl.Series(anomaly[part]),
            risk_score=pl.Series(risk[part]),
            alert=pl.Series(risk[part] >= cut),
            reasons=pl.Series([words.get(i, "") for i in range(at, at + height)]),
        )
        target = path.with_suffix(".scored.arrow")
        frame.write_ipc(target)
        scored.append(target)
        at += height
    aside = out.with_name(f".{out.name}.part")
    try:
        _SINKS[out.suffix](pl.scan_ipc(scored), aside)
        aside.replace(out)
    except OSError as error:
        raise InputError(f"{out}: cannot be written: {error.strerror or error}") from error
    finally:
        aside.unlink(missing_ok=True)
