"""Rows of a log counted by keys: how often, when, and in which conns. What the collectors of logins and remote calls share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from mlids.evidence.base import Evidence
from mlids.evidence.tables import columns, fold, seen_agg, seen_fold
from mlids.zeek.types import TIME

# What every log about a conn has. `columns` reads them.
ENDS = {"ts": TIME, "uid": pl.String(), "id.orig_h": pl.String(), "id.resp_h": pl.String(), "id.resp_p": pl.UInt32()}
MAX_GROUPS = 50_000
MAX_EVIDENCE = 500  # of one kind: names and addresses in a log are an attacker's
_HOW: dict[str, pl.Expr] = {**seen_fold(), "port": pl.col("port").drop_nulls().first()}


def ends(rows: pl.DataFrame, wanted: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """Return `ts`, `uid`, `source`, `target`, `port` and the wanted columns of the rows with a source and a target."""
    named = {"id.orig_h": "source", "id.resp_h": "target", "id.resp_p": "port"}
    return columns(rows, {**ENDS, **wanted}).rename(named).drop_nulls(["source", "target"])


def day(*, one_day: bool, of: str = "ts") -> pl.Expr:
    """Return the UTC day of a time; null for all rows with `one_day`."""
    return pl.lit(None, pl.Date) if one_day else pl.col(of).dt.date()


def counted(rows: pl.DataFrame, keys: Sequence[str], **more: pl.Expr) -> pl.DataFrame:
    """Return one row per key: `n`, `first`, `last`, `port`, `uids` and more, in the order in which the keys come."""
    return rows.group_by(keys, maintain_order=True).agg(**seen_agg(), port=pl.col("port").drop_nulls().first(), **more)


def fold_counted(
    tables: dict[str, pl.DataFrame], name: str, fresh: pl.DataFrame, keys: Sequence[str], most: int = MAX_GROUPS, **more: pl.Expr
) -> None:
    """Fold what `counted` returned into a table of a collector; the groups with the most rows are kept."""
    if fresh.height:
        tables[name] = fold(tables.get(name), fresh, keys, {**_HOW, **more}, largest="n", most=most)


def summed(table: pl.DataFrame, keys: Sequence[str], **more: pl.Expr) -> pl.DataFrame:
    """Return a table of counts with fewer keys, and `targets` (different ones) where it has a target per row."""
    targets = {"targets": pl.col("target").n_unique().cast(pl.Int64)} if "target" in table.columns and "target" not in keys else {}
    return table.group_by(keys, maintain_order=True).agg(**{**_HOW, **targets, **more})


def main_target() -> pl.Expr:
    """Return an aggregation: the target of the row with the largest `n`."""
    return pl.col("target").sort_by("n", descending=True, maintain_order=True).first()


def clearest(found: pl.DataFrame) -> pl.DataFrame:
    """Return the rows with a score of at least 0.1, the highest first, at most MAX_EVIDENCE."""
    found = found.with_columns(pl.col("score").round(3)).filter(pl.col("score") >= 0.1)
    return found.sort("score", "n", descending=True, maintain_order=True).head(MAX_EVIDENCE)


def from_row(kind: str, row: Mapping[str, Any], text: str, *, subject: str = "", log: str = "", proto: str = "tcp") -> Evidence:
    """Return evidence from a row of counts with `score`, `source` and `target`."""
    return Evidence(
        kind=kind, score=float(row["score"]), text=text, uids=tuple(row["uids"]), source=row["source"], subject=subject,
        target=row["target"] or "", port=row["port"], proto=proto, first=row["first"], last=row["last"], count=row["n"], log=log,
    )  # fmt: skip


def named(texts: Sequence[str | None], most: int = 4) -> str:
    """Return up to `most` texts for a sentence, each shortened, and how many more there are."""
    known = [t[:60] for t in texts if t]
    rest = len(known) - most
    return ", ".join(known[:most]) + (f" and {rest} more" if rest > 0 else "")
