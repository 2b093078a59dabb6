"""Traffic of a site that happens now: conns begin one after another, and each log gets its rows when Zeek would write them."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import datetime

import numpy as np
import polars as pl

from mlids.synth.growing import GrowingLogs
from mlids.synth.ordinary.day import WRITTEN
from mlids.synth.profiles.base import Logs

MOST_S = 30.0  # a longer conn is shortened, so that it ends while somebody waits
_OWNER = "of_conn"  # uid of the conn that a row is about; x509.log and some notices have no column for it


def owned(conns: pl.DataFrame, logs: Logs) -> Logs:
    """Return the rows of other logs with WRITTEN and the uid of their conn; a row without any belongs to the conn before it."""
    return {log: _owned(conns, log, rows, logs) for log, rows in logs.items()}


def _owned(conns: pl.DataFrame, log: str, rows: pl.DataFrame, logs: Logs) -> pl.DataFrame:
    if log == "x509":
        shown = logs["ssl"].select("cert_chain_fuids", pl.col("uid").alias(_OWNER)).drop_nulls().explode("cert_chain_fuids")
        return rows.join(shown, left_on="id", right_on="cert_chain_fuids", how="inner", maintain_order="left")
    if log == "notice":
        before = conns.select("ts", pl.col("uid").alias(_OWNER)).sort("ts", maintain_order=True)
        return rows.sort("ts", maintain_order=True).join_asof(before, on="ts").with_columns(pl.coalesce("uid", _OWNER).alias(_OWNER))
    return rows.with_columns(pl.col("uid").alias(_OWNER))


class LiveTraffic:
    """Writes conns and what belongs to them into growing logs, each row at its time. Threads may start and write at once."""

    def __init__(self, logs: GrowingLogs) -> None:
        self._logs = logs
        self._waiting: Logs = {}
        self._busy = threading.Lock()

    def start(self, conns: pl.DataFrame, others: Mapping[str, pl.DataFrame], at: datetime, over_s: float) -> None:
        """Let conns begin at `at` and in the following `over_s` seconds, in their order; `others` are rows as `owned` returns them."""
        n = conns.height
        begins = pl.lit(at).dt.cast_time_unit("us") + pl.Series((np.arange(n) * over_s / max(n, 1) * 1e6).astype(np.int64)).cast(
            pl.Duration("us")
        )
        now = conns.with_columns(_new=begins, _lasts=pl.col("duration").fill_null(0.0).clip(0.0, MOST_S))
        moved = now.select(pl.col("uid").alias(_OWNER), pl.col("ts").alias("_old"), "_new", "_lasts")
        ended = pl.col("_new") + pl.duration(microseconds=(pl.col("_lasts") * 1e6).cast(pl.Int64))
        rows = {log: self._moved(frame, moved) for log, frame in others.items()}
        rows["conn"] = now.with_columns(
            ended.alias(WRITTEN), ts="_new", duration=pl.when(pl.col("duration").is_not_null()).then("_lasts")
        ).drop("_new", "_lasts")  # fmt: skip
        with self._busy:
            for log, frame in rows.items():
                if frame.height:
                    self._waiting[log] = pl.concat([self._waiting[log], frame]) if log in self._waiting else frame

    @staticmethod
    def _moved(frame: pl.DataFrame, moved: pl.DataFrame) -> pl.DataFrame:
        """Return the rows that belong to the conns, at their new times within these."""
        rows = frame.join(moved, on=_OWNER, how="inner", maintain_order="left")
        most = pl.duration(microseconds=(pl.col("_lasts") * 1e6).cast(pl.Int64))
        times = [(pl.col("_new") + (pl.col(c) - pl.col("_old")).clip(pl.duration(), most)).alias(c) for c in ("ts", WRITTEN)]
        short = [pl.min_horizontal("duration", "_lasts").alias("duration")] if "duration" in rows.columns else []
        return rows.with_columns(*times, *short).drop("_old", "_new", "_lasts", _OWNER)

    def write(self, now: datetime) -> None:
        """Write the rows whose time has come, those of conn.log last."""
        over = pl.col(WRITTEN) <= now
        with self._busy:
            due = {log: rows.filter(over).sort(WRITTEN, maintain_order=True) for log, rows in self._waiting.items()}
            self._waiting = {log: rows.filter(~over) for log, rows in self._waiting.items()}
            self._logs.append({log: due[log] for log in sorted(due, key=lambda log: log == "conn")})

    def rotate(self) -> str:
        """Rotate the logs into the archive; return the day of its folder."""
        with self._busy:
            return self._logs.rotate()["conn"].parent.name
