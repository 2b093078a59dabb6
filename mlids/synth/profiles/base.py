"""What a profile declares: an attack of one known tool or family, by what has been published about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from mlids.synth.draft import Draft
from mlids.synth.hosts import AttackHosts

# Most conns of one instance of a profile. Sixty profiles in four rounds are then at most 96,000 rows, whatever the
# length of a capture; most instances have fewer than 150.
MAX_ROWS = 400


@dataclass(frozen=True)
class Span:
    """The time in which an attack is active, in epoch seconds, end excluded."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        """Length of the span."""
        return self.end - self.start


DraftOf = Callable[[Span, AttackHosts, np.random.Generator], Draft]
Logs = dict[str, pl.DataFrame]
LogsOf = Callable[[pl.DataFrame, np.random.Generator], Logs]


def no_logs(conns: pl.DataFrame, rng: np.random.Generator) -> Logs:
    """Return no rows: nothing but conn.log shows this attack."""
    return {}


@dataclass(frozen=True)
class Profile:
    """An attack of one tool or family.

    `draft` returns its conns for a span, at most MAX_ROWS, the number and pace scaled to the span. `evidence` returns
    the rows that Zeek's other logs hold about these conns, by log, with the same uids. Profiles that are not `trained`
    are kept aside: synthetic sites hold them, and no training does.
    """

    name: str
    family: str
    attack_class: str  # the label of its conns
    technique: str  # ATT&CK
    source: str  # where its ports, paces and sizes are published
    draft: DraftOf
    evidence: LogsOf = no_logs
    trained: bool = True

    def rows(self, span: Span, hosts: AttackHosts, rng: np.random.Generator) -> pl.DataFrame:
        """Return the conns of one instance with Zeek's columns and `label`, in the order of their starts."""
        return replace(self.draft(span, hosts, rng), label=self.attack_class).frame(rng)


def within(conns: pl.DataFrame, start: float, end: float) -> pl.DataFrame:
    """Return the conns as a capture from `start` to `end` (epoch seconds) has them.

    Of conns in progress at its start the capture has the rest, of which Zeek does not know the service (state OTH);
    those in progress at its end are still open (state S1 where both sides had answered).
    """
    micros = pl.col("ts").dt.epoch("us")
    lasted = pl.col("duration").fill_null(0.0)
    began, ended = micros / 1e6, micros / 1e6 + lasted
    first, last = pl.max_horizontal(began, pl.lit(start)), pl.min_horizontal(ended, pl.lit(end))
    kept = conns.filter((began < end) & (ended >= start)).with_columns(
        _share=pl.when(lasted > 0).then((last - first) / lasted).otherwise(1.0), _late=began < start, _open=ended > end,
        _ts=first, _lasted=last - first,
    )  # fmt: skip
    share = pl.col("_share").clip(0.0, 1.0)
    partial = pl.col("_late") | pl.col("_open")
    counts = [
        pl.when(partial).then((pl.col(c) * share).ceil()).otherwise(pl.col(c)).cast(pl.UInt64).alias(c)
        for c in ("orig_bytes", "resp_bytes", "orig_pkts", "resp_pkts", "orig_ip_bytes", "resp_ip_bytes")
    ]
    tcp, both = pl.col("proto") == "tcp", (pl.col("orig_pkts") > 0) & (pl.col("resp_pkts") > 0)
    established = tcp & both & pl.col("conn_state").is_in(["SF", "S1", "S2", "S3", "RSTO", "RSTR"])
    return kept.with_columns(
        *counts,
        ts=pl.when("_late").then((pl.col("_ts") * 1e6).round().cast(pl.Int64).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")).otherwise("ts"),
        duration=pl.when(partial & pl.col("duration").is_not_null()).then(pl.col("_lasted").round(6)).otherwise("duration"),
        service=pl.when(pl.col("_late") & tcp).then(None).otherwise("service"),
        conn_state=pl.when(pl.col("_late") & tcp).then(pl.lit("OTH")).when(pl.col("_open") & established).then(pl.lit("S1")).otherwise("conn_state"),
        history=pl.when(pl.col("_late") & tcp).then(pl.lit("DadA")).when(pl.col("_open") & established).then(pl.lit("ShADad")).otherwise("history"),
    ).drop("_share", "_late", "_open", "_ts", "_lasted")  # fmt: skip
