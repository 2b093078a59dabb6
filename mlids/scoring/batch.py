"""Batch scoring of conn logs: one pass to read and compute features, one to score; memory bounded by a batch."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
import polars as pl

from mlids.detectors.bundle import Fitted, Model, Spec
from mlids.detectors.isolation import fit_isolation
from mlids.detectors.verdict import Verdicts, judge
from mlids.errors import InputError, MlidsError, NoRowsError
from mlids.evidence.base import Evidence, LogEvidence
from mlids.evidence.registry import evidence_types
from mlids.features.extract import Extractor, Prepared
from mlids.features.spec import BEHAVIOUR_NAMES
from mlids.files import replacing
from mlids.ingest.conns import Reading, read_conns
from mlids.scoring.batch_store import RowStore, Sample
from mlids.scoring.ranking import IDENTITY, EvidenceByUid, Finding, JudgedRows, class_names, rank, reasons
from mlids.zeek.bytestream import Problem
from mlids.zeek.log_types import log_type_of
from mlids.zeek.prefetch import prefetch, prefetch_chain
from mlids.zeek.reader import LogReader, find_logs

# Reasons cost a hundred scorings a row: they are given to the riskiest rows.
EXPLAINED_ROWS = 2_000


@dataclass(frozen=True)
class Scored:
    """The outcome of a scoring run."""

    reading: Reading
    alerts: int
    threshold: float
    findings: list[Finding]
    model_version: str | None
    trained_on: str  # in words


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
    x = sample.x
    if len(x) < 2:
        raise NoRowsError(f"{', '.join(map(str, paths))}: {len(x)} conns to learn from; at least 2 are needed")
    return fit_unlabelled(x)


def score_logs(
    paths: Sequence[Path | BinaryIO], *, model: Model | None = None, train: Sequence[Path] = (), networks: Sequence[str] = (),
    sensor: str = "zeek", top: int = 20, behaviour: str | None = None, out: Path | None = None, threshold: float | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Scored:  # fmt: skip
    """Score every conn of `paths` and return the ranked findings; `out` gets one row per conn.

    Without `model` an IsolationForest is fitted on `train`, or on the very rows that are scored. With `behaviour`
    only conns that look first of all like it are ranked and counted as alerts.
    Raises NoRowsError when there is no conn at all, InputError for an `out` or a behaviour of unknown kind.
    """
    if behaviour is not None and behaviour not in BEHAVIOUR_NAMES:
        raise InputError(f"{behaviour!r} is no behaviour; use one of {', '.join(BEHAVIOUR_NAMES)}")
    if out is not None and out.suffix not in _SINKS:
        raise InputError(f"{out}: write to one of {', '.join(_SINKS)}")
    reading = Reading()
    collectors = _read_other_logs(paths, reading, progress)
    extractor = Extractor(networks)
    trained_on = "a trained model"
    if model is None and train:
        progress("learning what is usual")
        model = learn_normal(train, networks, extractor)
        trained_on = "other days given with --train"
    sample = Sample()
    with tempfile.TemporaryDirectory(prefix="mlids-score-") as folder:
        row_store = RowStore(Path(folder))
        read = ((conns, extractor.prepare(conns)) for conns in read_conns(paths, reading, sensor=sensor))
        for identity, x in prefetch(_featured(extractor, prefetch(read))):  # each step at its own rows, in its own thread
            if model is None:
                sample.add(x)
            row_store.add(identity, x)
            progress(f"{row_store.rows:,} conns read")
        if not row_store.rows:
            raise NoRowsError(_nothing(reading))
        if model is None:
            trained_on = "these very rows: no trained model was given"
            x = sample.x
            model = fit_unlabelled(x if len(x) > 1 else np.repeat(x, 2, axis=0))
        return _score(
            row_store, model, reading, trained_on, _by_uid(collectors, row_store), top=top, only=behaviour, out=out, threshold=threshold,
            progress=progress,
        )  # fmt: skip


def _featured(extractor: Extractor, read: Iterable[tuple[pl.DataFrame, list[Prepared]]]) -> Iterator[tuple[pl.DataFrame, np.ndarray]]:
    """Yield who took part in some conns, and their features."""
    for conns, prepared in read:
        identity, start = conns.select(IDENTITY), 0
        for x in extractor.in_pieces(prepared):
            yield identity.slice(start, len(x)), x
            start += len(x)


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
    row_store: RowStore, model: Model, reading: Reading, trained_on: str, evidence: EvidenceByUid, *, top: int, only: str | None, out: Path | None,
    threshold: float | None, progress: Callable[[str], None],
) -> Scored:  # fmt: skip
    judged = JudgedRows(row_store.rows)
    for verdicts in prefetch_chain(partial(_judged, model, x, threshold) for x in row_store.features()):
        judged.add(verdicts)
        progress(f"{judged.rows:,} conns scored")
    judged.add_evidence(row_store, evidence)
    cut = model.spec.threshold if threshold is None else threshold
    rows = judged.like(only)
    findings = rank(row_store, model, judged, rows, evidence, top=top, cut=cut)
    if out is not None:
        explained = judged.largest(EXPLAINED_ROWS)
        _write(
            row_store, out, model, judged, cut, dict(zip(explained.tolist(), reasons(model, row_store, explained, evidence), strict=True))
        )
    return Scored(reading, int((judged.risk[rows] >= cut).sum()), cut, findings, model.version, trained_on)


def _judged(model: Model, x: np.ndarray, threshold: float | None) -> Iterator[Verdicts]:
    """Yield the verdicts of some rows; a generator, so that the thread that asks for them does the work."""
    yield judge(model, x, threshold)


def _read_other_logs(paths: Sequence[Path | BinaryIO], reading: Reading, progress: Callable[[str], None]) -> list[LogEvidence]:
    """Return what collects evidence, having read those logs beside conn.log that any of it is about."""
    collectors = [make() for make in evidence_types()]
    logs = [log for path in paths if isinstance(path, Path) for log in find_logs(path)]
    for path in logs:
        log = log_type_of(path.name)
        wanted = [c for c in collectors if c.log == log]
        if wanted:
            progress(f"{path.name}: evidence")
            _read_log(path, wanted, reading)
    return collectors


def _read_log(path: Path, collectors: Sequence[LogEvidence], reading: Reading) -> None:
    reader = LogReader(path, log=collectors[0].log)
    try:
        for batch in reader:
            for collector in collectors:
                collector.add(batch.frame)
    except MlidsError as error:
        reading.problems.append(Problem(reader.report.source, str(error)))
    finally:
        reading.note(reader)


def _by_uid(collectors: Sequence[LogEvidence], row_store: RowStore) -> dict[str, Evidence]:
    """Return the strongest evidence about each conn."""
    found = []
    for collector in collectors:
        found += collector.evidence(pl.read_ipc(part.path, columns=["id.resp_h"]) for part in row_store.parts)
    return {uid: e for e in sorted(found, key=lambda e: e.score) for uid in e.uids}


_SINKS: dict[str, Callable[[pl.LazyFrame, Path], object]] = {
    ".parquet": lambda frame, path: frame.sink_parquet(path, compression="zstd", compression_level=1),
    ".csv": lambda frame, path: frame.sink_csv(path),
    ".jsonl": lambda frame, path: frame.sink_ndjson(path),
}


def _write(row_store: RowStore, out: Path, model: Model, judged: JudgedRows, cut: float, words: dict[int, str]) -> None:
    scored = []
    for path, start, height in row_store.parts:
        rows = slice(start, start + height)
        frame = pl.read_ipc(path).with_columns(
            attack_probability=pl.Series(judged.probability[rows], nan_to_null=True),
            attack_class=pl.Series(class_names(model, judged.attack_class[rows]), dtype=pl.String),
            anomaly_score=pl.Series(judged.anomaly[rows]),
            risk_score=pl.Series(judged.risk[rows]),
            alert=pl.Series(judged.risk[rows] >= cut),
            reasons=pl.Series([words.get(i, "") for i in range(start, start + height)]),
        )
        target = path.with_suffix(".scored.arrow")
        frame.write_ipc(target)
        scored.append(target)
    try:
        with replacing(out, sync=False) as partial:
            _SINKS[out.suffix](pl.scan_ipc(scored), partial)
    except OSError as error:
        raise InputError(f"{out}: cannot be written: {error.strerror or error}") from error
