"""The reference model: part of the package, trained on synthetic networks only, and used until a site has a model of its own.

Its file is a Zstandard frame of NumPy arrays: the spec as JSON, then the trees of both forests. It is data: loading it
runs no code from it, and needs neither scikit-learn nor onnxruntime. `mlids.training.reference` makes it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from mlids.detectors.bundle import Scores, with_shares
from mlids.detectors.linked_trees import LinkedTrees
from mlids.detectors.model_spec import Spec, read_spec
from mlids.detectors.trees import CompleteTrees
from mlids.errors import ModelError, OtherFeaturesError
from mlids.features.spec import FEATURES_VERSION, NAMES, POSITION
from mlids.text import short

FILE = Path(__file__).with_name("reference_model.zst")
DIGEST_FILE = Path(__file__).with_name("reference_model.sha256")
_MOST_BYTES = 64 << 20  # decompressed
_REMEDY = "install mlids again, or run `make reference-model` in a checkout"


class ReferenceModel:
    """The reference model as a model that scores; its version is `reference-` and the first eight digits of its SHA-256."""

    def __init__(self, content: bytes) -> None:
        """Read the content of the file. Raises ModelError when it is damaged, OtherFeaturesError when its features are others."""
        self.digest = hashlib.sha256(content).hexdigest()
        self.version: str | None = f"reference-{self.digest[:8]}"
        try:
            spec, isolation, forest = _unpack(content)
        except (ValueError, TypeError, KeyError, EOFError) as error:
            raise ModelError(f"the reference model cannot be read: {short(str(error), 200)}; {_REMEDY}") from error
        self.spec, self._isolation, self._forest = spec, isolation, forest
        self.attack_classes = self.spec.attack_classes

    def score(self, x: np.ndarray) -> Scores:
        """Return the scores of float32[n, features]; fastest when columns are contiguous."""
        return with_shares(self._isolation.scores(x), self._forest.probabilities(x), self.spec)


@lru_cache(maxsize=1)
def load_reference() -> ReferenceModel:
    """Return the reference model of this installation.

    Raises ModelError when its file is missing, or does not have the SHA-256 that stands beside it.
    """
    try:
        content, digest = FILE.read_bytes(), DIGEST_FILE.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"the reference model cannot be read: {error}; {_REMEDY}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        raise ModelError(f"{FILE} has the SHA-256 {found}, and {digest[:64]} stands beside it; {_REMEDY}")
    return ReferenceModel(content)


def pack(spec: Spec, isolation: CompleteTrees, forest: LinkedTrees) -> bytes:
    """Return the content of the file; the same arguments give the same bytes with the same versions of NumPy and zstandard."""
    import zstandard

    values = {"spec": spec.as_dict(), "mean_total": isolation.mean_total}
    out = BytesIO()
    np.save(out, np.frombuffer(json.dumps(values, sort_keys=True).encode(), np.uint8), allow_pickle=False)
    for trees, names in ((isolation, _ISOLATION), (forest, _FOREST)):
        for name in names:
            array = getattr(trees, name)
            np.save(out, array.astype(_smallest(array)), allow_pickle=False)
    return zstandard.ZstdCompressor(level=19, write_content_size=True).compress(out.getvalue())


_ISOLATION = ("feature", "threshold", "path")
_FOREST = tuple(f.name for f in fields(LinkedTrees))
_STORED = {"threshold": np.float32, "path": np.float32, "shares": np.uint16}


def _smallest(array: np.ndarray) -> np.dtype:
    """Return the smallest unsigned type that holds a tree's whole numbers; other arrays keep theirs."""
    return np.dtype(np.min_scalar_type(int(array.max()))) if array.dtype.kind == "i" else array.dtype


def _unpack(content: bytes) -> tuple[Spec, CompleteTrees, LinkedTrees]:
    import zstandard

    try:
        stream = BytesIO(zstandard.ZstdDecompressor().decompress(content, max_output_size=_MOST_BYTES))
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from error
    values = json.loads(np.load(stream, allow_pickle=False).tobytes())
    spec = _spec_here(values["spec"])

    def read(names: tuple[str, ...]) -> dict[str, np.ndarray]:
        return {name: np.load(stream, allow_pickle=False).astype(_STORED.get(name, np.int32)) for name in names}

    isolation = CompleteTrees(**read(_ISOLATION), mean_total=float(values["mean_total"]))
    forest = LinkedTrees(**read(_FOREST) | {"columns": np.array(spec.forest_columns, np.int32)})
    return spec, isolation, forest


def _spec_here(values: dict[str, Any]) -> Spec:
    """Return the spec with the features of this installation; those that other packages add to it are as usual: 0.

    Raises OtherFeaturesError when the features of mlids itself are others.
    """
    names = values["features"]
    if values["features_version"] != FEATURES_VERSION or not set(names) <= set(NAMES):
        raise OtherFeaturesError(
            f"the reference model was made for features version {values['features_version']}, this is version {FEATURES_VERSION}; {_REMEDY}"
        )
    usual = dict(zip(names, values["medians"], strict=True))
    here = {
        "features": list(NAMES), "medians": [usual.get(n, 0.0) for n in NAMES],
        "forest_columns": [POSITION[names[i]] for i in values["forest_columns"]],
    }  # fmt: skip
    return read_spec(json.dumps(values | here))
