"""Scores many rows with an IsolationForest: trees stored as complete binary trees, evaluated level by level for blocks of rows.

A level is one arithmetic step without branches for all rows of a block: about four times as many rows per CPU
second as scikit-learn, with the same scores (thresholds are rounded down to float32, as in the ONNX graph).
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mlids.detectors.isolation import COLUMNS
from mlids.detectors.onnx_graph import average_path, floor32, node_depths
from mlids.features.compiled import compiled

if TYPE_CHECKING:
    from sklearn.ensemble import IsolationForest

# All nodes of the first levels are compared at once, one bit each; deeper levels one node per row.
TOP_LEVELS = 5
BLOCK_ROWS = 256
_PIECE_ROWS = 1 << 15


@dataclass(frozen=True)
class CompleteTrees:
    """An IsolationForest as arrays: [trees, nodes] of features (indices into `columns`) and thresholds, [trees, leaves] of path lengths."""

    feature: np.ndarray
    threshold: np.ndarray
    path: np.ndarray
    mean_total: float  # sum of c(samples) over the trees: a row with this total path length scores 0.5
    columns: np.ndarray = field(default_factory=lambda: COLUMNS)  # of the feature matrix, those that the forest sees

    def scores(self, x: np.ndarray, threads: int = 2) -> np.ndarray:
        """Return float32[n], 0 to 1, higher is more anomalous, for float32[n, features]; fastest when columns are contiguous."""
        walk: Callable[..., None] = compiled(_walk)
        total = np.empty(len(x))
        by_column, places = in_columns(x, self.columns)
        in_pieces(lambda a, b: walk(by_column, places, a, b, self.feature, self.threshold, self.path, total), len(x), threads)
        return np.exp2(-total / self.mean_total).astype(np.float32)


def in_columns(x: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return float32[features, n] whose rows are contiguous, and where in it the columns of float32[n, features] are."""
    by_column = np.asarray(x, np.float32).T
    if by_column.flags.c_contiguous:
        return by_column, columns
    return np.ascontiguousarray(by_column[columns]), np.arange(len(columns))


def in_pieces(walk: Callable[[int, int], None], rows: int, threads: int) -> None:
    """Call `walk` with the first row and the end of each piece of the rows, in several threads when there are many."""
    if rows <= _PIECE_ROWS:
        walk(0, rows)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda start: walk(start, min(start + _PIECE_ROWS, rows)), range(0, rows, _PIECE_ROWS)))


def complete(forest: IsolationForest) -> CompleteTrees:
    """Return the forest's trees, each padded to the depth of the deepest: below a leaf every value goes left."""
    trees = [e.tree_ for e in forest.estimators_]
    depth = max([TOP_LEVELS, *(int(t.max_depth) for t in trees)])
    inner = (1 << depth) - 1
    feature = np.zeros((len(trees), inner), np.int32)
    threshold = np.full((len(trees), inner), np.inf, np.float32)
    path = np.zeros((len(trees), inner + 1), np.float32)
    for number, (tree, columns) in enumerate(zip(trees, forest.estimators_features_, strict=True)):
        _fill(tree, np.asarray(columns), depth, feature[number], threshold[number], path[number])
    mean_total = len(trees) * float(average_path(np.array([forest.max_samples_]))[0])
    return CompleteTrees(feature, threshold, path, max(mean_total, 1e-12))


def _fill(tree: Any, columns: np.ndarray, depth: int, feature: np.ndarray, threshold: np.ndarray, path: np.ndarray) -> None:
    length = node_depths(tree.children_left, tree.children_right) + average_path(tree.n_node_samples)
    thresholds = floor32(tree.threshold)
    waiting = [(0, 0, 0)]
    while waiting:
        node, at, level = waiting.pop()
        if tree.children_left[node] < 0:
            path[((at + 1) << (depth - level)) - 1 - len(feature)] = length[node]
            continue
        feature[at], threshold[at] = columns[tree.feature[node]], thresholds[node]
        waiting += [(tree.children_left[node], 2 * at + 1, level + 1), (tree.children_right[node], 2 * at + 2, level + 1)]


def _walk(by_column, places, first, last, feature, threshold, path, out):  # type: ignore[no-untyped-def]
    """Write the total path length over all trees into `out` for the rows first to last (exclusive). Compiled by numba."""
    inner = feature.shape[1]
    depth = 0
    while (1 << depth) <= inner:
        depth += 1
    top = (1 << TOP_LEVELS) - 1
    node = np.empty(BLOCK_ROWS, np.int32)
    bits = np.empty(BLOCK_ROWS, np.int32)
    total = np.empty(BLOCK_ROWS, np.float64)
    block = np.zeros((len(places), BLOCK_ROWS), np.float32)
    flat = block.ravel()
    for start in range(first, last, BLOCK_ROWS):
        here = min(BLOCK_ROWS, last - start)
        for j in range(len(places)):
            for r in range(here):
                block[j, r] = by_column[places[j], start + r]
        for r in range(BLOCK_ROWS):
            total[r] = 0.0
        for t in range(feature.shape[0]):
            columns = feature[t]
            limits = threshold[t]
            leaves = path[t]
            for r in range(BLOCK_ROWS):
                bits[r] = 0
            for k in range(top):
                values = block[columns[k]]
                limit = limits[k]
                bit = np.int32(1 << k)
                for r in range(BLOCK_ROWS):
                    bits[r] |= bit if values[r] > limit else np.int32(0)
            for r in range(BLOCK_ROWS):
                at = np.int32(0)
                for _ in range(TOP_LEVELS):
                    at = 2 * at + 1 + ((bits[r] >> at) & 1)
                node[r] = at
            for _ in range(TOP_LEVELS, depth):
                for r in range(BLOCK_ROWS):
                    at = node[r]
                    node[r] = 2 * at + 1 + np.int32(flat[columns[at] * BLOCK_ROWS + r] > limits[at])
            for r in range(BLOCK_ROWS):
                total[r] += leaves[node[r] - inner]
        for r in range(here):
            out[start + r] = total[r]
