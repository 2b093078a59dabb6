"""Remote desktop sessions in rdp.log. With network-level authentication the login is encrypted: only its attempts are seen."""

from __future__ import annotations

from typing import Any

import polars as pl

from mlids.evidence.base import Collector, Evidence, Kind, SiteView
from mlids.evidence.grouping import clearest, counted, day, ends, fold_counted, from_row, main_target, named, summed
from mlids.evidence.tables import ramp

# A person reconnects a few times an hour; a guesser opens a session for every password.
FEW_SESSIONS, MANY_SESSIONS = 30, 150
FEW_NAMES, MANY_NAMES = 5, 15
FEW_HOSTS, MANY_HOSTS = 8, 30
# Scanners name themselves in the cookie. Zeek keeps the part that the client sent, often nine characters.
_TOOLS = r"(?i)(nmap|nessus|openvas|zgrab|masscan|\.nbin$)"
# Answers after which a session goes on.
_ACCEPTED = "(?i)^(success|encrypted)$"
_WANTED = {"cookie": pl.String(), "result": pl.String()}
_KEYS = ["source", "target", "cookie", "hour"]


class RdpEvidence(Collector):
    """Sessions by source, server, user name (cookie) and hour."""

    reads = {"rdp": ("ts", "uid", "id.orig_h", "id.resp_h", "id.resp_p", *_WANTED)}
    kinds = (
        Kind(
            "rdp_guessing",
            title="RDP password guessing",
            sentence="guesses passwords of remote desktops",
            technique="T1110.001",
            next_step="look at the server for events 4625 and a 4624 of type 10 from the source, and close RDP to it",
        ),
        Kind(
            "rdp_tool",
            title="RDP scanner",
            sentence="probes remote desktops with {subject}",
            technique="T1046",
            next_step="ask who runs this scanner; if nobody does, look at the source for the process that opens port 3389",
        ),
        Kind(
            "rdp_from_outside",
            title="RDP from outside",
            sentence="opens remote desktop sessions from outside",
            technique="T1133",
            next_step="check at the server whether someone logged in (event 4624 of type 10), and close RDP to the Internet",
        ),
    )

    def add(self, log: str, rows: pl.DataFrame) -> None:
        """Take a batch of rdp.log."""
        rdp = ends(rows, _WANTED).with_columns(pl.col("cookie").str.to_lowercase(), hour=pl.col("ts").dt.truncate("1h"))
        accepted = pl.col("result").str.contains(_ACCEPTED).fill_null(value=False).sum().cast(pl.Int64)
        fold_counted(self.tables, "sessions", counted(rdp, _KEYS, accepted=accepted), _KEYS, accepted=pl.col("accepted").sum())

    def evidence(self, site: SiteView) -> list[Evidence]:
        """Return guessing, scanners, and sessions from outside, the clearest first."""
        if "sessions" not in self.tables:
            return []
        sessions = self.tables["sessions"].with_columns(
            day=day(one_day=self.one_day, of="hour"), tool=pl.col("cookie").str.extract(_TOOLS).replace(".nbin", "nessus"),
            inside=site.inside(self.tables["sessions"]["source"]), inward=site.inside(self.tables["sessions"]["target"]),
        )  # fmt: skip
        found = _guessing(sessions) + _tools(sessions) + _from_outside(sessions)
        return sorted(found, key=lambda e: -e.score)


EVIDENCE = RdpEvidence
_FIRST = pl.col("inside").first()


def _guessing(sessions: pl.DataFrame) -> list[Evidence]:
    hourly = sessions.group_by("source", "target", "day", "hour", maintain_order=True).agg(pl.col("n").sum())
    peak = hourly.group_by("source", "day", maintain_order=True).agg(peak=pl.col("n").max())
    names = pl.col("cookie").filter(pl.col("tool").is_null()).drop_nulls()
    found = summed(
        sessions, ["source", "day"], target=main_target(), inside=_FIRST, users=names.n_unique().cast(pl.Int64), names=names.unique(maintain_order=True).head(6),
    ).join(peak, on=["source", "day"], nulls_equal=True, maintain_order="left")  # fmt: skip
    fast = pl.when(pl.col("peak") >= FEW_SESSIONS).then(0.4 + 0.45 * ramp(pl.col("peak"), FEW_SESSIONS, MANY_SESSIONS)).otherwise(0.0)
    # A gateway or a terminal of many people sends many names to a few servers, each name a few times a day.
    users = pl.when(pl.col("users") >= FEW_NAMES).then(0.3 + 0.3 * ramp(pl.col("users"), FEW_NAMES, MANY_NAMES)).otherwise(0.0)
    wide = pl.when(pl.col("targets") >= FEW_HOSTS).then(0.3 + 0.3 * ramp(pl.col("targets"), FEW_HOSTS, MANY_HOSTS)).otherwise(0.0)
    both = 1.0 - (1.0 - fast) * (1.0 - users * (pl.col("peak") >= FEW_SESSIONS / 3).cast(pl.Float64))
    score = pl.max_horizontal(both.clip(0.0, 0.95), wide * (fast > 0).cast(pl.Float64) + 0.7 * wide * (fast == 0).cast(pl.Float64))
    outside = pl.when(score > 0).then(0.1 + 0.2 * score).otherwise(0.0)
    found = clearest(found.with_columns(score=pl.when("inside").then(score).otherwise(outside)))
    return [
        from_row("rdp_guessing", row, _describe(row), subject=row["target"] if row["targets"] == 1 else "") for row in found.iter_rows(named=True)
    ]  # fmt: skip


def _describe(row: dict[str, Any]) -> str:
    users = f", as {named(row['names'])}" if row["names"] else ""
    return f"{row['n']:,} sessions with {row['targets']:,} servers, up to {row['peak']:,} an hour with one{users}"


def _tools(sessions: pl.DataFrame) -> list[Evidence]:
    found = summed(sessions.drop_nulls("tool"), ["source", "tool"], target=main_target(), inside=_FIRST)
    found = clearest(found.with_columns(score=pl.when("inside").then(0.55).otherwise(0.15)))
    return [
        from_row("rdp_tool", row, f"{row['n']:,} sessions with {row['targets']:,} servers by {row['tool']}", subject=row["tool"])
        for row in found.iter_rows(named=True)
    ]


def _from_outside(sessions: pl.DataFrame) -> list[Evidence]:
    inward = sessions.filter(~pl.col("inside") & pl.col("inward") & (pl.col("accepted") > 0) & pl.col("tool").is_null())
    found = summed(inward, ["source", "day"], target=main_target(), accepted=pl.col("accepted").sum())
    # Whether someone logged in is not seen; scanners come as far as this.
    found = clearest(found.with_columns(score=pl.lit(0.25)))
    return [
        from_row("rdp_from_outside", row, f"{row['accepted']:,} sessions accepted by {row['targets']:,} servers inside", subject=row["target"] if row["targets"] == 1 else "")
        for row in found.iter_rows(named=True)
    ]  # fmt: skip
