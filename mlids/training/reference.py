"""Makes the reference model from synthetic networks: the same bytes on each run with the locked versions.

`make reference-model` writes it into the package; it is made again whenever the features, the synthetic networks or the
synthetic attacks change.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import polars as pl

from mlids.assets import extensions
from mlids.detectors.linked_trees import link
from mlids.detectors.reference import ReferenceModel, pack
from mlids.detectors.self_test import check_not_blind
from mlids.detectors.trees import complete
from mlids.errors import ModelError
from mlids.features.spec import NAMES
from mlids.synth.site import Site
from mlids.training.dataset import ExampleOptions, gather_examples, reference, weights
from mlids.training.train import Pair, budget_thresholds, fit_pair
from mlids.zeek.types import conn_columns

# More trees, or deeper ones, hardly find more on networks that were not used in training (docs/detection.md).
TREES = 25
MOST_BYTES = 3_000_000
# Seed and number of hosts of networks that no tree has seen, and the days on which their benign conns set the threshold.
HELD_OUT_SITES = ((31, 30), (32, 120))
HELD_OUT_DAYS = (date(2026, 11, 6), date(2026, 11, 7), date(2026, 11, 9))  # Friday, Saturday, Monday
HELD_OUT_FLOWS = 20_000
# Three services that call all day long: an alert stands for six hours of one.
BUDGET_PER_DAY = 12.0
# Features are rounded before the fit: logarithms may differ in the last bit between processors.
DECIMALS = 4


@dataclass(frozen=True)
class ReferenceRows:
    """What the reference model is fitted on: float32[n, features], and label, network and weight of each row."""

    x: np.ndarray
    label: np.ndarray
    network: np.ndarray
    weight: np.ndarray


def build_reference() -> bytes:
    """Return the content of the reference model's file; it takes about half a minute.

    Raises ModelError when another package adds behaviours here, or when the model would be larger than MOST_BYTES or blind.
    """
    return pack_pair(fit_reference(reference_rows()), TREES)


def reference_rows() -> ReferenceRows:
    """Return examples of the synthetic reference networks. Raises ModelError when another package adds behaviours here."""
    if extensions("mlids.behaviours"):
        raise ModelError("the reference model is made without behaviours of other packages; uninstall them, or use another environment")
    frame = reference()
    x = np.round(frame.select(NAMES).to_numpy().astype(np.float32), DECIMALS)
    label, network = (frame[n].to_numpy().astype(str) for n in ("label", "network"))
    return ReferenceRows(x, label, network, weights(frame))


def fit_reference(rows: ReferenceRows) -> Pair:
    """Return both forests, fitted on the rows."""
    return fit_pair(rows.x, rows.label, rows.network, rows.weight, true_attacks=False)


def pack_pair(pair: Pair, trees: int) -> bytes:
    """Return the content of the file with the first trees of the RandomForest, its threshold set on the held-out networks."""
    forest = link([e.tree_ for e in pair.forest.estimators_[:trees]], np.array(pair.spec.forest_columns))
    isolation = complete(pair.isolation)
    isolation = replace(isolation, path=np.round(isolation.path, DECIMALS))
    spec = replace(
        pair.spec, medians=_rounded(pair.spec.medians), surprise=[_rounded(knots) for knots in pair.spec.surprise],
        budget_per_day=BUDGET_PER_DAY,
    )  # fmt: skip
    threshold = held_out_threshold(ReferenceModel(pack(spec, isolation, forest)))
    content = pack(replace(spec, threshold=threshold), isolation, forest)
    if len(content) > MOST_BYTES:
        raise ModelError(f"the reference model has {len(content):,} bytes; the limit is {MOST_BYTES:,}")
    check_not_blind(ReferenceModel(content))
    return content


def _rounded(values: Sequence[float]) -> list[float]:
    return [round(float(v), DECIMALS + 1) for v in values]


def held_out_threshold(model: ReferenceModel) -> float:
    """Return the risk_score, with one decimal, at which no held-out network exceeds BUDGET_PER_DAY on its benign days."""
    days = float(len(HELD_OUT_DAYS))
    found = [budget_thresholds(model, _benign_days(Site(s, hosts=h)), days, BUDGET_PER_DAY).lowest for s, h in HELD_OUT_SITES]
    return round(max(found), 1)


def _benign_days(site: Site) -> Iterator[pl.DataFrame]:
    for day in HELD_OUT_DAYS:
        yield conn_columns(site.day(day, HELD_OUT_FLOWS).with_columns(sensor=pl.lit(site.name)))


def held_out_examples() -> pl.DataFrame:
    """Return examples of the held-out networks (`mlids.training.dataset.SCHEMA`), with every attack implanted, to compare models on."""
    parts = []
    for seed, hosts in HELD_OUT_SITES:
        day = Site(seed, hosts=hosts).day(HELD_OUT_DAYS[0], HELD_OUT_FLOWS).drop("label")
        parts.append(gather_examples(lambda day=day: iter([day]), f"held-out-{seed}", ExampleOptions(6_000, seed=seed))[1])  # type: ignore[misc]
    return pl.concat(parts)
