"""Ranks the rows of a batch: one finding per group of conns that would be one alert."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from mlids.alerts.grouping import in_common, kind_names
from mlids.detectors.bundle import Model
from mlids.detectors.day_view import raised
from mlids.detectors.verdict import BEHAVIOUR_WEIGHT, Verdicts, explain, judge
from mlids.evidence.base import Evidence
from mlids.features.behaviours import BEHAVIOURS, kind_title
from mlids.features.spec import BEHAVIOUR_NAMES
from mlids.scoring.batch_store import RowStore

IDENTITY = ["uid", "ts", "sensor", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "proto"]
# Findings are grouped from the rows with the highest risk: first this many, and eight times more while they give too
# few groups and the lowest of them still has the risk_score NOTABLE.
CANDIDATES, MOST_CANDIDATES = 5_000, 320_000
NOTABLE = 40.0

# The strongest evidence of other logs about a conn, by its uid.
EvidenceByUid = Mapping[str, Evidence]


@dataclass(frozen=True)
class Finding:
    """One entry of the ranked list: the conn with the highest risk of a group of `alike` conns."""

    conn: dict[str, object]
    risk_score: float
    anomaly_score: float
    attack_probability: float | None
    attack_class: str | None
    behaviour: str | None
    reasons: str
    alert: bool
    alike: int


class JudgedRows:
    """Verdicts on each row of a RowStore, in its order: 19 bytes a row."""

    def __init__(self, rows: int) -> None:
        self.rows = 0  # judged so far
        self.risk = np.empty(rows, np.float32)
        self.anomaly = np.empty(rows, np.float32)
        self.behaviour = np.empty(rows, np.int8)  # index into BEHAVIOURS, −1: none
        self.probability = np.full(rows, np.nan, np.float32)  # nan without a RandomForest
        self.attack_class = np.full(rows, -1, np.int16)
        self.least = np.zeros(rows, np.float32)  # the risk_score from which each row is an alert

    def add(self, verdicts: Verdicts, least: np.ndarray) -> None:
        """Append the verdicts of the next rows, and the risk_score from which each is an alert."""
        part = slice(self.rows, self.rows + len(verdicts.risk_score))
        scores = verdicts.scores
        self.risk[part], self.anomaly[part], self.behaviour[part] = verdicts.risk_score, scores.anomaly_score, verdicts.behaviour
        if scores.attack_probability is not None and scores.attack_class is not None:
            self.probability[part], self.attack_class[part] = scores.attack_probability, scores.attack_class
        self.least[part] = least
        self.rows = part.stop

    @property
    def alert(self) -> np.ndarray:
        """bool[rows]: which rows are alerts."""
        return self.risk >= self.least

    def add_evidence(self, row_store: RowStore, evidence: EvidenceByUid) -> None:
        """Combine evidence of other logs with the risk of its conns (noisy-OR); the conns take its behaviour."""
        if not evidence:
            return
        numbers = {name: i for i, name in enumerate(BEHAVIOUR_NAMES)}
        level = pl.DataFrame(
            {
                "uid": list(evidence), "level": [e.score for e in evidence.values()],
                "behaviour": [numbers.get(e.kind) for e in evidence.values()],
            },
            schema={"uid": pl.String, "level": pl.Float32, "behaviour": pl.Int8},
        )  # fmt: skip
        for part in row_store.parts:
            found = pl.read_ipc(part.path, columns=["uid"]).with_row_index("i").join(level, on="uid")
            rows = part.start + found["i"].to_numpy().astype(np.int64)
            self.risk[rows] = 100.0 - (100.0 - self.risk[rows]) * (1.0 - BEHAVIOUR_WEIGHT * found["level"].to_numpy())
            named = found["behaviour"].is_not_null().to_numpy()
            self.behaviour[rows[named]] = found["behaviour"].drop_nulls().to_numpy()

    def view_days(self, keys: np.ndarray) -> None:
        """Raise conns to the upper quartile of their service and day (`day_view`); they take the behaviour of its strongest conn."""
        rows, strongest = raised(keys, self.risk)
        self.behaviour[rows] = self.behaviour[strongest]

    def like(self, behaviour: str | None) -> np.ndarray:
        """Return the rows whose strongest behaviour is this one; all rows for None."""
        if behaviour is None:
            return np.arange(self.rows)
        return np.flatnonzero(self.behaviour == BEHAVIOUR_NAMES.index(behaviour))

    def largest(self, n: int, rows: np.ndarray | None = None) -> np.ndarray:
        """Return the n rows (of `rows`) with the highest risk, highest first; at equal risk the higher anomaly_score comes first."""
        rows = np.arange(self.rows) if rows is None else rows
        values = self.risk[rows] + self.anomaly[rows] * 1e-3
        if len(values) > n:
            some = np.argpartition(-values, n)[:n]
            return rows[some[np.lexsort((some, -values[some]))]]
        return rows[np.lexsort((np.arange(len(values)), -values))]

    def kinds(self, model: Model, rows: np.ndarray) -> list[str]:
        """Return the kind that an alert of each row would have."""
        return kind_names(model.attack_classes, self.behaviour[rows], self.probability[rows], self.attack_class[rows])


def rank(row_store: RowStore, model: Model, judged: JudgedRows, rows: np.ndarray, evidence: EvidenceByUid, *, top: int) -> list[Finding]:
    """Return the `top` findings among `rows`, the highest risk first."""
    if not len(rows):
        return []
    wanted = CANDIDATES
    while True:
        first = judged.largest(wanted, rows)
        identity = row_store.identity(first)
        groups, sizes = _group(identity, judged.kinds(model, first), top)
        if len(groups) >= top or wanted >= min(MOST_CANDIDATES, len(rows)) or judged.risk[first[-1]] < NOTABLE:
            break
        wanted *= 8  # one scan can be thousands of rows
    chosen = first[groups]
    classes, why = class_names(model, judged.attack_class[chosen]), reasons(model, row_store, chosen, evidence)
    return [
        Finding(
            conn={name: identity[name][int(at)] for name in IDENTITY},
            risk_score=float(judged.risk[row]),
            anomaly_score=float(judged.anomaly[row]),
            attack_probability=None if np.isnan(judged.probability[row]) else float(judged.probability[row]),
            attack_class=attack_class,
            behaviour=BEHAVIOURS[judged.behaviour[row]].name if judged.behaviour[row] >= 0 else None,
            reasons=text,
            alert=bool(judged.risk[row] >= judged.least[row]),
            alike=int(size),
        )
        for at, row, size, attack_class, text in zip(groups, chosen, sizes, classes, why, strict=True)
    ]


def class_names(model: Model, kind: np.ndarray) -> list[str | None]:
    """Return the RandomForest's class of each row; None without one."""
    return [model.attack_classes[k] if k >= 0 else None for k in kind]


