"""Converts two scikit-learn forests to one ONNX graph with the spec in its metadata. A graph is data: loading it runs no code.

Each forest becomes one tree-ensemble node. The weight of a RandomForest leaf is its class shares divided by
the number of trees. The weight of an IsolationForest leaf is its depth plus c(n) (Liu et al. 2008), and the
score 2^(−mean depth / c(samples)) follows from the sum. scikit-learn compares float32 values with float64
thresholds, so each threshold is rounded down to float32: every float32 value takes the same branch.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from mlids.detectors.isolation import COLUMNS
from mlids.features.spec import NAMES

if TYPE_CHECKING:
    from sklearn.ensemble import IsolationForest, RandomForestClassifier

OPSET = 17
ML_OPSET = 3


def floor32(values: np.ndarray) -> np.ndarray:
    """Return the largest float32 that is not above each float64: for float32 values both thresholds give the same branch."""
    near = values.astype(np.float32)
    return np.where(near.astype(np.float64) > values, np.nextafter(near, np.float32(-np.inf)), near).astype(np.float32)


def average_path(samples: np.ndarray) -> np.ndarray:
    """Return c(n), the average path length of an unsuccessful search among n points; 0 for n = 1, 1 for n = 2."""
    n = samples.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        path = 2.0 * (np.log(n - 1.0) + np.euler_gamma) - 2.0 * (n - 1.0) / n
    return np.where(n <= 1, 0.0, np.where(n == 2, 1.0, path))


def node_depths(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return each node's distance from the root; `left` and `right` are scikit-learn's children, -1 at a leaf."""
    depth = np.zeros(len(left))
    for node in range(len(left)):  # children come after their parent
        if left[node] >= 0:
            depth[left[node]] = depth[right[node]] = depth[node] + 1
    return depth


def _ensemble(trees: list[Any], columns: list[np.ndarray], weights: list[np.ndarray], outputs: int) -> dict[str, Any]:
    """Return the attributes of a TreeEnsembleRegressor. `weights[i]` is [nodes, outputs], used at leaves."""
    ids, node_ids, features, values, modes, yes, no = [], [], [], [], [], [], []
    target_tree, target_node, target_id, target_weight = [], [], [], []
    for number, (tree, names, weight) in enumerate(zip(trees, columns, weights, strict=True)):
        leaf = tree.children_left < 0
        n = tree.node_count
        ids.append(np.full(n, number))
        node_ids.append(np.arange(n))
        features.append(np.where(leaf, 0, names[np.maximum(tree.feature, 0)]))
        values.append(np.where(leaf, np.float32(0), floor32(tree.threshold)))
        modes += np.where(leaf, "LEAF", "BRANCH_LEQ").tolist()
        yes.append(np.where(leaf, 0, tree.children_left))
        no.append(np.where(leaf, 0, tree.children_right))
        leaves = np.flatnonzero(leaf)
        for output in range(outputs):
            target_tree.append(np.full(len(leaves), number))
            target_node.append(leaves)
            target_id.append(np.full(len(leaves), output))
            target_weight.append(weight[leaves, output])

    def whole(parts: list[np.ndarray]) -> list[int]:
        return np.concatenate(parts).astype(np.int64).tolist()

    return {
        "nodes_treeids": whole(ids),
        "nodes_nodeids": whole(node_ids),
        "nodes_featureids": whole(features),
        "nodes_values": np.concatenate(values).astype(np.float32).tolist(),
        "nodes_modes": modes,
        "nodes_truenodeids": whole(yes),
        "nodes_falsenodeids": whole(no),
        "target_treeids": whole(target_tree),
        "target_nodeids": whole(target_node),
        "target_ids": whole(target_id),
        "target_weights": np.concatenate(target_weight).astype(np.float32).tolist(),
        "n_targets": outputs,
        "aggregate_function": "SUM",
    }


def _forest_attributes(forest: RandomForestClassifier, columns: np.ndarray) -> dict[str, Any]:
    trees = [e.tree_ for e in forest.estimators_]
    weights = []
    for tree in trees:
        share = tree.value[:, 0, :]
        weights.append(share / share.sum(axis=1, keepdims=True) / len(trees))
    return _ensemble(trees, [columns] * len(trees), weights, len(forest.classes_))


def _isolation_attributes(forest: IsolationForest) -> dict[str, Any]:
    trees, weights = [], []
    for estimator in forest.estimators_:
        tree = estimator.tree_
        depth = node_depths(tree.children_left, tree.children_right)
        trees.append(tree)
        weights.append((depth + average_path(tree.n_node_samples))[:, None])
    return _ensemble(trees, [COLUMNS[np.asarray(c)] for c in forest.estimators_features_], weights, 1)


def build_graph(forest: RandomForestClassifier | None, isolation: IsolationForest, spec: dict[str, Any]) -> bytes:
    """Return the serialized model: input `features` float32[n, f]; outputs `anomaly_score` float32[n, 1] and,
    with a RandomForest, `class_probabilities` float32[n, classes] in the order of `spec["classes"]`."""
    import onnx
    from onnx import TensorProto, helper

    width = len(NAMES)
    features = helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, width])
    nodes = [
        helper.make_node("TreeEnsembleRegressor", ["features"], ["depth_sum"], domain="ai.onnx.ml", **_isolation_attributes(isolation)),
        helper.make_node("Mul", ["depth_sum", "exponent"], ["log_score"]),
        helper.make_node("Exp", ["log_score"], ["anomaly_score"]),
    ]
    # 2^(-sum / (trees * c)) = exp(-sum * ln 2 / (trees * c))
    total_path = len(isolation.estimators_) * float(average_path(np.array([isolation.max_samples_]))[0])
    constants = [helper.make_tensor("exponent", TensorProto.FLOAT, [1], [-np.log(2.0) / max(total_path, 1e-12)])]
    outputs = [helper.make_tensor_value_info("anomaly_score", TensorProto.FLOAT, [None, 1])]
    if forest is not None:
        columns = np.asarray(spec.get("forest_columns") or range(width))
        nodes.append(
            helper.make_node(
                "TreeEnsembleRegressor", ["features"], ["class_probabilities"], domain="ai.onnx.ml", **_forest_attributes(forest, columns)
            )
        )
        outputs.append(helper.make_tensor_value_info("class_probabilities", TensorProto.FLOAT, [None, len(forest.classes_)]))
    graph = helper.make_graph(nodes, "mlids-conn", [features], outputs, constants)
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)], ir_version=8
    )
    helper.set_model_props(model, {"mlids": json.dumps(spec)})
    onnx.checker.check_model(model)
    return model.SerializeToString()  # type: ignore[no-any-return]


def with_spec(graph: bytes, spec: dict[str, Any]) -> bytes:
    """Return the same graph with another spec in the metadata."""
    return with_property(graph, "mlids", json.dumps(spec))


def with_property(graph: bytes, name: str, text: str) -> bytes:
    """Return the same graph with another text under a name of its metadata; the other texts stay."""
    import onnx
    from onnx import helper

    model = onnx.load_from_string(graph)
    helper.set_model_props(model, {p.key: p.value for p in model.metadata_props} | {name: text})
    return model.SerializeToString()  # type: ignore[no-any-return]
