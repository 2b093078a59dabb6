"""Logins in ntlm.log: many names or passwords tried from one source, logins after that, and one account on many hosts."""

from __future__ import annotations

import polars as pl

from mlids.evidence.base import Collector, Evidence, Kind, SiteView
from mlids.evidence.grouping import clearest, ends, from_row, main_target, named, summed
from mlids.evidence.logins import add_logins, after_guessing, sessions
from mlids.evidence.tables import ramp

FEW_NAMES, MANY_NAMES = 5, 20
# Failed logins of one account; a service with an old password has hundreds a day.
FEW_FAILED, MANY_FAILED = 30, 300
GUESSED = 10
FEW_HOSTS, MANY_HOSTS = 15, 60
_WANTED = {"username": pl.String(), "success": pl.Boolean()}


class NtlmEvidence(Collector):
    """Failed and successful logins by source, server, account and hour."""

    reads = {"ntlm": ("ts", "uid", "id.orig_h", "id.resp_h", "id.resp_p", *_WANTED)}
    kinds = (
        Kind(
            "ntlm_guessed", title="NTLM login after password guessing", sentence="logged in to {target} after guessing passwords", technique="T1110.001",
            next_step="change the password of the account, and read what it did since this login",
        ),
        Kind(
            "ntlm_guessing", title="names or passwords tried with NTLM", sentence="tries many names or passwords with NTLM", technique="T1110.003",
            next_step="find the program on the source; look for a login of one of these names afterwards",
        ),
        Kind(
            "ntlm_many_hosts", title="one account on many hosts", sentence="logs in to many hosts as {subject}", technique="T1021.002",
            next_step="ask whether the account's owner administers these hosts from the source",
        ),
    )  # fmt: skip

    def add(self, log: str, rows: pl.DataFrame) -> None:
        """Take a batch of ntlm.log. Rows without a name (null sessions) or with an unknown result are ignored."""
        logins = (
            ends(rows, _WANTED)
            .rename({"success": "ok"})
            .with_columns(user=pl.col("username").str.to_lowercase(), tries=pl.lit(1, pl.Int64))
        )
        add_logins(self.tables, logins.filter(pl.col("user").str.len_bytes() > 0))

    def evidence(self, site: SiteView) -> list[Evidence]:
        """Return logins after guessing, guessing, and accounts on many hosts, the clearest first."""
        if "sessions" not in self.tables:
            return []
        daily = sessions(self.tables, one_day=self.one_day)
        found = _guessed(self.tables, one_day=self.one_day) + _guessing(daily, site) + _many_hosts(daily)
        return sorted(found, key=lambda e: -e.score)


EVIDENCE = NtlmEvidence


def _guessed(tables: dict[str, pl.DataFrame], *, one_day: bool) -> list[Evidence]:
    found = after_guessing(tables, ["source", "user"], GUESSED, one_day=one_day)
    # A service whose password was corrected failed for hours before: slower than a guesser.
    minutes = (pl.col("last") - pl.col("first")).dt.total_milliseconds() / 60_000.0 + 0.1
    fast = ramp(pl.col("n") / minutes, 0.5, 4.0)
    found = found.with_columns(score=0.3 + 0.6 * fast * (0.5 + 0.5 * ramp(pl.col("n"), GUESSED, 3 * GUESSED)))
    return [
        from_row("ntlm_guessed", row, f"a login as {row['user'][:60]} at {row['at']:%H:%M:%S} UTC (conn {row['uid']}) after {row['n']:,} failed ones, and none before", subject=row["user"])
        for row in clearest(found).iter_rows(named=True)
    ]  # fmt: skip


def _guessing(daily: pl.DataFrame, site: SiteView) -> list[Evidence]:
    more = {"target": main_target(), "logins": pl.col("logins").sum()}
    users = summed(daily, ["source", "user", "day"], **more)
    bad = (pl.col("n") > 0) & (pl.col("logins") == 0)
    found = summed(
        users, ["source", "day"], **more, total=pl.len().cast(pl.Int64), bad=bad.sum().cast(pl.Int64), names=pl.col("user").filter(bad).head(6),
        largest=pl.col("n").filter(bad).max().fill_null(0),
    )  # fmt: skip
    # A server that many people log in through has mostly names that succeed.
    share = ramp(pl.col("bad") / pl.col("total"), 0.2, 0.6)
    spray = pl.when(pl.col("bad") >= FEW_NAMES).then(0.4 + 0.5 * ramp(pl.col("bad"), FEW_NAMES, MANY_NAMES)).otherwise(0.0) * share
    one = 0.45 * ramp(pl.col("largest"), FEW_FAILED, MANY_FAILED)
    score = pl.max_horizontal(spray, one)
    inside = site.inside(found["source"])
    found = clearest(found.with_columns(score=pl.when(inside).then(score).otherwise(pl.min_horizontal(score, 0.3))))
    return [
        from_row("ntlm_guessing", row, f"{row['n']:,} failed logins with {row['bad']:,} names that never succeeded, of {row['total']:,} names: {named(row['names'])}")
        for row in found.iter_rows(named=True)
    ]  # fmt: skip


def _many_hosts(daily: pl.DataFrame) -> list[Evidence]:
    logins = daily.filter((pl.col("logins") > 0) & ~pl.col("user").str.ends_with("$")).with_columns(n=pl.col("logins"))
    found = summed(logins, ["source", "user", "day"], target=main_target())
    found = found.with_columns(score=0.45 * ramp(pl.col("targets"), FEW_HOSTS, MANY_HOSTS))
    return [
        from_row("ntlm_many_hosts", row, f"{row['n']:,} logins as {row['user'][:60]} on {row['targets']:,} hosts", subject=row["user"])
        for row in clearest(found).iter_rows(named=True)
    ]
