"""What a sensor sees of the clients: packets that a tap loses, conns of which one direction is missing, restarts of Zeek."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from mlids.synth.draws import DAY_S


@dataclass(frozen=True)
class Sensor:
    """Faults of one sensor, shares of conns with several packets; `restarts` is the mean number a day."""

    lossy: float = 0.0
    one_sided: float = 0.0
    restarts: float = 0.0


def draw_sensor(seed: int) -> Sensor:
    """Return the sensor of a network: most lose nothing, some a little, a few much."""
    rng = np.random.default_rng([seed, 25])
    lossy = float(rng.choice([0.0, 0.0, 0.01, 0.08, 0.3]))
    return Sensor(lossy, float(rng.choice([0.0, 0.0, 0.005, 0.05])), float(rng.choice([0.0, 0.1, 1.0])))


def as_seen(frame: pl.DataFrame, sensor: Sensor, rng: np.random.Generator, start: float) -> pl.DataFrame:
    """Return the rows as the sensor writes them, in the same order. `start` is the first second of the day."""
    if frame.height and sensor.lossy:
        frame = _with_losses(frame, rng.random(frame.height) < sensor.lossy, rng)
    if frame.height and sensor.one_sided:
        frame = _one_sided(frame, rng.random(frame.height) < sensor.one_sided)
    for _ in range(rng.poisson(sensor.restarts)):
        frame = _restarted(frame, start + rng.uniform(0, DAY_S))
    return frame


def _with_losses(frame: pl.DataFrame, lost: np.ndarray, rng: np.random.Generator) -> pl.DataFrame:
    """Lose packets of TCP conns with data: a gap (g) in the history, missed bytes, fewer packets, perhaps no end."""
    n = frame.height
    share = rng.uniform(0.02, 0.6, n)
    touched = pl.Series(lost) & (frame["proto"] == "tcp") & frame["history"].fill_null("").str.contains("d") & (frame["resp_bytes"] > 3_000)
    gone = pl.Series((frame["resp_bytes"].fill_null(0).to_numpy() * share).astype(np.uint64))
    unclosed = touched & pl.Series(rng.random(n) < 0.12) & (frame["conn_state"] == "SF")
    keep = pl.Series(1 - share)
    return frame.with_columns(
        missed_bytes=pl.when(touched).then(pl.col("missed_bytes") + gone).otherwise("missed_bytes"),
        resp_ip_bytes=pl.when(touched).then((pl.col("resp_ip_bytes") * keep).cast(pl.UInt64)).otherwise("resp_ip_bytes"),
        resp_pkts=pl.when(touched).then((pl.col("resp_pkts") * keep).ceil().cast(pl.UInt64)).otherwise("resp_pkts"),
        history=pl.when(unclosed).then(pl.col("history").str.replace_all("[fFR]", "") + "g")
        .when(touched).then(pl.col("history").str.replace("d", "dg", literal=True)).otherwise("history"),
        conn_state=pl.when(unclosed).then(pl.lit("S1")).otherwise("conn_state"),
    )  # fmt: skip


def _one_sided(frame: pl.DataFrame, hidden: np.ndarray) -> pl.DataFrame:
    """Hide the originator's packets of every second of the chosen TCP conns, and the responder's of the others."""
    known = pl.Series(hidden) & (frame["proto"] == "tcp") & frame["history"].fill_null("").str.contains("^Sh.*[dD].*[fr]")
    even = frame["orig_bytes"].fill_null(0) % 2 == 0
    first, second = known & even, known & ~even
    reset = pl.col("history").str.contains("r", literal=True)
    return frame.with_columns(
        history=pl.when(first).then("^" + pl.col("history").str.replace_all("[A-Z^]", ""))
        .when(second).then(pl.col("history").str.replace_all("[a-z]", "")).otherwise("history"),
        conn_state=pl.when(first).then(pl.when(reset).then(pl.lit("RSTRH")).otherwise(pl.lit("SHR")))
        .when(second).then(pl.when(pl.col("history").str.contains("F", literal=True)).then(pl.lit("SH")).otherwise(pl.lit("S0")))
        .otherwise("conn_state"),
        **{f"orig_{c}": pl.when(first).then(0).otherwise(f"orig_{c}").cast(pl.UInt64) for c in ("bytes", "pkts", "ip_bytes")},
        **{f"resp_{c}": pl.when(second).then(0).otherwise(f"resp_{c}").cast(pl.UInt64) for c in ("bytes", "pkts", "ip_bytes")},
    )  # fmt: skip


def _restarted(frame: pl.DataFrame, at: float) -> pl.DataFrame:
    """Start Zeek anew at a time (epoch seconds): TCP conns that were open then begin in their middle."""
    when = pl.lit(int(at * 1e6)).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    cut = (pl.col("ts") < when) & (pl.col("ts") + pl.duration(microseconds=(pl.col("duration") * 1e6).cast(pl.Int64)) > when)
    cut = (cut & (pl.col("proto") == "tcp") & pl.col("history").str.starts_with("Sh")).fill_null(False)
    before = (when - pl.col("ts")).dt.total_microseconds() / 1e6
    return frame.with_columns(
        ts=pl.when(cut).then(when).otherwise("ts"),
        duration=pl.when(cut).then((pl.col("duration") - before).round(6)).otherwise("duration"),
        history=pl.when(cut).then(pl.col("history").str.strip_prefix("Sh").str.strip_prefix("A")).otherwise("history"),
        conn_state=pl.when(cut & ~pl.col("history").str.contains("F.*f|f.*F")).then(pl.lit("OTH")).otherwise("conn_state"),
    )
