"""The alerts that the product makes of a capture's rows at its own threshold, which is set without labels."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from mlids.alerts.document import Alert
from mlids.alerts.grouping import GroupKey, group_keys
from mlids.alerts.storms import Storms
from mlids.detectors.bundle import Model
from mlids.detectors.verdict import Verdicts
from mlids.features.spec import POSITION
from mlids.training.cross_capture.captures import Capture


@dataclass(frozen=True)
class Alerts:
    """The alerts of a capture: for each alerting row the number of its alert."""

    threshold: float
    rows: np.ndarray  # int[k], indices of alerting rows in the capture
    number: np.ndarray  # int[k], 0 to count − 1
    count: int


def alerts_of(model: Model, capture: Capture, verdicts: Verdicts, threshold: float) -> Alerts:
    """Return the alerts of the rows with a risk_score of at least `threshold`, grouped and folded into storms as in live scoring."""
    rows = np.flatnonzero(verdicts.risk_score >= threshold)
    keys = group_keys(model, capture.conns[rows.tolist()], verdicts, rows) if len(rows) else []
    sources = capture.conns["id.orig_h"].gather(rows.tolist()).fill_null("").to_list()
    inside = (capture.x[rows, POSITION["orig_local"]] > 0.5).tolist()
    storms, begun, number = Storms(), dict[str, int](), np.zeros(len(rows), int)
    for i, (key, source, local) in enumerate(zip(keys, sources, inside, strict=True)):
        if key.id not in begun:
            key = storms.key_for(key, source, local)
        if key.id not in begun:
            begun[key.id] = len(begun)
            storms.add(_begin(key, source, inside=local))
        number[i] = begun[key.id]
    return Alerts(threshold, rows, number, len(begun))


def _begin(key: GroupKey, source: str, *, inside: bool) -> Alert:
    when = datetime.fromtimestamp(key.window, UTC)
    return Alert(key, when, when, 0.0, source, None, "", None, "", inside=inside)
