"""All columns of the feature matrix in their order: flow, context, then behaviours. Names and order are the model's contract."""

from __future__ import annotations

from mlids.features import catalogue
from mlids.features.behaviours import BEHAVIOURS
from mlids.features.catalogue import Feature

# Raised whenever a feature of mlids is added, removed or computed differently; a model of another version is refused.
FEATURES_VERSION = 4

FEATURES: tuple[Feature, ...] = (
    *catalogue.FEATURES,
    *(Feature(b.name, "behaviour", "share", f"{b.phrase}: {{}}") for b in BEHAVIOURS),
)
NAMES: tuple[str, ...] = tuple(f.name for f in FEATURES)
POSITION: dict[str, int] = {name: i for i, name in enumerate(NAMES)}
BEHAVIOUR_NAMES = tuple(b.name for b in BEHAVIOURS)
BEHAVIOUR_COLUMNS = slice(len(FEATURES) - len(BEHAVIOURS), len(FEATURES))
# The IsolationForest sees context features only. Left out are rates against the usual, which vary widely on young
# hosts, and intervals, which mean nothing for few connections: including them cost a third of the recall.
ISOLATION_COLUMNS: tuple[int, ...] = tuple(
    i for i, f in enumerate(FEATURES) if f.group == "context" and f.kind != "times" and not f.name.startswith("triple_gap")
)
# When every attack in training is implanted, the RandomForest sees behaviours and flags only: the size and rate of
# an implanted attack are invented, and a forest that relied on them found half as much.
SHAPE_COLUMNS: tuple[int, ...] = tuple(i for i, f in enumerate(FEATURES) if f.group == "behaviour" or f.kind == "flag")
