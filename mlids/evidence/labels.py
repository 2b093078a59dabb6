"""Host names by their labels: which of them are the registered zone, and whether they look like words or like random text."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from mlids.evidence.tables import columns, once_per_batch

LONGEST_NAME = 512  # characters
# Top-level names that are resolved inside a site.
INSIDE_TOPS = ("arpa", "local", "localdomain", "localhost", "lan", "home", "internal", "intranet", "corp", "test", "invalid")
# Registries under country codes: example.co.uk is a zone, co.uk is not.
_SECOND_LEVEL = ("ac", "co", "com", "edu", "gob", "gov", "go", "gouv", "mil", "ne", "net", "nom", "or", "org", "sch")
# The 150 commonest pairs of letters in English. They are 54 of 100 pairs in the names of a million popular sites, 22 in random letters.
_PAIRS = (
    "th he in er an re on at en nd ti es or te of ed is it al ar st to nt ng se ha as ou io le ve co me de hi ri ro ic ne ea ra ce li ch "
    "ll be ma si om ur ca el ta la ns di fo ho pe ec pr no ct us ac ot il tr ly nc et ut ss so rs un lo wa ge ie wh ee wi em ad ol rt po "
    "we na ul ni ts mo ow pa im mi ai sh ir su id os iv ia am fi ci vi pl ig tu ev ld ry mp fe bl ab gh ty op wo sa ay ex ke fr oo av ag "
    "if ap gr od bo sp rd do uc bu ei ov by rm ep tt oc fa"
)
_COMMON = tuple(_PAIRS.split())
LEAST_BYTES = 6  # labels below are too short to say


def with_queries(rows: pl.DataFrame, wanted: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """Return the wanted columns of those rows of dns.log that have an originator and a query, with the labels of its name as `parts`.

    Labels are in lower case. Of long names the end is kept, which is where the zone is: Zeek writes a byte that is no letter as four.
    """
    name, parts = _queries(rows)
    return columns(rows, wanted).with_columns(query=name, parts=parts).drop_nulls(["query", "id.orig_h"])


@once_per_batch
def _queries(rows: pl.DataFrame) -> tuple[pl.Series, pl.Series]:
    """Return the queries and their labels."""
    if rows.schema.get("query") != pl.String:
        rows = rows.with_columns(query=pl.lit(None, pl.String))
    name = rows["query"].str.to_lowercase().str.strip_chars_end(".").str.tail(LONGEST_NAME)
    return name, name.str.split(".")


def zone_size(parts: pl.Expr) -> pl.Expr:
    """Return how many of a name's last labels are the zone that someone registered: 2, or 3 under a registry of a country."""
    shared = parts.list.get(-2, null_on_oob=True).is_in(_SECOND_LEVEL) & (parts.list.last().str.len_bytes() == 2)
    return pl.when(shared).then(3).otherwise(2)


def word_share(labels: pl.Series) -> pl.Series:
    """Return for each label the share of its pairs of neighbouring characters that are common in words, 0 to 1; null below LEAST_BYTES."""
    once = labels.unique().drop_nulls().alias("label")
    pairs = pl.DataFrame({"label": once.str.head(63)}).with_columns(whole=once).filter(pl.col("label").str.len_bytes() >= LEAST_BYTES)
    letters = pairs.with_columns(letter=pl.col("label").str.split("")).explode("letter")
    following = pl.col("letter").shift(-1).over("whole")
    shares = (
        letters.with_columns(pair=pl.col("letter") + following)
        .drop_nulls("pair")
        .group_by("whole")
        .agg(share=pl.col("pair").is_in(_COMMON).cast(pl.Float64).mean())
    )
    return pl.DataFrame({"whole": labels}).join(shares, on="whole", how="left", maintain_order="left")["share"]
