"""Columns of synthetic conns as they are drawn, and their conversion to rows with Zeek's types and rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

import numpy as np
import polars as pl

from mlids.zeek.types import CONN, STRINGS, ended

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_TRIPLES = len(_ALPHABET) ** 3
_UID_LENGTH = 16
# Private networks and the synthetic sites' public ones, as in Zeek's Site::local_nets.
_INSIDE = r"^(?:10\.|198\.51\.100\.|192\.168\.|172\.(?:1[6-9]|2\d|3[01])\.|f[cd]|fe80:|2001:db8:)"
CONN_NAMES = [c.name for c in CONN]


@dataclass
class Draft:
    """Conns as columns: text as series, numbers as arrays, all of the same length.

    `ts` is epoch seconds; `duration` is seconds, NaN where unset, and payload bytes are unset with it. `missed_bytes` are
    payload bytes that the capture lost (None: none).
    """

    ts: np.ndarray
    orig_h: pl.Series
    orig_p: np.ndarray
    resp_h: pl.Series
    resp_p: np.ndarray
    proto: pl.Series
    service: pl.Series
    duration: np.ndarray
    orig_bytes: np.ndarray
    resp_bytes: np.ndarray
    conn_state: pl.Series
    history: pl.Series
    orig_pkts: np.ndarray
    resp_pkts: np.ndarray
    label: str | None = None
    missed_bytes: np.ndarray | None = None  # default: none were missed

    def frame(self, rng: np.random.Generator) -> pl.DataFrame:
        """Return the rows with Zeek's conn columns, uids drawn from `rng`, and a `label` column (null: benign)."""
        n = len(self.ts)
        lasted = np.round(self.duration.astype(np.float64), 6)
        unset = np.isnan(lasted)
        header = np.where(self.proto.to_numpy() == "tcp", 52, 28)
        payload_o, payload_r = np.where(unset, 0, self.orig_bytes), np.where(unset, 0, self.resp_bytes)
        numbers: dict[str, Any] = {
            "ts": np.round(self.ts * 1e6).astype(np.int64),
            "id.orig_p": self.orig_p.astype(np.uint32),
            "id.resp_p": self.resp_p.astype(np.uint32),
            "duration": lasted,
            "orig_bytes": _count(self.orig_bytes),
            "resp_bytes": _count(self.resp_bytes),
            "missed_bytes": np.zeros(n, np.uint64) if self.missed_bytes is None else _count(self.missed_bytes),
            "orig_pkts": _count(self.orig_pkts),
            "orig_ip_bytes": _count(payload_o + self.orig_pkts * header),
            "resp_pkts": _count(self.resp_pkts),
            "resp_ip_bytes": _count(payload_r + self.resp_pkts * header),
        }
        texts = {
            "uid": uids(n, rng), "id.orig_h": self.orig_h, "id.resp_h": self.resp_h, "proto": self.proto, "service": self.service,
            "conn_state": self.conn_state, "history": self.history,
        }  # fmt: skip
        drawn = pl.DataFrame([pl.Series(name, v) for name, v in (numbers | texts).items()])
        lasts = pl.col("duration").fill_nan(None)
        changed = {
            "ts": pl.col("ts").cast(pl.Datetime("us")).dt.replace_time_zone("UTC"),
            "duration": lasts,
            "orig_bytes": pl.when(lasts.is_not_null()).then("orig_bytes"),
            "resp_bytes": pl.when(lasts.is_not_null()).then("resp_bytes"),
            "local_orig": pl.col("id.orig_h").str.contains(_INSIDE),
            "local_resp": pl.col("id.resp_h").str.contains(_INSIDE),
            "tunnel_parents": pl.lit(None, STRINGS),
            "label": pl.lit(self.label, pl.String),
        }
        # One query for all columns: most drafts are short, and each query has a fixed cost.
        return drawn.select(changed.get(name, pl.col(name)).alias(name) for name in [*CONN_NAMES, "label"])


def _count(values: np.ndarray) -> np.ndarray:
    return np.maximum(np.nan_to_num(values), 0).astype(np.uint64)


def joined(drafts: Sequence[Draft]) -> Draft:
    """Return the conns of all drafts in one, in the order of their starts; label and order of columns are those of the first."""
    columns: dict[str, Any] = {}
    order = np.argsort(np.concatenate([d.ts for d in drafts]), kind="stable")
    for name in (f.name for f in fields(Draft) if f.name not in {"label", "missed_bytes"}):
        parts = [getattr(d, name) for d in drafts]
        whole = pl.concat(parts) if isinstance(parts[0], pl.Series) else np.concatenate(parts)
        columns[name] = whole.gather(order) if isinstance(whole, pl.Series) else whole[order]
    missed = np.concatenate([np.zeros(len(d.ts)) if d.missed_bytes is None else d.missed_bytes for d in drafts])[order]
    return Draft(**columns, label=drafts[0].label, missed_bytes=missed)


@cache
def _triples() -> np.ndarray:
    """Return the bytes of all groups of three letters or digits: uint8[n, 3]."""
    letters = np.frombuffer(_ALPHABET.encode(), np.uint8)
    return np.stack(np.meshgrid(letters, letters, letters, indexing="ij"), axis=-1).reshape(-1, 3)


def uids(n: int, rng: np.random.Generator) -> pl.Series:
    """Return n uids in Zeek's form: C and 15 letters or digits."""
    table = _triples()
    drawn = np.full((n, _UID_LENGTH), ord("C"), np.uint8)
    for start in range(1, _UID_LENGTH, 3):
        drawn[:, start : start + 3] = table[rng.integers(0, _TRIPLES, n)]
    whole = drawn.tobytes().decode("ascii")
    return pl.Series([whole[i : i + _UID_LENGTH] for i in range(0, len(whole), _UID_LENGTH)], dtype=pl.String)


def text(value: str | None, n: int) -> pl.Series:
    """Return a text column that holds `value` n times."""
    return pl.Series([value], dtype=pl.String).new_from_index(0, n)


def written() -> pl.Expr:
    """Return the time at which Zeek writes a row: some time after its last packet, as Zeek must see that no more come.

    Zeek's defaults: 5 s after a TCP connection was closed or its first packet stayed unanswered (tcp_close_delay,
    tcp_attempt_delay), 0.1 s after a reset, 300 s where TCP was not closed (tcp_inactivity_timeout), 10 s for DNS
    (dns_session_timeout), 60 s for other UDP and for ICMP.
    """
    closed = pl.when(pl.col("conn_state").is_in(["S1", "S2", "S3", "OTH", "SH", "SHR"])).then(300_000).otherwise(5_000)
    tcp = pl.when(pl.col("conn_state").str.starts_with("RST")).then(100).otherwise(closed)
    other = pl.when(pl.col("service") == "dns").then(10_000).otherwise(60_000)
    return ended() + pl.duration(milliseconds=pl.when(pl.col("proto") == "tcp").then(tcp).otherwise(other))


def written_order(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the rows in the order Zeek writes them (see `written`): unclosed ones minutes after their time."""
    return frame.sort(written(), maintain_order=True)
