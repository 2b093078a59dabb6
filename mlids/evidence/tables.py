"""What collectors of evidence share: columns in one form, and state in bounded tables."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import TypeVar

import polars as pl

from mlids.zeek.types import TIME

MAX_ROWS = 200_000  # of one table of a collector
# Longer texts in a table are cut: an attacker chooses them.
MAX_TEXT = 256

T = TypeVar("T")


def once_per_batch(make: Callable[[pl.DataFrame], T]) -> Callable[[pl.DataFrame], T]:
    """Return a function that computes once what several collectors ask about the same batch. The result lives as long as the batch."""
    last: dict[str, tuple[weakref.ref[pl.DataFrame], T]] = {}

    @wraps(make)
    def made(rows: pl.DataFrame) -> T:
        held = last.get("held")
        if held is not None and held[0]() is rows:
            return held[1]
        result = make(rows)
        last["held"] = (weakref.ref(rows, lambda ref: _forget(last, ref)), result)
        return result

    return made


def _forget(last: dict[str, tuple[weakref.ref[pl.DataFrame], T]], ref: weakref.ref[pl.DataFrame]) -> None:
    held = last.get("held")
    if held is not None and held[0] is ref:
        last.clear()


def columns(rows: pl.DataFrame, wanted: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """Return the wanted columns in their types; null where the log has none, or has it in a type that cannot be read."""
    schema = rows.schema
    # `select` would return one row where no column can be read.
    return rows.with_columns(_column(name, dtype, schema.get(name)) for name, dtype in wanted.items()).select(list(wanted))


def _column(name: str, dtype: pl.DataType, found: pl.DataType | None) -> pl.Expr:
    if found is None or _is_unreadable(dtype, found):
        return pl.lit(None, dtype).alias(name)
    if dtype.is_nested() and found != dtype:
        return (
            pl.col(name).cast(pl.String, strict=False).str.split(",").alias(name) if found == pl.String else pl.lit(None, dtype).alias(name)
        )
    if dtype == pl.Boolean and found == pl.String:  # polars casts no text to Boolean; Zeek writes T and F, JSON true and false
        text = pl.col(name).str.to_lowercase()
        return text.replace_strict({"t": True, "true": True, "f": False, "false": False}, default=None, return_dtype=pl.Boolean).alias(name)
    cell = pl.col(name) if found == dtype else pl.col(name).cast(dtype, strict=False)
    return cell.str.head(MAX_TEXT).alias(name) if dtype == pl.String else cell


def _is_unreadable(dtype: pl.DataType, found: pl.DataType) -> bool:
    """Return whether polars has no cast from the type of a column to the wanted one, or one that means something else."""
    if found == dtype:
        return False
    return (
        found == pl.Binary or found.is_nested() or dtype == TIME or (dtype == pl.Boolean and found != pl.String and not found.is_numeric())
    )


def fold(
    held: pl.DataFrame | None,
    fresh: pl.DataFrame,
    keys: Sequence[str],
    how: Mapping[str, pl.Expr],
    *,
    largest: str | pl.Expr,
    most: int = MAX_ROWS,
) -> pl.DataFrame:
    """Return a table with the rows of `fresh` folded in: one row per key, other columns by `how`; the `most` largest are kept.

    Both frames have the same columns; the table has them in the order of `fresh`. `largest` is what decides which rows are kept: a
    column, or an expression over the table.
    """
    if held is not None and held.height:
        order = fresh.columns
        both = pl.concat([held.select(order), fresh])
        fresh = both.group_by(keys, maintain_order=True).agg(e.alias(n) for n, e in how.items()).select(order)
    if fresh.height > most:
        fresh = fresh.sort(largest, descending=True, nulls_last=True, maintain_order=True).head(most)
    return fresh


def first_uids(n: int = 10) -> pl.Expr:
    """Return an aggregation: the first `n` different uids of a group, as a list."""
    return pl.col("uid").drop_nulls().unique(maintain_order=True).head(n)


def joined(name: str, n: int) -> pl.Expr:
    """Return an aggregation for `fold`: the first `n` different values of a group's lists."""
    return pl.col(name).explode(empty_as_null=False, keep_nulls=False).unique(maintain_order=True).head(n)


def joined_uids(n: int = 10) -> pl.Expr:
    """Return an aggregation for `fold`: the first `n` different uids of the lists `uids` of a group."""
    return joined("uids", n)


def seen_agg() -> dict[str, pl.Expr]:
    """Return aggregations of the rows of a log: `n`, `first`, `last`, `uids`."""
    return {"n": pl.len().cast(pl.Int64), "first": pl.col("ts").min(), "last": pl.col("ts").max(), "uids": first_uids()}


def seen_fold() -> dict[str, pl.Expr]:
    """Return how the columns of `seen_agg` are folded."""
    return {"n": pl.col("n").sum(), "first": pl.col("first").min(), "last": pl.col("last").max(), "uids": joined_uids()}


def ramp(value: pl.Expr, low: float, high: float) -> pl.Expr:
    """Return 0 up to `low`, 1 from `high` on, linear in between."""
    return ((value - low) / (high - low)).clip(0.0, 1.0)
