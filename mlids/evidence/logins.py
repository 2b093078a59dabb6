"""Logins that failed and that succeeded, by source, target, user and hour; what ssh.log, ntlm.log and kerberos.log have in common."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from mlids.evidence.grouping import MAX_GROUPS, day
from mlids.evidence.tables import fold, joined_uids, seen_fold

# Times of failed logins that are kept of one source, target, user and hour; successful logins likewise.
MAX_FAILED, MAX_LOGINS = 50, 20
_KEYS = ["source", "target", "user", "hour"]
_FAILED: dict[str, pl.Expr] = {
    **seen_fold(),
    "tries": pl.col("tries").sum(),
    "logins": pl.col("logins").sum(),
    "port": pl.col("port").drop_nulls().first(),
    "at": pl.col("at").explode(empty_as_null=False, keep_nulls=False).sort().head(MAX_FAILED),
}


def add_logins(tables: dict[str, pl.DataFrame], rows: pl.DataFrame) -> None:
    """Fold sessions into the tables `sessions` and `logins`.

    Rows have `ts`, `uid`, `source`, `target`, `port`, `user` (null: the log has none), `ok` (whether the login succeeded; null:
    not known, the row is ignored) and `tries` (passwords or keys that were tried).
    """
    rows = rows.drop_nulls("ok").with_columns(hour=pl.col("ts").dt.truncate("1h"))
    if rows.is_empty():
        return
    failed = ~pl.col("ok")
    fresh = rows.group_by(_KEYS, maintain_order=True).agg(
        failed.sum().cast(pl.Int64).alias("n"),
        pl.col("tries").filter(failed).sum().cast(pl.Int64).alias("tries"),
        pl.col("ok").sum().cast(pl.Int64).alias("logins"),
        pl.col("ts").filter(failed).min().alias("first"),
        pl.col("ts").filter(failed).max().alias("last"),
        pl.col("port").drop_nulls().first(),
        pl.col("uid").filter(failed).drop_nulls().unique(maintain_order=True).head(10).alias("uids"),
        pl.col("ts").filter(failed).drop_nulls().sort().head(MAX_FAILED).alias("at"),
    )
    tables["sessions"] = fold(tables.get("sessions"), fresh, _KEYS, _FAILED, largest="n", most=MAX_GROUPS)
    logins = rows.filter("ok").drop_nulls("ts").select(*_KEYS, "ts", "uid", "port")
    held = tables.get("logins")
    logins = (logins if held is None else pl.concat([held, logins])).sort("ts", maintain_order=True)
    tables["logins"] = logins.filter(pl.int_range(pl.len()).over(_KEYS) < MAX_LOGINS).tail(MAX_GROUPS)


def sessions(tables: dict[str, pl.DataFrame], *, one_day: bool) -> pl.DataFrame:
    """Return one row per source, target, user and hour: `n` failed logins with `tries`, and `logins`; `day` is null with `one_day`."""
    return tables["sessions"].with_columns(day=day(one_day=one_day, of="hour"))


def after_guessing(tables: dict[str, pl.DataFrame], keys: Sequence[str], failed: int, *, one_day: bool) -> pl.DataFrame:
    """Return the first login of each of `keys` and day that follows at least `failed` failed ones, with none before these.

    Who logs in beforehand as well is a user, or a host of many users, some of whom mistype. Columns: the keys, `day`, the login's
    `source`, `target`, `user`, `at` (time), `uid`, `port`; of the failed ones that day `targets`, and of those before it `n` (at most MAX_FAILED), `tries`, `first`,
    `last` and `uids`, in which the login comes first.
    """
    by = [*keys, "day"]
    failing = sessions(tables, one_day=one_day).filter(pl.col("n") > 0).group_by(by, maintain_order=True).agg(
        pl.col("at").explode(empty_as_null=False, keep_nulls=False).sort().head(MAX_FAILED).alias("failed_at"),
        (pl.col("tries").sum() / pl.col("n").sum()).alias("each"),
        pl.col("target").n_unique().cast(pl.Int64).alias("targets"),
        joined_uids().alias("uids"),
    ).filter(pl.col("failed_at").list.len() >= failed)  # fmt: skip
    ok = tables["logins"].with_columns(day=day(one_day=one_day, of="hour")).rename({"ts": "login_at"})
    joined = failing.join(ok, on=by, how="inner", nulls_equal=True, maintain_order="left_right")
    enough = pl.col("failed_at").list.get(failed - 1, null_on_oob=True)
    joined = joined.with_columns(before=(pl.col("login_at") <= enough).sum().over(by), after=pl.col("login_at") > enough)
    first = (
        joined.filter(pl.col("after") & (pl.col("before") == 0))
        .sort("login_at", maintain_order=True)
        .unique(by, keep="first", maintain_order=True)
    )
    earlier = (
        first.with_row_index("i").select("i", "failed_at", "login_at").explode("failed_at").filter(pl.col("failed_at") < pl.col("login_at"))
    )
    counts = earlier.group_by("i").agg(
        n=pl.len().cast(pl.Int64), first=pl.col("failed_at").min(), last=pl.col("login_at").max()
    )  # fmt: skip
    found = first.with_row_index("i").join(counts, on="i", how="inner", maintain_order="left")
    uids = pl.concat_list(pl.col("uid").fill_null(""), pl.col("uids")).list.eval(pl.element().filter(pl.element() != ""))
    return found.select(
        *by, *[c for c in ("source", "target", "user") if c not in by], pl.col("login_at").alias("at"), "uid", "port", "targets", "n", "first", "last",
        (pl.col("n") * pl.col("each")).round().cast(pl.Int64).alias("tries"), uids.list.head(10).alias("uids"),
    )  # fmt: skip
