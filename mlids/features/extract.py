"""The feature function: conns in the order of their log to a float32 matrix, with context carried between batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from mlids.features import kernel
from mlids.features.behaviours import measure
from mlids.features.catalogue import stored_log
from mlids.features.context import Columns, Context, context_columns
from mlids.features.flow import flow_features
from mlids.features.spec import BEHAVIOUR_COLUMNS, FEATURES, NAMES, POSITION
from mlids.zeek.types import conn_columns

# Rows per polars query: a query has a fixed cost.
_CHUNK_ROWS = 1 << 17
# Rows per kernel call: small enough for their columns to stay in the processor's cache.
_PIECE_ROWS = 1 << 15
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
    "triple_failed": "triple_total",
}
# name: (count in the window, all of it so far, age of the entity, length of the window)
_RATES = {
    "src_rate": ("src_conns_5m", "src_total", "src_age_s", kernel.WINDOW_SHORT_S),
    "src_out_rate": ("src_out_1h", "src_out_total", "src_age_s", kernel.WINDOW_LONG_S),
    "dst_rate": ("dst_conns_5m", "dst_total", "dst_age_s", kernel.WINDOW_SHORT_S),
}
# An entity needs this age before it has a usual rate.
_USUAL_FROM_S = 3600.0
# Steadiness needs at least this many values (RITA's minimum too).
_STEADY_FROM = 4


@dataclass(frozen=True)
class Prepared:
    """The parts of some rows' features that do not depend on context."""

    flow: pl.DataFrame
    columns: Columns


class Extractor:
    """Computes features of one sensor's conns; batches must be in the log's order.

    `networks` are the site's own (CIDR); by default the private ranges.
    """

    def __init__(self, networks: Sequence[str] = (), context: Context | None = None) -> None:
        self.networks = tuple(networks)
        self.context = context or Context()

    def prepare(self, conns: pl.DataFrame) -> list[Prepared]:
        """Return what does not depend on context; may run in another thread before `features`."""
        conns = conn_columns(conns)
        parts = [conns.slice(start, _CHUNK_ROWS) for start in range(0, conns.height, _CHUNK_ROWS)]
        return [Prepared(flow_features(part, self.networks), context_columns(part)) for part in parts]

    def features(self, conns: pl.DataFrame | list[Prepared]) -> np.ndarray:
        """Return float32[n, len(NAMES)], its columns contiguous; always finite. Side effect: the rows enter the context."""
        parts = self.prepare(conns) if isinstance(conns, pl.DataFrame) else conns
        out = _empty(sum(p.flow.height for p in parts))
        start = 0
        for part in parts:
            for piece in _pieces(part):
                stop = start + piece.stop - piece.start
                self._fill(part, piece, out[start:stop])
                start = stop
        return out

    def in_pieces(self, parts: list[Prepared]) -> Iterator[np.ndarray]:
        """Yield the result of `features` in pieces of rows."""
        for part in parts:
            for piece in _pieces(part):
                out = _empty(piece.stop - piece.start)
                self._fill(part, piece, out)
                yield out

    def _fill(self, part: Prepared, piece: slice, out: np.ndarray) -> None:
        raw = self.context.take(tuple(c[piece] for c in part.columns))
        for name in _FLOW:
            out[:, POSITION[name]] = part.flow[name].to_numpy()[piece]
        _fill_context(raw, out)
        out[:, BEHAVIOUR_COLUMNS] = measure(out)


def _empty(rows: int) -> np.ndarray:
    """Return an empty feature matrix with contiguous columns, as most work is by column."""
    return np.empty((len(NAMES), rows), np.float32).T


def _pieces(part: Prepared) -> Iterator[slice]:
    rows = part.flow.height
    return (slice(start, min(start + _PIECE_ROWS, rows)) for start in range(0, rows, _PIECE_ROWS))


def _fill_context(raw: np.ndarray, out: np.ndarray) -> None:
    """Fill the context columns from the kernel's outputs."""
    held = {name: raw[:, i] for name, i in _RAW.items()}
    for name in _LOGS:
        out[:, POSITION[name]] = stored_log(np.maximum(held[name], 0.0))
    for name, of in _SHARES.items():
        out[:, POSITION[name]] = held[name] / np.maximum(held[of], 1.0)
    for name, (now, total, age, span) in _RATES.items():
        out[:, POSITION[name]] = _times_usual(held[now], held[total], held[age], span)
    out[:, POSITION["pair_is_new"]] = held["pair_age_s"] <= 0.0
    out[:, POSITION["pair_age"]] = stored_log(held["pair_age_s"])
    out[:, POSITION["triple_gap_median"]] = stored_log(held["triple_gap_median_s"])
    out[:, POSITION["triple_lasted"]] = stored_log(held["triple_lasted_s"])
    seen = held["triple_total"]
    out[:, POSITION["triple_gap_steady"]] = np.where(held["triple_gaps"] >= _STEADY_FROM, held["triple_gap_steady"], 0.0)
    out[:, POSITION["triple_size_steady"]] = np.where(seen >= _STEADY_FROM, held["triple_size_steady"], 0.0)


def _times_usual(now: np.ndarray, total: np.ndarray, age: np.ndarray, span: float) -> np.ndarray:
    """Return ln(count in the window / average count of a window of this length since the first row); 0 before _USUAL_FROM_S."""
    usual = total * (np.float32(span) / np.maximum(age, np.float32(_USUAL_FROM_S)))
    times = np.log((np.maximum(now, np.float32(1e-3)) / np.maximum(usual, np.float32(1e-3))).astype(np.float64))
    return np.where((age >= _USUAL_FROM_S) & (total > 0.0), np.clip(times, -8.0, 8.0), 0.0).astype(np.float32)
