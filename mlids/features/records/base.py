"""How the features of a log's records are declared and computed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from mlids.features.records.texts import MEASURES, measure
from mlids.zeek.types import STRINGS


@dataclass(frozen=True)
class RecordFeature:
    """A number computed from one record alone.

    `expression` is null where the record does not say; `neutral` takes its place there, and where the log lacks a column. The
    forest sees log(1 + value) of a count, as lengths and bytes span many orders of magnitude.
    """

    name: str
    meaning: str  # what the value is, as a noun phrase
    expression: pl.Expr
    neutral: float = 0.0  # as the value, not its logarithm
    is_count: bool = False
    is_flag: bool = False

    @cached_property
    def needs(self) -> frozenset[str]:
        """The columns that the expression reads."""
        return frozenset(self.expression.meta.root_names())

    def column(self, present: set[str]) -> pl.Expr:
        """Return the feature as Float32 without null, NaN or infinity, for a frame with these columns."""
        if not self.needs <= present:
            return pl.lit(self._seen(self.neutral), pl.Float32).alias(self.name)
        value = self.expression.cast(pl.Float64, strict=False)
        value = pl.when(value.is_finite()).then(value).otherwise(self.neutral)
        return (value.clip(0.0).log1p() if self.is_count else value).cast(pl.Float32).alias(self.name)

    def _seen(self, value: float) -> float:
        return float(np.log1p(value)) if self.is_count else value

    def describe(self, seen: float, usual: float) -> str:
        """Return what the record has and what is usual, in words, from two values of the feature matrix."""
        return f"{self.meaning}: {self._shown(seen)} (usually {self._shown(usual)})"

    def _shown(self, value: float) -> str:
        if self.is_flag:
            return "yes" if value > 0.5 else "no"
        if self.is_count:
            value = float(np.expm1(value))
            return f"{value:,.0f}" if value >= 10 or abs(value - round(value)) < 0.005 else f"{value:.2g}"
        return f"{value:.2f}".rstrip("0").rstrip(".")


def count(name: str, meaning: str, expression: pl.Expr, neutral: float = 0.0) -> RecordFeature:
    """Return a feature that counts from zero without a limit: bytes, characters, answers, seconds."""
    return RecordFeature(name, meaning, expression, neutral, is_count=True)


def flag(name: str, meaning: str, expression: pl.Expr, *, neutral: bool = False) -> RecordFeature:
    """Return a feature that is true or false."""
    return RecordFeature(name, meaning, expression, float(neutral), is_flag=True)


def level(name: str, meaning: str, expression: pl.Expr, neutral: float) -> RecordFeature:
    """Return a feature within a small range: a share, an entropy, a class with an order."""
    return RecordFeature(name, meaning, expression, neutral)


def text_features(column: str, words: str, *, entropy: float, longest: float) -> tuple[RecordFeature, ...]:
    """Return what is measured of each text: its entropy, digits, other characters and longest word; `entropy` and `longest` are neutral."""
    return (
        level(f"{column}_entropy", f"entropy of the {words} in bits a byte", pl.col(f"{column}.entropy"), entropy),
        level(f"{column}_digits", f"share of digits in the {words}", pl.col(f"{column}.digits"), 0.0),
        level(f"{column}_symbols", f"share of characters other than letters and digits in the {words}", pl.col(f"{column}.symbols"), 0.1),
        count(f"{column}_longest", f"longest word of the {words} in bytes", pl.col(f"{column}.longest"), longest),
    )


@dataclass(frozen=True)
class RecordLog:
    """A log whose records are scored one by one.

    `columns` are those that the features read, in the types that they need; `texts` are those whose characters are measured;
    `shown` are the columns that tell a reader what a record is about.
    """

    name: str
    columns: Mapping[str, pl.DataType]
    texts: tuple[str, ...]
    shown: tuple[str, ...]
    features: tuple[RecordFeature, ...]

    @cached_property
    def names(self) -> list[str]:
        """The names of the features, in the order of the matrix."""
        return [f.name for f in self.features]

    def matrix(self, rows: pl.DataFrame) -> np.ndarray:
        """Return float32[n, features] of records, all finite and contiguous by column. Columns may be missing or of another type."""
        if not rows.height:
            return np.zeros((0, len(self.features)), np.float32)
        known = rows.select(pl.int_range(pl.len()).alias("="), *_usable(rows.schema, self.columns))  # numbered: it may have no column
        measured = {f"{name}.{what}": values for name in self.texts if name in known.columns for what, values in _measures(known[name])}
        known = known.with_columns(pl.Series(name, values) for name, values in measured.items())
        present = set(known.columns)
        found = known.with_columns(f.column(present).alias(f"={f.name}") for f in self.features).select(f"={n}" for n in self.names)
        return np.asfortranarray(found.to_numpy(), np.float32)


def _measures(texts: pl.Series) -> Iterator[tuple[str, np.ndarray]]:
    return zip(MEASURES, measure(texts), strict=True)


def _usable(schema: pl.Schema, wanted: Mapping[str, pl.DataType]) -> Iterator[pl.Expr]:
    """Yield the wanted columns that the rows have, in their types; a column that cannot have its type counts as missing."""
    for name, dtype in wanted.items():
        found = schema.get(name)
        if found == dtype:
            yield pl.col(name)
        elif found == pl.String and dtype == STRINGS:  # of a table that was exported as CSV
            yield pl.col(name).str.split(",")
        elif found is not None and not found.is_nested() and not dtype.is_nested():
            yield _cast(name, found, dtype)


def _cast(name: str, found: pl.DataType, dtype: pl.DataType) -> pl.Expr:
    if found == pl.String and dtype == pl.Boolean:  # Zeek's T and F, and JSON's
        return (
            pl.col(name)
            .str.to_lowercase()
            .replace_strict({"t": True, "true": True, "f": False, "false": False}, default=None, return_dtype=pl.Boolean)
        )
    return pl.col(name).cast(dtype, strict=False)


def length(name: str) -> pl.Expr:
    """Return the bytes of a text."""
    return pl.col(name).str.len_bytes()


def is_address(name: str) -> pl.Expr:
    """Return whether a host name is an IP address, with or without a port."""
    return pl.col(name).str.head(64).str.contains(r"^(\d{1,3}(\.\d{1,3}){3}|\[?[0-9A-Fa-f]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*\]?)(:\d+)?$")
