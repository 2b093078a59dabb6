"""All logs beside conn.log of one day of a synthetic site, hour by hour, in the order in which Zeek writes them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from mlids.synth.ordinary.dns import Resolving
from mlids.synth.ordinary.names import SiteNames
from mlids.synth.ordinary.ssh import logins
from mlids.synth.ordinary.tls import handshakes
from mlids.synth.ordinary.web import requests
from mlids.synth.ordinary.windows import calls, shares
from mlids.synth.profiles.base import Logs
from mlids.synth.site import Site

# Logs that a synthetic site can hold beside conn.log.
OTHER_LOGS = ("dns", "http", "ssl", "x509", "ssh", "files", "smb_files", "smb_mapping", "dce_rpc", "notice")
WRITTEN = "written_at"  # column of the time when Zeek writes a row, which is no column of the log
_BATCH = 150_000  # conns whose rows of other logs are made at once, or those of one hour
_ADDRESS = r"^[0-9a-fA-F:.]*[:.][0-9a-fA-F:.]*$"
# Seconds after which Zeek writes a row: once the handshake or the answer is seen; an unanswered query after 10 s.
_AFTER = {"dns": pl.col("rtt").fill_null(10.0), "files": pl.col("duration").fill_null(0.0)}
_AFTER_S = 0.05


def stamped(log: str, rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows of a log with the column WRITTEN."""
    after = _AFTER.get(log, pl.lit(_AFTER_S))
    return rows.with_columns((pl.col("ts") + pl.duration(microseconds=(after * 1e6).cast(pl.Int64))).alias(WRITTEN))


def joined(*parts: Logs) -> Logs:
    """Return the rows of all parts, by log."""
    logs: dict[str, list[pl.DataFrame]] = {}
    for part in parts:
        for log, frame in part.items():
            logs.setdefault(log, []).append(frame)
    return {log: pl.concat(frames) for log, frames in logs.items()}


class DayLogs:
    """Makes the rows of other logs for the conns of one day.

    They have a random generator of their own, so that conns are the same with and without them.
    """

    def __init__(self, site: Site, number: int) -> None:
        self._names = SiteNames(site)
        self._resolving = Resolving(self._names)
        self._seed = [site.seed, 30, number]

    def batches(self, conns: pl.DataFrame, attacks: Logs) -> Iterator[tuple[datetime, Logs]]:
        """Yield rows of other logs, with WRITTEN, and the time of the first conn that they do not cover yet.

        `conns` have a `label` (null: benign) and are in any order; `attacks` are the rows that attacks leave in other logs.
        """
        conns = conns.sort("ts", maintain_order=True)
        sent, benign = names_sent(attacks), conns.filter(pl.col("label").is_null())
        if not benign.height:
            return
        hours = benign["ts"].dt.truncate("1h")
        starts = hours.unique(maintain_order=True)
        at = [*hours.search_sorted(starts, "left").to_list(), benign.height]
        first, number = 0, 0
        for upto in range(1, len(at)):
            if upto < len(at) - 1 and at[upto + 1] - at[first] <= _BATCH:
                continue
            start = starts[first]
            end = starts[upto] if upto < len(starts) else starts[-1] + timedelta(hours=1)
            asked = sent.filter((pl.col("ts") < end) & ((pl.col("ts") >= start) | (number == 0)))
            yield end, self._batch(benign[at[first] : at[upto]], asked, np.random.default_rng([*self._seed, number]))
            first, number = upto, number + 1

    def _batch(self, conns: pl.DataFrame, sent: pl.DataFrame, rng: np.random.Generator) -> Logs:
        named = self._names.described(conns)
        dns = self._resolving.lookups(named, sent, rng)
        parts = [
            requests(named, self._names, rng),
            handshakes(named, self._names, rng),
            logins(named, rng),
            shares(named, self._names, rng),
            calls(named, rng),
        ]
        return {log: stamped(log, rows) for log, rows in joined({"dns": dns}, *parts).items() if rows.height}


def names_sent(logs: Logs) -> pl.DataFrame:
    """Return `id.orig_h`, `address`, `name` and `ts` of each name that rows of ssl.log and http.log sent to a server."""
    columns = {"ssl": "server_name", "http": "host"}
    parts = [
        logs[log].select("id.orig_h", address=pl.col("id.resp_h"), name=pl.col(name), ts=pl.col("ts")).drop_nulls()
        .filter(~pl.col("name").str.contains(_ADDRESS))
        for log, name in columns.items() if log in logs
    ]  # fmt: skip
    empty = pl.DataFrame(schema={"id.orig_h": pl.String, "address": pl.String, "name": pl.String, "ts": pl.Datetime("us", "UTC")})
    return pl.concat([empty, *parts])


def logs_of(site: Site, conns: pl.DataFrame, attacks: Logs, number: int) -> Logs:
    """Return all rows of other logs about the conns, with WRITTEN and in the order of it; `number` is that of the day."""
    parts = [
        {log: stamped(log, rows) for log, rows in attacks.items()},
        *(logs for _, logs in DayLogs(site, number).batches(conns, attacks)),
    ]
    return {log: rows.sort(WRITTEN, maintain_order=True) for log, rows in joined(*parts).items()}


def hourly(batches: Iterator[tuple[datetime, Logs]], attacks: Logs, ends: Iterator[datetime], last: datetime) -> Iterator[Logs]:
    """Yield the rows that Zeek writes until each of `ends`; those after `last` are in the last part."""
    waiting, covered = {log: stamped(log, rows) for log, rows in attacks.items()}, None
    for end in ends:
        while covered is None or covered < end or end >= last:
            following = next(batches, None)
            if following is None:
                break
            covered, logs = following
            waiting = joined(waiting, logs)
        over = pl.col(WRITTEN) < end if end < last else pl.lit(value=True)
        yield {log: part.sort(WRITTEN, maintain_order=True) for log, rows in waiting.items() if (part := rows.filter(over)).height}
        waiting = {log: rest for log, rows in waiting.items() if (rest := rows.filter(~over)).height}
