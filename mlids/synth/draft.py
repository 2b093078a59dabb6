"""Columns of synthetic conns as they are drawn, and their conversion to rows with Zeek's types and rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from mlids.zeek.types import CONN, STRINGS, ended

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_TRIPLES = [a + b + c for a in _ALPHABET for b in _ALPHABET for c in _ALPHABET]


@dataclass
class Draft:
    """Conns as columns: text as series, numbers as arrays, all of the same length.

    `ts` is epoch seconds; `duration` is seconds, NaN where unset, and payload bytes are unset with it.
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

    def frame(self, rng: np.random.Generator) -> pl.DataFrame:
        """Return the rows with Zeek's conn columns, uids drawn from `rng`, and a `label` column (null: benign)."""
        n = len(self.ts)
        micros = np.round(self.ts * 1e6).astype(np.int64)
        lasted = np.round(self.duration.astype(np.float64), 6)
        unset = np.isnan(lasted)
        header = np.where(self.proto.to_numpy() == "tcp", 52, 28)

        def count(values: np.ndarray, hide: np.ndarray | None = None) -> pl.Series:
            whole = np.maximum(np.nan_to_num(values), 0).astype(np.uint64)
            series = pl.Series(whole)
            return series if hide is None or not hide.any() else pl.select(pl.when(pl.Series(~hide)).then(series)).to_series()

        payload_o, payload_r = np.where(unset, 0, self.orig_bytes), np.where(unset, 0, self.resp_bytes)
        columns: dict[str, Any] = {
            "ts": pl.Series(micros).cast(pl.Datetime("us")).dt.replace_time_zone("UTC"),
            "uid": uids(n, rng),
            "id.orig_h": self.orig_h,
            "id.orig_p": pl.Series(self.orig_p.astype(np.uint32)),
            "id.resp_h": self.resp_h,
            "id.resp_p": pl.Series(self.resp_p.astype(np.uint32)),
            "proto": self.proto,
            "service": self.service,
            "duration": pl.Series(lasted, nan_to_null=True),
            "orig_bytes": count(self.orig_bytes, unset),
            "resp_bytes": count(self.resp_bytes, unset),
            "conn_state": self.conn_state,
            "local_orig": None,
            "local_resp": None,
            "missed_bytes": pl.zeros(n, pl.UInt64, eager=True),
            "history": self.history,
            "orig_pkts": count(self.orig_pkts),
            "orig_ip_bytes": count(payload_o + self.orig_pkts * header),
            "resp_pkts": count(self.resp_pkts),
            "resp_ip_bytes": count(payload_r + self.resp_pkts * header),
            "tunnel_parents": pl.Series([None], dtype=STRINGS).new_from_index(0, n),
        }
        # Private networks and the synthetic site's public one, as in Zeek's Site::local_nets.
        inside = r"^(?:10\.|198\.51\.100\.|192\.168\.|172\.(?:1[6-9]|2\d|3[01])\.|f[cd]|fe80:)"
        columns["local_orig"] = self.orig_h.str.contains(inside)
        columns["local_resp"] = self.resp_h.str.contains(inside)
        frame = pl.DataFrame([pl.Series(name, s) for name, s in columns.items()])
        return frame.with_columns(label=pl.lit(self.label, pl.String))


def uids(n: int, rng: np.random.Generator) -> pl.Series:
    """Return n uids in Zeek's form: C and 15 letters or digits."""
    table = pl.Series(_TRIPLES)
    parts = [table.gather(rng.integers(0, len(_TRIPLES), n)) for _ in range(5)]
    frame = pl.DataFrame([p.alias(str(i)) for i, p in enumerate(parts)])
    return frame.select(pl.concat_str(pl.lit("C"), *frame.columns)).to_series()


def text(value: str | None, n: int) -> pl.Series:
    """Return a text column that holds `value` n times."""
    return pl.Series([value], dtype=pl.String).new_from_index(0, n)


def written_order(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the rows in the order Zeek writes them: by the end of each connection."""
    return frame.sort(ended(), maintain_order=True)


CONN_NAMES = [c.name for c in CONN]
