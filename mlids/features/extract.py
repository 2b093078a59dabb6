"""The one feature function: conns in their log's own order to a float32 matrix, with the past carried along."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from mlids.features import kernel
from mlids.features.context import Context
from mlids.features.flow import PRIVATE_NETWORKS, flow_features
from mlids.features.spec import FEATURES, NAMES, POSITION
from mlids.zeek.types import CONN

# Chunks that stay in the processor's cache while 60 columns are filled.
_CHUNK_ROWS = 1 << 15
_RAW = {name: i for i, name in enumerate(kernel.OUTPUTS)}
_LOGS = [f.name for f in FEATURES if f.group == "context" and f.name in _RAW and f.kind == "log"]
_FLOW = [f.name for f in FEATURES if f.group == "flow"]
_SHARES = {
    "src_failed_5m": "src_conns_5m",
    "src_failed_1h": "src_conns_1h",
    "dst_failed_5m": "dst_conns_5m",
    "dst_failed_1h": "dst_conns_1h",
    "pair_failed_1h": "pair_conns_1h",
    "port_failed_1h": "port_conns_1h",
}


def conn_columns(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the frame with every conn column present, in Zeek's types; missing ones are null."""
    wanted = [pl.col(c.name).cast(c.dtype, strict=False) if c.name in frame.columns else pl.lit(None, c.dtype).alias(c.name) for c in CONN]
    rest = [name for name in frame.columns if name not in {c.name for c in CONN}]
    return frame.select(*wanted, *rest)


class Extractor:
    """Features of one sensor's conns; batches must come in the log's order.

    `networks` are the site's own (CIDR); by default the private ranges.
    """

    def __init__(self, networks: Sequence[str] = PRIVATE_NETWORKS, context: Context | None = None) -> None:
        self.networks = tuple(networks) or PRIVATE_NETWORKS
        self.context = context or Context()

    def features(self, conns: pl.DataFrame) -> np.ndarray:
        """Return float32[n, len(NAMES)]; finite everywhere. The rows enter the context as a side effect."""
        conns = conn_columns(conns)
        out = np.empty((conns.height, len(NAMES)), np.float32)
        for start in range(0, conns.height, _CHUNK_ROWS):
            part = conns.slice(start, _CHUNK_ROWS)
            self._fill(part, out[start : start + part.height])
        return out

    def _fill(self, conns: pl.DataFrame, out: np.ndarray) -> None:
        flow = flow_features(conns, self.networks)
        for name in _FLOW:
            out[:, POSITION[name]] = flow[name].to_numpy()
        raw = self.context.update(conns)
        for name in _LOGS:
            out[:, POSITION[name]] = np.log1p(np.maximum(raw[:, _RAW[name]], 0.0))
        for name, of in _SHARES.items():
            out[:, POSITION[name]] = raw[:, _RAW[name]] / np.maximum(raw[:, _RAW[of]], 1.0)
        out[:, POSITION["pair_is_new"]] = raw[:, _RAW["pair_age_s"]] <= 0.0
        total = raw[:, _RAW["triple_total"]]
        gap = raw[:, _RAW["triple_gap_mean_s"]]
        out[:, POSITION["triple_gap_mean"]] = np.log1p(np.maximum(gap, 0.0))
        out[:, POSITION["triple_gap_regularity"]] = _regularity(gap, raw[:, _RAW["triple_gap_var"]], total - 1.0)
        out[:, POSITION["triple_size_regularity"]] = _regularity(raw[:, _RAW["triple_size_mean"]], raw[:, _RAW["triple_size_var"]], total)


def _regularity(mean: np.ndarray, variance: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """1 − coefficient of variation, 0 to 1; 0 until four values were seen (after RITA's minimum of 4)."""
    spread = np.sqrt(np.maximum(variance, 0.0)) / np.maximum(mean, 1e-9)
    return np.where((seen >= 4.0) & (mean > 0.0), np.clip(1.0 - spread, 0.0, 1.0), 0.0)
