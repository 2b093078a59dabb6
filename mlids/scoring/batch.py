"""Batch scoring of conn logs: one pass to read and compute features, one to score. Memory is bounded by a batch."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
import polars as pl

from mlids.alerts.suppression import Rule
from mlids.cases.gathering import Gathered, gather
from mlids.cases.severity import LEVELS
from mlids.detectors.bundle import Fitted, Model
from mlids.detectors.day_view import day_keys
from mlids.detectors.isolation import fit_isolation
from mlids.detectors.model_spec import Spec
from mlids.detectors.verdict import Verdicts, judge, lowest_threshold, thresholds_of
from mlids.errors import InputError, NoRowsError
from mlids.evidence.base import Evidence, SiteView
from mlids.evidence.collecting import Collectors
from mlids.features.extract import Extractor, Prepared
from mlids.features.kernel import TRIPLE
from mlids.features.spec import BEHAVIOUR_NAMES
from mlids.ingest.conns import Reading, logs_of, read_conns, read_logs
from mlids.scoring.batch_store import RowStore, Sample
from mlids.scoring.conn_evidence import conn_evidence
from mlids.scoring.evidence_alerts import unsuppressed
from mlids.scoring.ranking import IDENTITY, EvidenceByUid, Finding, JudgedRows, class_names, rank, reasons
from mlids.scoring.records import RecordScoring, ScoredLog
from mlids.scoring.row_files import FORMATS, write_rows
from mlids.zeek.bytestream import Problem
from mlids.zeek.log_types import log_type_of
from mlids.zeek.prefetch import prefetch, prefetch_chain

# Without a RandomForest, the most surprising conns are alerts by themselves: their risk_score is 50.
UNLABELLED_THRESHOLD = 50.0
# Explaining a row costs a hundred scorings, so only the rows with the highest risk are explained.
EXPLAINED_ROWS = 2_000


@dataclass(frozen=True)
class ScoreOptions:
    """How logs are scored and ranked. Without `model` an IsolationForest is fitted on `train`, or on the scored rows themselves."""

    model: Model | None = None
    trained_on: str = "a trained model"  # what `model` was trained on, in words
    train: Sequence[Path] = ()
    networks: Sequence[str] = ()  # inside, as CIDR; default: private addresses
    sensor: str = "zeek"  # of rows without one
    top: int = 20  # findings to return
    behaviour: str | None = None  # rank and count only conns whose strongest behaviour is this one
    out: Path | None = None  # one row per conn, as .parquet, .csv or .jsonl
    threshold: float | None = None  # risk_score; default: the model's own
    rules: Sequence[Rule] = ()  # evidence that one of these suppresses makes no case
    levels: Sequence[float] = LEVELS  # scores of medium, high and critical cases
    conns: bool = True  # conns are scored
    records: RecordScoring | None = None  # takes the records of the logs beside conn.log that are scored as well

    def check(self) -> None:
        """Raise InputError for a behaviour that does not exist, or an `out` of another format."""
        if self.behaviour is not None and self.behaviour not in BEHAVIOUR_NAMES:
            raise InputError(f"{self.behaviour!r} is not a behaviour; use one of {', '.join(BEHAVIOUR_NAMES)}")
        if self.out is not None and self.out.suffix not in FORMATS:
            raise InputError(f"{self.out}: write to one of {', '.join(FORMATS)}")


@dataclass(frozen=True)
class Scored:
    """The outcome of a scoring run."""

    reading: Reading
    alerts: int  # conns at the threshold or above
    threshold: float  # risk_score
    findings: list[Finding]
    model_version: str | None
    trained_on: str  # in words
    gathered: Gathered
    public_hosts: list[str] = field(default_factory=list)  # public addresses that are taken for the site's own
    records: list[ScoredLog] = field(default_factory=list)  # the other logs, one by one


def fit_unlabelled(x: np.ndarray, *, seed: int = 0) -> Fitted:
    """Return an IsolationForest fitted on float32[n, features]."""
    medians = np.median(x, axis=0).astype(float).tolist()
    return Fitted(fit_isolation(x, seed=seed), Spec(medians=medians, rows=len(x), threshold=UNLABELLED_THRESHOLD))


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
    collectors = _read_other_logs(paths, options, reading, progress)
    conns = read_conns(paths, reading, sensor=options.sensor) if _may_hold_conns(paths, options) else ()
    return score_rows(conns, collectors, reading, options, progress)


def score_rows(
    conns: Iterable[pl.DataFrame],
    collectors: Collectors,
    reading: Reading,
    options: ScoreOptions,
    progress: Callable[[str], None] = lambda _: None,
) -> Scored:
    """Score batches of conns, in order, with the evidence of logs that `collectors` have read; `reading` says what was read so far.

    Raises as `score_logs` does.
    """
    extractor = Extractor(options.networks)
    model, trained_on = options.model, options.trained_on
    if model is None and options.train and options.conns:
        progress("training on other days")
        model, trained_on = learn_normal(options.train, options.networks, extractor), "other days given with --train"
    sample = Sample()
    with tempfile.TemporaryDirectory(prefix="mlids-score-") as folder:
        row_store = RowStore(Path(folder))
        read = ((rows, extractor.prepare(rows)) for rows in conns)
        for identity, x, keys in prefetch(_featured(extractor, prefetch(read))):  # reading, features and storing run in a thread each
            if model is None:
                sample.add(x)
            row_store.add(identity, x, keys)
            progress(f"{row_store.rows:,} conns read")
        if not row_store.rows and options.records is not None and options.records.rows:
            gathered = _gathered([], collectors.evidence(), SiteView(options.networks, names=collectors.names), options)
            reading.problems += [Problem("evidence", p) for p in collectors.problems]
            return Scored(reading, 0, options.threshold or UNLABELLED_THRESHOLD, [], None, "no conns", gathered)
        if not row_store.rows:
            raise NoRowsError(_nothing(reading, options))
        if model is None:
            model, trained_on = _fit_sample(sample.x), "the scored rows themselves"
        judged = _judge_all(row_store, model, options.threshold, progress)
        judged.view_days(row_store.keys)
        threshold = lowest_threshold(model.spec, options.threshold)
        site = SiteView(options.networks, row_store.hosts.local, collectors.names, partial(_hosts, row_store))
        found = collectors.evidence(site)
        reading.problems += [Problem("evidence", p) for p in collectors.problems]
        progress("gathering cases")
        gathered = _gathered(conn_evidence(row_store, model, judged, threshold), found, site, options)
        by_uid = {uid: e for e in reversed(found) for uid in e.uids}
        judged.add_evidence(row_store, by_uid)
        return _ranked(row_store, model, judged, by_uid, options, reading, trained_on, gathered)


def _gathered(of_conns: list[Evidence], of_logs: list[Evidence], site: SiteView, options: ScoreOptions) -> Gathered:
    return gather(unsuppressed([*of_conns, *of_logs], options.sensor, options.rules), site, options.sensor, options.levels)


def _may_hold_conns(paths: Sequence[Path | BinaryIO], options: ScoreOptions) -> bool:
    """Return whether conns are wanted, and a source is a folder or not named as a log that `options.records` took already."""
    taken = options.records.logs if options.records is not None else frozenset()
    return options.conns and not all(isinstance(p, Path) and p.is_file() and log_type_of(p.name) in taken for p in paths)


def _fit_sample(x: np.ndarray) -> Fitted:
    return fit_unlabelled(x if len(x) > 1 else np.repeat(x, 2, axis=0))


def _featured(
    extractor: Extractor, read: Iterable[tuple[pl.DataFrame, list[Prepared]]]
) -> Iterator[tuple[pl.DataFrame, np.ndarray, np.ndarray]]:
    """Yield identity columns, features and keys of service and day of conns, in pieces."""
    for conns, prepared in read:
        identity, start = conns.select(IDENTITY), 0
        keys = np.concatenate([day_keys(p.columns[0][:, TRIPLE], p.columns[1]) for p in prepared] or [np.zeros(0, np.uint64)])
        for x in extractor.in_pieces(prepared):
            yield identity.slice(start, len(x)), x, keys[start : start + len(x)]
            start += len(x)


def _nothing(reading: Reading, options: ScoreOptions) -> str:
    why = []
    if reading.rejected:
        source, first = reading.rejects[0]
        why.append(f"{reading.rejected} rows did not parse (first: {source} line {first.line}: {first.reason})")
    if reading.skipped:
        why.append(f"only other logs were found ({', '.join(reading.skipped[:8])})")
    why += [f"{p.source}: {p.reason}" if p.source not in p.reason else p.reason for p in reading.problems[:3]]
    logs = ["conns"] * options.conns + [f"records of {log}" for log in sorted(options.records.logs if options.records is not None else ())]
    return f"no {' or '.join(logs)} to score: " + ("; ".join(why) or "no such log was found, or it holds a header but no rows")


def _judge_all(row_store: RowStore, model: Model, threshold: float | None, progress: Callable[[str], None]) -> JudgedRows:
    judged = JudgedRows(row_store.rows)
    for verdicts in prefetch_chain(partial(_judged, model, x, threshold) for x in row_store.features()):
        judged.add(*verdicts)
        progress(f"{judged.rows:,} conns scored")
    return judged


def _ranked(
    row_store: RowStore,
    model: Model,
    judged: JudgedRows,
    evidence: EvidenceByUid,
    options: ScoreOptions,
    reading: Reading,
    trained_on: str,
    gathered: Gathered,
) -> Scored:
    threshold = lowest_threshold(model.spec, options.threshold)
    rows = judged.like(options.behaviour)
    findings = rank(row_store, model, judged, rows, evidence, top=options.top)
    if options.out is not None:
        explained = judged.largest(EXPLAINED_ROWS)
        texts = dict(zip(explained.tolist(), reasons(model, row_store, explained, evidence), strict=True))
        _write(row_store, options.out, model, judged, texts)
    return Scored(
        reading,
        int(judged.alert[rows].sum()),
        threshold,
        findings,
        model.version,
        trained_on,
        gathered,
        row_store.hosts.shared,
    )


def _judged(model: Model, x: np.ndarray, threshold: float | None) -> Iterator[tuple[Verdicts, np.ndarray]]:
    """Yield the verdicts and thresholds of float32[n, features]. It is a generator so that the work is done in the thread that reads from it."""
    yield judge(model, x, threshold), thresholds_of(model.spec, x, threshold)


def _read_other_logs(
    paths: Sequence[Path | BinaryIO], options: ScoreOptions, reading: Reading, progress: Callable[[str], None]
) -> Collectors:
    """Return the collectors of evidence, filled from the logs beside conn.log that they read; `options.records` takes its own."""
    collectors = Collectors(options.networks)
    records = options.records
    wanted = collectors.fields().keys() | (records.logs if records is not None else ())
    for path, batch in prefetch(read_logs(logs_of(paths, wanted), reading)):  # reading runs in a thread of its own
        progress(f"{path.name}: evidence")
        collectors.add(batch.log, batch.frame)
        if records is not None:
            records.add(batch.log, batch.frame)
    return collectors


def _hosts(row_store: RowStore) -> Iterator[pl.DataFrame]:
    return (pl.read_ipc(part.path, columns=["id.orig_h", "id.resp_h"]) for part in row_store.parts)


def _write(row_store: RowStore, out: Path, model: Model, judged: JudgedRows, texts: dict[int, str]) -> None:
    scored = []
    for path, start, height in row_store.parts:
        rows = slice(start, start + height)
        frame = pl.read_ipc(path).with_columns(
            attack_probability=pl.Series(judged.probability[rows], nan_to_null=True),
            attack_class=pl.Series(class_names(model, judged.attack_class[rows]), dtype=pl.String),
            anomaly_score=pl.Series(judged.anomaly[rows]),
            risk_score=pl.Series(judged.risk[rows]),
            alert=pl.Series(judged.risk[rows] >= judged.least[rows]),
            reasons=pl.Series([texts.get(i, "") for i in range(start, start + height)]),
        )
        target = path.with_suffix(".scored.arrow")
        frame.write_ipc(target)
        scored.append(target)
    write_rows(scored, out)
