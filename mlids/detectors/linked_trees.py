"""Scores many rows with a RandomForest: the nodes of all trees in arrays, evaluated step by step for blocks of rows.

The children of a node lie side by side, and a leaf is its own child, so that a step is the same arithmetic for each row
of a block wherever it is in the tree. The class shares agree with scikit-learn's to 1/65,535.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlids.detectors.onnx_graph import floor32
from mlids.detectors.trees import in_columns, in_pieces
from mlids.features.compiled import compiled

BLOCK_ROWS = 256
_WHOLE = 65_535  # a share of 1 in `shares`


@dataclass(frozen=True)
class LinkedTrees:
    """A RandomForest as arrays.

    `columns`: the features that it sees. Of each node: `feature` (an index into `columns`), `threshold` (a value above it
    goes right), `child` (the left one; the right one follows it; a leaf is its own) and `leaf` (a row of `shares`, at
    leaves). Of each tree: `root` and `depth`. `shares`: uint16[leaves, classes], 65,535 for a share of 1.
    """

    columns: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    child: np.ndarray
    leaf: np.ndarray
    root: np.ndarray
    depth: np.ndarray
    shares: np.ndarray

    def probabilities(self, x: np.ndarray, threads: int = 2) -> np.ndarray:
        """Return float32[n, classes], the mean class shares over the trees, for float32[n, features]."""
        walk: Callable[..., None] = compiled(_walk_linked)
        shares = self.shares.astype(np.float32) / np.float32(_WHOLE * len(self.root))
        by_column, places = in_columns(x, self.columns)
        out = np.empty((len(x), shares.shape[1]), np.float32)

        def piece(first: int, last: int) -> None:
            walk(by_column, places, first, last, self.feature, self.threshold, self.child, self.leaf, self.root, self.depth, shares, out)

        in_pieces(piece, len(x), threads)
        return out


def link(trees: Sequence[Any], columns: np.ndarray) -> LinkedTrees:
    """Return scikit-learn's trees as arrays; `columns` are the features that they were fitted on."""
    parts = [_link_one(t) for t in trees]
    sizes = np.array([len(p[0]) for p in parts])
    root = np.cumsum(sizes) - sizes
    shares, leaf = np.unique(np.concatenate([p[3] for p in parts]), axis=0, return_inverse=True)
    return LinkedTrees(
        np.asarray(columns, np.int32), np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts]),
        np.concatenate([p[2] + at for p, at in zip(parts, root, strict=True)]).astype(np.int32), leaf.ravel().astype(np.int32),
        root.astype(np.int32), np.array([t.max_depth for t in trees], np.int32), shares,
    )  # fmt: skip


def _link_one(tree: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return feature, threshold, child and shares of a tree's nodes, level by level; the shares of inner nodes are 0."""
    order = [0]
    child = []
    for at, node in enumerate(order):  # grows while it is read
        inner = tree.children_left[node] >= 0
        child.append(len(order) if inner else at)
        if inner:
            order += [tree.children_left[node], tree.children_right[node]]
    nodes = np.array(order)
    leaf = tree.children_left[nodes] < 0
    value = tree.value[nodes, 0, :]
    shares = np.where(leaf[:, None], np.rint(_WHOLE * value / value.sum(axis=1, keepdims=True)), 0).astype(np.uint16)
    threshold = np.where(leaf, np.float32(np.inf), floor32(tree.threshold[nodes])).astype(np.float32)
    return np.where(leaf, 0, tree.feature[nodes]).astype(np.int32), threshold, np.array(child, np.int32), shares


def _walk_linked(by_column, places, first, last, feature, threshold, child, leaf, root, depth, shares, out):  # type: ignore[no-untyped-def]
    """Write the sum of class shares over all trees into `out` for the rows first to last (exclusive). Compiled by numba."""
    classes = shares.shape[1]
    node = np.empty(BLOCK_ROWS, np.int32)
    total = np.empty((BLOCK_ROWS, classes), np.float32)
    block = np.zeros((len(places), BLOCK_ROWS), np.float32)
    flat = block.ravel()
    for start in range(first, last, BLOCK_ROWS):
        here = min(BLOCK_ROWS, last - start)
        for j in range(len(places)):
            for r in range(here):
                block[j, r] = by_column[places[j], start + r]
        total[:] = np.float32(0)
        for t in range(len(root)):
            for r in range(BLOCK_ROWS):
                node[r] = root[t]
            for _ in range(depth[t]):
                for r in range(BLOCK_ROWS):
                    at = node[r]
                    node[r] = child[at] + np.int32(flat[feature[at] * BLOCK_ROWS + r] > threshold[at])
            for r in range(BLOCK_ROWS):
                held = leaf[node[r]]
                for k in range(classes):
                    total[r, k] += shares[held, k]
        for r in range(here):
            for k in range(classes):
                out[start + r, k] = total[r, k]