def _group(identity: pl.DataFrame, kinds: Sequence[str], top: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the row with the highest risk of each group, and the number of candidates in the group."""
    columns = (identity[n].to_list() for n in ("sensor", "id.orig_h", "id.resp_h", "id.resp_p", "proto"))
    keys = [(k, n, *in_common(k, s or "", t or "", f"{p}/{o}")) for k, n, s, t, p, o in zip(kinds, *columns, strict=True)]
    sizes = Counter(keys)
    first = {key: i for i, key in reversed(list(enumerate(keys)))}
    groups = sorted(first.values())[:top]
    return np.array(groups, np.int64), np.array([sizes[keys[i]] for i in groups], np.int64)


def reasons(model: Model, row_store: RowStore, rows: np.ndarray, evidence: EvidenceByUid) -> list[str]:
    """Return the reasons for the score of each of `rows`, in words; evidence of other logs comes first."""
    if not len(rows):
        return []
    x = row_store.matrix(rows)
    verdicts: Verdicts = judge(model, x)
    why = explain(model, x, verdicts, np.arange(len(rows)))
    if not evidence:
        return why
    uids = row_store.identity(rows)["uid"].to_list()
    return [
        f"{kind_title(evidence[uid].kind)}: {evidence[uid].text}; {text}" if uid in evidence else text
        for uid, text in zip(uids, why, strict=True)
    ]
