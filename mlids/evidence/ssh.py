"""Password guessing and tools in ssh.log. Sessions are encrypted; Zeek infers from packet sizes whether the login succeeded."""

from __future__ import annotations

import polars as pl

from mlids.evidence.base import Collector, Evidence, Kind, SiteView
from mlids.evidence.grouping import clearest, counted, ends, fold_counted, from_row, main_target, named, summed
from mlids.evidence.logins import add_logins, after_guessing, sessions
from mlids.evidence.tables import ramp

# A person has three tries in a session, and gives up after a few sessions. OpenSSH's server allows six tries.
FEW_TRIES, MANY_TRIES = 15, 60
FEW_TARGETS, MANY_TARGETS = 5, 20
# A login after that many failed sessions with one server, or with several, is a guessed password.
GUESSED_ONE, GUESSED_MANY = 5, 20
# A job whose key or password is no longer valid tries once in every session, every minute or slower.
JOB_TRIES, JOB_AN_HOUR = 1.5, 60
# Programs that announce themselves in the client's banner.
_TOOLS = r"(?i)(zgrab|nmap|masscan|medusa|hydra|ncrack|openvas|nessus|sshscan|ssh-scan|ssh-audit)"
# Libraries that bots, implants and password guessers are built with; also scripts of administrators.
_LIBRARIES = ("libssh", "libssh2", "paramiko", "Go", "russh", "thrussh", "AsyncSSH", "phpseclib", "JSCH")
MIN_SOURCES = 20
MAX_SOFTWARE = 20_000

_WANTED = {
    "auth_success": pl.Boolean(), "auth_attempts": pl.Int64(), "client": pl.String(), "server": pl.String(), "status": pl.String(),
}  # fmt: skip
_SOFTWARE = ["source", "target", "side", "product", "tool"]
_STATUS = {"failure": False, "success": True}  # what older versions of Zeek write instead of `auth_success`


class SshEvidence(Collector):
    """Failed and successful sessions by source, server and hour, and the software of both ends."""

    reads = {"ssh": ("ts", "uid", "id.orig_h", "id.resp_h", "id.resp_p", *_WANTED)}
    kinds = (
        Kind(
            "ssh_guessed",
            title="SSH login after password guessing",
            sentence="logged in to {target} by SSH after guessing passwords",
            technique="T1110.001",
            next_step="close the session, change the password of the account that logged in, and read what it did on the server",
        ),
        Kind(
            "ssh_guessing",
            title="SSH password guessing",
            sentence="guesses passwords of SSH servers",
            technique="T1110.001",
            next_step="find the program that opens these sessions on the source, and look for a login in the server's auth log",
        ),
        Kind(
            "ssh_tool",
            title="SSH scanner",
            sentence="probes SSH servers with {subject}",
            technique="T1046",
            next_step="ask who runs this scanner; if nobody does, look at the source for the process that opens port 22",
        ),
        Kind(
            "ssh_rare_software",
            title="rare SSH software",
            sentence="uses the SSH software {subject}, which no other host of the site uses",
            technique="T1021.004",
            next_step="find the program that opens the sessions, and whether an administrator's script explains it",
        ),
    )

    def add(self, log: str, rows: pl.DataFrame) -> None:
        """Take a batch of ssh.log. Rows whose result Zeek does not know count for the software only."""
        status = pl.col("status").replace_strict(_STATUS, default=None, return_dtype=pl.Boolean)
        ssh = ends(rows, _WANTED).with_columns(
            ok=pl.coalesce("auth_success", status), tries=pl.col("auth_attempts").fill_null(1).clip(1, 1_000), user=pl.lit(None, pl.String)
        )
        add_logins(self.tables, ssh)
        sides = [
            ssh.select("ts", "uid", "source", "target", "port", pl.lit(side).alias("side"), banner=pl.col(side)) for side in ("client", "server")
        ]  # fmt: skip
        software = pl.concat(sides).drop_nulls("banner").with_columns(
            product=pl.col("banner").str.extract(r"^SSH-[\d.]+-([A-Za-z0-9]+)"),
            tool=pl.when(pl.col("side") == "client").then(pl.col("banner").str.extract(_TOOLS).str.to_lowercase()),
        ).drop_nulls("product")  # fmt: skip
        fold_counted(self.tables, "software", counted(software, _SOFTWARE), _SOFTWARE, MAX_SOFTWARE)

    def evidence(self, site: SiteView) -> list[Evidence]:
        """Return logins after guessing, guessing, scanners and rare software, the clearest first."""
        found: list[Evidence] = []
        if "sessions" in self.tables:
            found += _guessed(self.tables, site, one_day=self.one_day) + _guessing(self.tables, site, one_day=self.one_day)
        if "software" in self.tables:
            found += _tools(self.tables["software"], site) + _rare(self.tables["software"], site)
        return sorted(found, key=lambda e: -e.score)


EVIDENCE = SshEvidence


