"""Batch scoring of conn logs: one pass to read and compute features, one to score. Memory is bounded by a batch."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
import polars as pl
import polars.selectors as cs

from mlids.detectors.bundle import Fitted, Model
from mlids.detectors.isolation import fit_isolation
from mlids.detectors.model_spec import Spec
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
from mlids.text import no_formula
from mlids.zeek.bytestream import Problem
from mlids.zeek.log_types import log_type_of
from mlids.zeek.prefetch import prefetch, prefetch_chain
from mlids.zeek.reader import LogReader, find_logs

# Explaining a row costs a hundred scorings, so only the rows with the highest risk are explained.
EXPLAINED_ROWS = 2_000


@dataclass(frozen=True)
class ScoreOptions:
    """How logs are scored and ranked. Without `model` an IsolationForest is fitted on `train`, or on the scored rows themselves."""

    model: Model | None = None
    train: Sequence[Path] = ()
    networks: Sequence[str] = ()  # inside, as CIDR; default: private addresses
    sensor: str = "zeek"  # of rows without one
    top: int = 20  # findings to return
    behaviour: str | None = None  # rank and count only conns whose strongest behaviour is this one
    out: Path | None = None  # one row per conn, as .parquet, .csv or .jsonl
    threshold: float | None = None  # risk_score; default: the model's own

    def check(self) -> None:
        """Raise InputError for a behaviour that does not exist, or an `out` of another format."""
        if self.behaviour is not None and self.behaviour not in BEHAVIOUR_NAMES:
            raise InputError(f"{self.behaviour!r} is not a behaviour; use one of {', '.join(BEHAVIOUR_NAMES)}")
        if self.out is not None and self.out.suffix not in _FORMATS:
            raise InputError(f"{self.out}: write to one of {', '.join(_FORMATS)}")


@dataclass(frozen=True)
class Scored:
    """The outcome of a scoring run."""

    reading: Reading
    alerts: int  # conns at the threshold or above
    threshold: float  # risk_score
    findings: list[Finding]
    model_version: str | None
    trained_on: str  # in words


def fit_unlabelled(x: np.ndarray, *, seed: int = 0) -> Fitted:
    """Return an IsolationForest fitted on float32[n, features]."""
    medians = np.median(x, axis=0).astype(float).tolist()
    return Fitted(fit_isolation(x, seed=seed), Spec(medians=medians, rows=len(x)))


def learn_normal(paths: Sequence[Path], networks: Sequence[str], extractor: Extractor | None = None) -> Fitted:
    """Return an IsolationForest fitted on a sample of other logs. Raises NoRowsError with fewer than two conns."""
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
    paths: Sequence[Path | BinaryIO], options: ScoreOptions = ScoreOptions(), progress: Callable[[str], None] = lambda _: None
) -> Scored:
    """Score every conn of `paths` and return the ranked findings; logs beside conn.log add evidence.

    Raises NoRowsError when there is no conn at all, InputError for an option that is not valid or an `out` that cannot
    be written, StoreError when the temporary folder is full.
    """
    options.check()
    reading = Reading()
    collectors = _read_other_logs(paths, reading, progress)
    extractor = Extractor(options.networks)
    model, trained_on = options.model, "a trained model"
    if model is None and options.train:
        progress("training on other days")
        model, trained_on = learn_normal(options.train, options.networks, extractor), "other days given with --train"
    sample = Sample()
    with tempfile.TemporaryDirectory(prefix="mlids-score-") as folder:
        row_store = RowStore(Path(folder))
        read = ((conns, extractor.prepare(conns)) for conns in read_conns(paths, reading, sensor=options.sensor))
        for identity, x in prefetch(_featured(extractor, prefetch(read))):  # reading, features and storing run in a thread each
            if model is None:
                sample.add(x)
            row_store.add(identity, x)
            progress(f"{row_store.rows:,} conns read")
        if not row_store.rows:
            raise NoRowsError(_nothing(reading))
        if model is None:
            model, trained_on = _fit_sample(sample.x), "the scored rows themselves: no trained model was given"
        judged = _judge_all(row_store, model, options.threshold, progress)
        evidence = _by_uid(collectors, row_store)
        judged.add_evidence(row_store, evidence)
        return _ranked(row_store, model, judged, evidence, options, reading, trained_on)


def _fit_sample(x: np.ndarray) -> Fitted:
    return fit_unlabelled(x if len(x) > 1 else np.repeat(x, 2, axis=0))


def _featured(extractor: Extractor, read: Iterable[tuple[pl.DataFrame, list[Prepared]]]) -> Iterator[tuple[pl.DataFrame, np.ndarray]]:
    """Yield identity columns and features of conns, in pieces."""
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


def _judge_all(row_store: RowStore, model: Model, threshold: float | None, progress: Callable[[str], None]) -> JudgedRows:
    judged = JudgedRows(row_store.rows)
    for verdicts in prefetch_chain(partial(_judged, model, x, threshold) for x in row_store.features()):
        judged.add(verdicts)
        progress(f"{judged.rows:,} conns scored")
    return judged


def _ranked(
    row_store: RowStore, model: Model, judged: JudgedRows, evidence: EvidenceByUid, options: ScoreOptions, reading: Reading, trained_on: str
) -> Scored:
    threshold = model.spec.threshold if options.threshold is None else options.threshold
    rows = judged.like(options.behaviour)
    findings = rank(row_store, model, judged, rows, evidence, top=options.top, threshold=threshold)
    if options.out is not None:
        explained = judged.largest(EXPLAINED_ROWS)
        texts = dict(zip(explained.tolist(), reasons(model, row_store, explained, evidence), strict=True))
        _write(row_store, options.out, model, judged, threshold, texts)
    return Scored(reading, int((judged.risk[rows] >= threshold).sum()), threshold, findings, model.version, trained_on)


def _judged(model: Model, x: np.ndarray, threshold: float | None) -> Iterator[Verdicts]:
    """Yield the verdicts of float32[n, features]. It is a generator so that the work is done in the thread that reads from it."""
    yield judge(model, x, threshold)


def _read_other_logs(paths: Sequence[Path | BinaryIO], reading: Reading, progress: Callable[[str], None]) -> list[LogEvidence]:
    """Return the collectors of evidence, filled from the logs beside conn.log that they read."""
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


_ODD_CELL = r"^[=+\-@＝＋－＠]|[\p{C}\p{Z}--\x20]"
_FORMATS: dict[str, Callable[[pl.LazyFrame, Path], object]] = {
    ".parquet": lambda frame, path: frame.sink_parquet(path, compression="zstd", compression_level=1),
    ".csv": lambda frame, path: frame.with_columns(cs.string().map_batches(_cells, return_dtype=pl.String)).sink_csv(path),
    ".jsonl": lambda frame, path: frame.sink_ndjson(path),
}


def _cells(texts: pl.Series) -> pl.Series:
    """Return the cells of a spreadsheet for texts that an attacker may have chosen; most are as they were."""
    odd = texts.str.contains(_ODD_CELL).fill_null(value=False)
    found = odd.arg_true()
    return texts.scatter(found, [no_formula(t) for t in texts.filter(odd)]) if len(found) else texts


def _write(row_store: RowStore, out: Path, model: Model, judged: JudgedRows, threshold: float, texts: dict[int, str]) -> None:
    scored = []
    for path, start, height in row_store.parts:
        rows = slice(start, start + height)
        frame = pl.read_ipc(path).with_columns(
            attack_probability=pl.Series(judged.probability[rows], nan_to_null=True),
            attack_class=pl.Series(class_names(model, judged.attack_class[rows]), dtype=pl.String),
            anomaly_score=pl.Series(judged.anomaly[rows]),
            risk_score=pl.Series(judged.risk[rows]),
            alert=pl.Series(judged.risk[rows] >= threshold),
            reasons=pl.Series([texts.get(i, "") for i in range(start, start + height)]),
        )
        target = path.with_suffix(".scored.arrow")
        frame.write_ipc(target)
        scored.append(target)
    try:
        with replacing(out, sync=False) as partial:
            _FORMATS[out.suffix](pl.scan_ipc(scored), partial)
    except OSError as error:
        raise InputError(f"{out}: cannot be written: {error.strerror or error}") from error
