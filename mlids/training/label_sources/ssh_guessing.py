"""Labels from ssh.log: sessions of a source that guesses passwords, and its login, joined by uid."""

from __future__ import annotations

from typing import ClassVar

import polars as pl

from mlids.evidence.tables import columns
from mlids.training.label_sources.base import MAX_LABELS
from mlids.zeek.types import TIME

_WANTED = {
    "ts": TIME, "uid": pl.String(), "id.orig_h": pl.String(), "id.resp_h": pl.String(), "auth_success": pl.Boolean(), "auth_attempts": pl.Int64(),
}  # fmt: skip
# Failed sessions with one server in a UTC day from which on a source guesses; Zeek's own notice has the same number.
GUESSES = 30
# A job with an old password tries once in each session, at the pace of a timer.
JOB_TRIES, JOB_SESSIONS = 1.5, 500


class SshGuessingLabels:
    """Failed sessions of a source and server with at least GUESSES of them in a day, and logins after the last guess but none before."""

    name: ClassVar[str] = "ssh_guessing"
    priority: ClassVar[int] = 95
    log: ClassVar[str | None] = "ssh"
    fields: ClassVar[tuple[str, ...]] = tuple(_WANTED)

    def __init__(self) -> None:
        self._sessions = pl.DataFrame(schema=_WANTED)

    def add(self, rows: pl.DataFrame) -> None:
        """Take a batch of ssh.log. Sessions whose result Zeek does not know are ignored."""
        found = columns(rows, _WANTED).drop_nulls(["ts", "uid", "id.orig_h", "id.resp_h", "auth_success"])
        self._sessions = pl.concat([self._sessions, found.head(MAX_LABELS - self._sessions.height)])

    def labels(self, conns: pl.DataFrame) -> pl.Series:
        """Return `brute_force` for sessions of a guesser; null for all other conns."""
        pair, failed = ["id.orig_h", "id.resp_h", pl.col("ts").dt.date()], ~pl.col("auth_success")
        tries = pl.col("auth_attempts").fill_null(1).clip(1, 1_000)
        sessions = self._sessions.with_columns(
            guesses=failed.sum().over(pair),
            each=(tries.filter(failed).sum() / failed.sum()).over(pair),
            until=pl.col("ts").filter(failed).sort().get(GUESSES - 1, null_on_oob=True).over(pair),
        )
        guesser = (pl.col("guesses") >= GUESSES) & ((pl.col("each") > JOB_TRIES) | (pl.col("guesses") >= JOB_SESSIONS))
        early = (pl.col("auth_success") & (pl.col("ts") <= pl.col("until"))).any().over(pair)
        uids = sessions.filter(guesser & ~early)["uid"].unique(maintain_order=True)
        return conns.select(label=pl.when(pl.col("uid").is_in(uids.implode())).then(pl.lit("brute_force"))).to_series()


LABEL_SOURCE = SshGuessingLabels