def _guessed(tables: dict[str, pl.DataFrame], site: SiteView, *, one_day: bool) -> list[Evidence]:
    one = after_guessing(tables, ["source", "target"], GUESSED_ONE, one_day=one_day).with_columns(
        score=0.35 + 0.6 * ramp(pl.max_horizontal(pl.col("n").cast(pl.Float64), pl.col("tries") / 2.0), 5, 15)
    )
    # A job that was repaired looks alike: one try in each session, at the pace of a timer.
    minutes = (pl.col("last") - pl.col("first")).dt.total_milliseconds() / 60_000.0
    timed = site.inside(one["source"]) & (one["tries"] <= JOB_TRIES * one["n"])
    one = one.with_columns(score=pl.when(timed & (pl.col("n") <= 2.0 * minutes)).then(0.5 * pl.col("score")).otherwise(pl.col("score")))
    many = after_guessing(tables, ["source"], GUESSED_MANY, one_day=one_day).with_columns(
        score=0.6 + 0.35 * ramp(pl.col("n").cast(pl.Float64), 20, 40)
    )
    many = many.filter(pl.col("targets") >= FEW_TARGETS)
    both = pl.concat([one, many.select(one.columns)]).sort("score", descending=True, maintain_order=True)
    rows = clearest(both.unique(["source", "target", "day"], keep="first", maintain_order=True))
    return [
        from_row(
            "ssh_guessed", row,
            f"a login at {row['at']:%H:%M:%S} UTC (session {row['uid']}) after {row['n']:,} failed sessions with about {row['tries']:,} tries, and no login before",
            subject=row["target"],
        )
        for row in rows.iter_rows(named=True)
    ]  # fmt: skip


def _guessing(tables: dict[str, pl.DataFrame], site: SiteView, *, one_day: bool) -> list[Evidence]:
    failed = sessions(tables, one_day=one_day).filter(pl.col("n") > 0)
    hourly = failed.group_by("source", "day", "hour", maintain_order=True).agg(pl.col("tries", "n").sum())
    peak = hourly.group_by("source", "day", maintain_order=True).agg(peak=pl.col("tries").max(), peak_sessions=pl.col("n").max())
    found = summed(failed, ["source", "day"], tries=pl.col("tries").sum(), logins=pl.col("logins").sum(), target=main_target())
    found = found.join(peak, on=["source", "day"], how="inner", nulls_equal=True, maintain_order="left")
    found = found.with_columns(inside=site.inside(found["source"]))
    each = pl.col("tries") / pl.col("n")
    # A job with one try in each session is as fast as a guesser only if it is broken.
    job = pl.when((each <= JOB_TRIES) & (pl.col("targets") <= 2)).then(0.5 + 0.5 * ramp(pl.col("peak_sessions"), JOB_AN_HOUR, 4 * JOB_AN_HOUR)).otherwise(1.0)  # fmt: skip
    fast = pl.when((pl.col("peak") >= FEW_TRIES) & (pl.col("n") >= 5)).then(0.4 + 0.5 * ramp(pl.col("peak"), FEW_TRIES, MANY_TRIES)).otherwise(0.0) * job  # fmt: skip
    # One try at each of many servers is also an inventory with a key that they do not know.
    several = pl.col("tries") / pl.col("targets") > JOB_TRIES
    wide = pl.when(pl.col("targets") >= FEW_TARGETS).then(
        pl.when(several).then(0.4 + 0.5 * ramp(pl.col("targets"), FEW_TARGETS, MANY_TARGETS)).otherwise(0.3 + 0.3 * ramp(pl.col("targets"), 10, 100))
    ).otherwise(0.0)  # fmt: skip
    # A host that many people log in from has more logins than failures.
    own = 1.0 - 0.6 * ramp(pl.col("logins") / pl.col("n"), 0.5, 2.0)
    inside = pl.max_horizontal(fast, wide) * own
    outside = pl.when(pl.col("tries") >= 10).then(0.1 + 0.2 * ramp(pl.col("tries"), 10, 60)).otherwise(0.0)
    found = clearest(found.with_columns(score=pl.when("inside").then(inside).otherwise(outside)))
    return [
        from_row("ssh_guessing", row, _describe_guessing(row), subject=row["target"] if row["targets"] == 1 else "")
        for row in found.iter_rows(named=True)
    ]


def _describe_guessing(row: dict[str, object]) -> str:
    servers = f"{row['targets']:,} servers" if row["targets"] != 1 else f"the server {row['target']}"
    return f"{row['n']:,} failed sessions with {row['tries']:,} tries at {servers}, up to {row['peak']:,} tries an hour, {row['logins']:,} logins"


def _tools(software: pl.DataFrame, site: SiteView) -> list[Evidence]:
    found = summed(software.drop_nulls("tool"), ["source", "tool"], target=main_target())
    found = clearest(found.with_columns(score=pl.when(site.inside(found["source"])).then(0.55).otherwise(0.15)))
    return [
        from_row("ssh_tool", row, f"{row['n']:,} sessions with {row['targets']:,} servers by {row['tool']}", subject=row["tool"])
        for row in found.iter_rows(named=True)
    ]


def _rare(software: pl.DataFrame, site: SiteView) -> list[Evidence]:
    clients = software.filter((pl.col("side") == "client") & pl.col("tool").is_null())
    clients = clients.filter(site.inside(clients["source"]))
    if clients["source"].n_unique() < MIN_SOURCES:
        return []
    found = clients.filter(pl.col("source").n_unique().over("product") == 1, pl.col("product").is_in(_LIBRARIES))
    rows = clearest(summed(found, ["source", "product"], target=main_target(), servers=pl.col("target").unique(maintain_order=True)).with_columns(score=pl.lit(0.25)))  # fmt: skip
    total = clients["source"].n_unique()
    return [
        from_row("ssh_rare_software", row, f"{row['n']:,} sessions by {row['product']} with {named(row['servers'])}; none of the other {total - 1:,} SSH clients of the site uses it", subject=row["product"])
        for row in rows.iter_rows(named=True)
    ]  # fmt: skip
