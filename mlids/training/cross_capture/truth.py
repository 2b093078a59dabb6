"""What is known of a capture besides its log: a label file beside it, addresses of attacks, a span of time, the label of the rest."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl

from mlids.detectors.forest import BENIGN
from mlids.errors import InputError
from mlids.training.dataset import labelled
from mlids.zeek.reader import LogReader

_DETAILS = ("detailed-label", "detailedlabel", "detailed_label")


@dataclass(frozen=True)
class Rule:
    """Conns by their ends: those that match every list that is given. A list that is empty matches all conns."""

    name: str  # of the attack that they are
    source: tuple[str, ...] = ()  # id.orig_h
    destination: tuple[str, ...] = ()  # id.resp_h
    port: tuple[int, ...] = ()  # id.resp_p

    def matches(self) -> pl.Expr:
        """Return which conns the rule names."""
        lists: tuple[tuple[str, tuple[str | int, ...]], ...] = (
            ("id.orig_h", self.source), ("id.resp_h", self.destination), ("id.resp_p", self.port),
        )  # fmt: skip
        tests = [pl.col(column).is_in(list(wanted)) for column, wanted in lists if wanted]
        return pl.all_horizontal(*tests).fill_null(False) if tests else pl.lit(True)


@dataclass(frozen=True)
class Truth:
    """The label of each conn, in this order: its own in the log, that of a label file, that of the first rule, `rest`.

    Conns outside `start` (included) and `end` (excluded) have no label: they are context only. Those without `ts` are inside.
    """

    labels: Path | None = None  # CSV, or a labelled log of the same conns: `uid` and `label`
    attacks: tuple[Rule, ...] = ()
    rest: str | None = None  # benign, or None: no label
    background: tuple[Rule, ...] = ()  # benign conns that have no label after all: context only
    start: datetime | None = None
    end: datetime | None = None

    def with_labels(self, conns: pl.DataFrame) -> pl.DataFrame:
        """Return conns with their label in the column `label` (an attack's own name in `detailed-label`), in place of those of the log.

        Raises InputError for a label file that cannot be read.
        """
        if self == Truth():
            return conns
        label = [labelled(conns).alias("own")]
        if self.labels is not None:
            given = read_label_file(self.labels)
            label.append(conns.select("uid").join(given, on="uid", how="left", maintain_order="left")["label"].alias("given"))
        rules = [pl.when(rule.matches()).then(pl.lit(rule.name)) for rule in self.attacks]
        ruled = conns.with_columns(_ruled=pl.coalesce(*rules, pl.lit(self.rest, pl.String)), _inside=self._inside())
        name = pl.when("_inside").then(pl.coalesce(*(s.name for s in label), "_ruled"))
        doubtful = pl.any_horizontal(pl.lit(False), *(rule.matches() for rule in self.background))
        name = pl.when(~((name == BENIGN) & doubtful)).then(name)
        kind = pl.when(name == BENIGN).then(pl.lit("Benign")).when(name.is_not_null()).then(pl.lit("Malicious"))
        columns = ruled.with_columns(*label).select(kind.alias("label"), name.fill_null("-").alias("detailed-label"))
        return conns.drop([c for c in _DETAILS if c in conns.columns]).with_columns(*columns.get_columns())

    def _inside(self) -> pl.Expr:
        first = pl.lit(True) if self.start is None else pl.col("ts") >= self.start
        last = pl.lit(True) if self.end is None else pl.col("ts") < self.end
        return (first & last).fill_null(True)


def read_label_file(path: Path) -> pl.DataFrame:
    """Return `uid` and `label` (benign or an attack's name), one row per uid, of a CSV file or of a labelled log.

    Raises InputError without these columns.
    """
    if path.suffix == ".csv":
        found = pl.read_csv(path, infer_schema=False)
    else:
        parts = [b.frame for b in LogReader(path)]
        found = pl.concat(parts, how="diagonal_relaxed") if parts else pl.DataFrame()
    if not {"uid", "label"} <= set(found.columns):
        raise InputError(f"{path}: a label file needs the columns `uid` and `label`; it has {', '.join(found.columns) or 'none'}")
    return found.select("uid", label=labelled(found)).drop_nulls().unique("uid", keep="first", maintain_order=True)
