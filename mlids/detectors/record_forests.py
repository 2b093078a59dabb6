"""An IsolationForest for each of http, dns, ssh and ssl, which scores records one by one; stored as plain arrays, without code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO

import numpy as np

from mlids.detectors.isolation_trees import fit_trees
from mlids.detectors.trees import CompleteTrees
from mlids.errors import ModelError
from mlids.features.records import RECORD_LOGS
from mlids.features.records.base import RecordLog
from mlids.text import short

_MOST_BYTES = 64 << 20  # decompressed
_MOST_TREES, _DEEPEST = 1_000, 12
_ARRAYS = {"feature": np.int32, "threshold": np.float32, "path": np.float32}


@dataclass(frozen=True)
class RecordForest:
    """The forest of one log, and the medians of the rows that it was fitted on: float32[features]."""

    log: RecordLog
    trees: CompleteTrees
    medians: np.ndarray
    rows: int  # that it was fitted on

    def scores(self, x: np.ndarray) -> np.ndarray:
        """Return float32[n], 0 to 1, higher is more anomalous, on the scale of conn's anomaly_score; for float32[n, features]."""
        return self.trees.scores(x)

    def explain(self, row: np.ndarray) -> str:
        """Return in words what makes a row unusual: the feature without which, at its median, the score would be lowest."""
        variants = np.repeat(row[None, :], len(row) + 1, axis=0).astype(np.float32)
        places = np.arange(len(row))
        variants[places, places] = self.medians
        scores = self.scores(np.asfortranarray(variants))
        best = int(scores[:-1].argmin())
        if scores[best] >= scores[-1]:
            return "no single value of it stands out"
        return self.log.features[best].describe(float(row[best]), float(self.medians[best]))


def fit_record_forest(log: RecordLog, x: np.ndarray, *, seed: int = 0) -> RecordForest:
    """Return a forest fitted on float32[n, features] of a log's records; a single record counts twice. Raises NoRowsError without any."""
    x = np.repeat(x, 2, axis=0) if len(x) == 1 else x
    flags = np.array([f.is_flag for f in log.features])
    low, high = np.where(flags, 0.0, np.inf), np.where(flags, 1.0, -np.inf)
    trees = fit_trees(x, low=low.astype(np.float32), high=high.astype(np.float32), seed=seed)
    return RecordForest(log, trees, np.median(x, axis=0).astype(np.float32), len(x))


def pack_record_forests(forests: Mapping[str, RecordForest]) -> bytes:
    """Return the forests as a Zstandard frame of NumPy arrays: what they are as JSON, then the arrays of each."""
    import zstandard

    about = [
        {"log": name, "features": f.log.names, "medians": f.medians.tolist(), "rows": f.rows, "mean_total": f.trees.mean_total}
        for name, f in sorted(forests.items())
    ]
    out = BytesIO()
    np.save(out, np.frombuffer(json.dumps(about).encode(), np.uint8), allow_pickle=False)
    for _, forest in sorted(forests.items()):
        for name in _ARRAYS:
            array = getattr(forest.trees, name)
            np.save(out, array.astype(np.uint8) if name == "feature" else array, allow_pickle=False)
    return zstandard.ZstdCompressor(level=9, write_content_size=True).compress(out.getvalue())


def unpack_record_forests(content: bytes) -> dict[str, RecordForest]:
    """Return the forests by log, without those of other features than this installation has. Raises ModelError when they are damaged."""
    import zstandard

    try:
        stream = BytesIO(zstandard.ZstdDecompressor().decompress(content, max_output_size=_MOST_BYTES))
        found = {}
        for about in json.loads(np.load(stream, allow_pickle=False).tobytes()):
            arrays = [np.load(stream, allow_pickle=False).astype(kind) for kind in _ARRAYS.values()]
            log = RECORD_LOGS.get(about["log"])
            if log is not None and about["features"] == log.names:
                found[log.name] = _checked(log, arrays, about)
    except (ValueError, TypeError, KeyError, EOFError, OverflowError, RecursionError, MemoryError, zstandard.ZstdError) as error:
        raise ModelError(f"the forests of http, dns, ssh and ssl in the model cannot be read: {short(str(error), 200)}") from error
    return found


def _checked(log: RecordLog, arrays: list[np.ndarray], about: Mapping[str, object]) -> RecordForest:
    """Return a forest whose arrays fit together: compiled code reads them without looking. Raises ValueError."""
    feature, threshold, path = map(np.ascontiguousarray, arrays)
    medians, mean_total = np.asarray(about["medians"], np.float32), float(about["mean_total"])  # type: ignore[arg-type]
    shapes = [(trees := len(feature), (1 << d) - 1) for d in range(5, _DEEPEST + 1)]
    if feature.shape not in shapes or not 0 < trees <= _MOST_TREES:
        raise ValueError(f"{log.name} has trees of the shape {feature.shape}")
    if threshold.shape != feature.shape or path.shape != (trees, feature.shape[1] + 1) or medians.shape != (len(log.names),):
        raise ValueError(f"{log.name} has arrays that do not fit together")
    if feature.min() < 0 or feature.max() >= len(log.names):
        raise ValueError(f"{log.name} has trees of features that it does not have")
    if np.isnan(threshold).any() or not np.isfinite(path).all() or not np.isfinite(medians).all() or not mean_total > 0:
        raise ValueError(f"{log.name} has numbers that are not finite")
    fitted = CompleteTrees(feature, threshold, path, mean_total, np.arange(len(log.names)))
    return RecordForest(log, fitted, medians, int(about["rows"]))  # type: ignore[call-overload]
