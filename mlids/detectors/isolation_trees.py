"""Fits an IsolationForest (Liu et al. 2008) straight into compiled trees: all trees at once, level by level.

A tree sees 512 rows, and a value that none of them has cannot be isolated by it: among 50,000 handshakes one with SSLv2 would score
as any other. Each tree therefore also sees rows without weight, which widen the ranges that thresholds are drawn from:
the rows with the lowest and the highest value of each feature, and some of its own rows with one value moved to an end of its range.

scikit-learn takes nearly two CPU seconds to import alone; a forest fitted here takes a fifth of one, and is stored as plain
arrays. conn keeps `isolation.fit_isolation`, whose forest is registered as an estimator.
"""

from __future__ import annotations

from math import ceil, log2

import numpy as np

from mlids.detectors.isolation import MIN_ROWS, TREE_ROWS, TREES
from mlids.detectors.onnx_graph import average_path, floor32
from mlids.detectors.trees import TOP_LEVELS, CompleteTrees
from mlids.errors import NoRowsError

# Rows of a tree that are moved to each end of the range of each feature. More of them make odd rows less rare among themselves.
MOVED_ROWS = 1


def fit_trees(
    x: np.ndarray,
    *,
    low: np.ndarray | None = None,
    high: np.ndarray | None = None,
    seed: int = 0,
    trees: int = TREES,
    moved: int = MOVED_ROWS,
) -> CompleteTrees:
    """Return a forest fitted on all columns of float32[n, features], which must be finite. Raises NoRowsError with fewer than two rows.

    `low` and `high` widen the range of each feature beyond that of `x`. With `moved` 0 no row without weight is added: the
    forest is the published one.
    """
    if len(x) < MIN_ROWS:
        raise NoRowsError(f"{len(x)} rows are too few to fit an IsolationForest; at least {MIN_ROWS} are needed")
    rng = np.random.default_rng(seed)
    size = min(TREE_ROWS, len(x))
    depth = max(ceil(log2(size)), TOP_LEVELS)
    grown = _Trees(trees, depth)
    own = np.stack([rng.choice(len(x), size, replace=False) for _ in range(trees)])
    values, weight = x[own], np.ones(size, bool)
    if moved:
        ends = np.array(
            [
                x.min(axis=0) if low is None else np.minimum(low, x.min(axis=0)),
                x.max(axis=0) if high is None else np.maximum(high, x.max(axis=0)),
            ]
        )
        real = x[np.unique(np.concatenate([x.argmin(axis=0), x.argmax(axis=0)]))]
        added = [values, _moved(values, ends, moved, rng), np.broadcast_to(real, (trees, *real.shape))]
        values = np.concatenate(added, axis=1)
        weight = np.arange(values.shape[1]) < size
    grown.grow(values.reshape(-1, x.shape[1]), np.tile(weight, trees), ceil(log2(size)), rng)
    mean_total = trees * float(average_path(np.array([size]))[0])
    return CompleteTrees(grown.feature, grown.threshold, grown.path, mean_total, np.arange(x.shape[1]))


def _moved(values: np.ndarray, ends: np.ndarray, moved: int, rng: np.random.Generator) -> np.ndarray:
    """Return for each tree `moved` of its rows for each end of each feature, moved to that end: float32[trees, rows, features]."""
    trees, size, width = values.shape
    wanted = 2 * width * moved
    base = values[np.arange(trees)[:, None], rng.integers(0, size, (trees, wanted))]
    column, end = np.tile(np.arange(width), 2 * moved), np.repeat([0, 1], width * moved)
    base[:, np.arange(wanted), column] = ends[end, column]
    return base


class _Trees:
    """Complete binary trees that are being grown: below a leaf every value goes left."""

    def __init__(self, trees: int, depth: int) -> None:
        inner = (1 << depth) - 1
        self.trees, self.depth = trees, depth
        self.feature = np.zeros((trees, inner), np.int32)
        self.threshold = np.full((trees, inner), np.inf, np.float32)
        self.path = np.zeros((trees, inner + 1), np.float32)

    def grow(self, values: np.ndarray, weight: np.ndarray, deepest: int, rng: np.random.Generator) -> None:
        """Divide the rows, given tree by tree, at random thresholds, until a node has at most one row with weight, or is `deepest`."""
        tree, place = np.repeat(np.arange(self.trees), len(values) // self.trees), np.zeros(len(values), np.int64)
        for level in range(self.depth + 1):
            order = np.argsort((tree << self.depth) + place, kind="stable")
            values, weight, tree, place = values[order], weight[order], tree[order], place[order]
            starts = np.flatnonzero(np.diff((tree << self.depth) + place, prepend=-1))
            sizes, held = np.diff(starts, append=len(values)), np.add.reduceat(weight.astype(np.int64), starts)
            low, high = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
            divided = (high > low).any(axis=1) & (held > 1) & (level < deepest)
            leaf = starts[~divided]
            self.path[tree[leaf], place[leaf] << (self.depth - level)] = level + average_path(held[~divided])
            if not divided.any():
                return
            chosen, limit = _draw(low[divided], high[divided], rng)
            at = starts[divided]
            node = (1 << level) - 1 + place[at]
            self.feature[tree[at], node], self.threshold[tree[at], node] = chosen, limit
            kept = np.repeat(divided, sizes)
            of = np.repeat(np.arange(len(chosen)), sizes[divided])
            values, weight, tree = values[kept], weight[kept], tree[kept]
            place = 2 * place[kept] + (values[np.arange(len(values)), chosen[of]] > limit[of])


def _draw(low: np.ndarray, high: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return for each node a feature that is not constant in it, and a threshold between its lowest and highest value."""
    chosen = np.where(high > low, rng.random(low.shape), -1.0).argmax(axis=1)
    nodes = np.arange(len(low))
    first, last = low[nodes, chosen].astype(np.float64), high[nodes, chosen].astype(np.float64)
    limit = floor32(first + rng.random(len(low)) * (last - first))
    return chosen, np.where(limit < last, limit, first).astype(np.float32)  # rounding must leave a value on either side
