"""Metrics of one network under one model. The network is the unit: means over networks weigh each the same, whatever its rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl

from mlids.features.spec import POSITION
from mlids.training.cross_capture.captures import Capture
from mlids.training.cross_capture.case_metrics import bad_hosts, case_metrics
from mlids.training.cross_capture.listing import GROUPS
from mlids.training.cross_capture.merging import highest_of_pairs
from mlids.training.cross_capture.testing import TestedCapture
from mlids.training.metrics import DETECTORS, VOICES, recall_at_fpr

# Rows that a network needs to count in means: fewer attacks or benign rows give no recall.
ATTACKS_FROM, BENIGN_FROM = 5, 20
# An alert is right when at least this share of its labelled rows are attacks.
RIGHT_FROM = 0.5
_CLIENT_SHARE = 0.5


def network_metrics(test: TestedCapture) -> dict[str, Any]:
    """Return the metrics of one network: by detector and group of attacks, the control, the regret, `own`, those of its alerts, and `cases`.

    Recalls are null-valued (nan) with fewer than ATTACKS_FROM attack rows (of the group) or BENIGN_FROM benign rows.
    """
    capture = test.capture
    detectors = {d: _recalls(capture, test.risks[d]) for d in DETECTORS}
    best = max((detectors[v]["recall_at_fpr_1pct"] for v in VOICES), default=float("nan"))
    client = capture.x[capture.benign, POSITION["orig_local"]] > 0.5
    return {
        "laboratory": capture.laboratory, "n_rows": len(capture.x), "n_attack": int(capture.attack.sum()), "n_benign": int(capture.benign.sum()),
        "n_by_group": {g: int((capture.group == g).sum()) for g in GROUPS},
        "client": bool(len(client) and client.mean() >= _CLIENT_SHARE), "days": test.days,
        "detectors": detectors, "control": _recalls(capture, conns_of_pair(capture)),
        "regret": best - detectors["hybrid"]["recall_at_fpr_1pct"], "own": _own(test), "cases": case_metrics(capture, test.gathered, test.days),
    }  # fmt: skip


def _recalls(capture: Capture, risk: np.ndarray) -> dict[str, float]:
    """Return recall at 1 % and 0.1 % of the network's own benign rows, by group of attacks, and at 1 % of its benign pairs."""
    number, bad = capture.pairs(capture.attack, capture.benign)
    highest = highest_of_pairs(risk, number)
    out = {
        "recall_at_fpr_1pct": _recall(risk, capture.attack, capture.benign, 0.01),
        "recall_at_fpr_0_1pct": _recall(risk, capture.attack, capture.benign, 0.001),
        "pair_recall_at_fpr_1pct": recall_at_fpr(highest, bad, 0.01) if _enough(capture.attack, capture.benign) else float("nan"),
    }
    for group in GROUPS:
        out[f"{group}_at_fpr_1pct"] = _recall(risk, capture.group == group, capture.benign, 0.01)
        out[f"{group}_at_fpr_0_1pct"] = _recall(risk, capture.group == group, capture.benign, 0.001)
    return out


def _enough(attack: np.ndarray, benign: np.ndarray) -> bool:
    return int(attack.sum()) >= ATTACKS_FROM and int(benign.sum()) >= BENIGN_FROM


def _recall(risk: np.ndarray, attack: np.ndarray, benign: np.ndarray, fpr: float) -> float:
    known = attack | benign
    return recall_at_fpr(risk[known], attack[known], fpr) if _enough(attack, benign) else float("nan")


def conns_of_pair(capture: Capture) -> np.ndarray:
    """Return the control that needs no detector: float[n], the number of conns of each row's source and destination."""
    return capture.conns.select(pl.len().over("id.orig_h", "id.resp_h")).to_series().to_numpy().astype(float)


def _own(test: TestedCapture) -> dict[str, float]:
    """Return what the product's own threshold gives: alerts, right and wrong ones, hosts and pairs found, and benign rows above it."""
    capture, alerts = test.capture, test.alerts
    above = np.zeros(len(capture.x), bool)
    above[alerts.rows] = True
    attacks = np.bincount(alerts.number, capture.attack[alerts.rows], alerts.count)
    known = np.bincount(alerts.number, capture.known[alerts.rows], alerts.count)
    right = (known > 0) & (attacks >= RIGHT_FROM * known)
    hosts, hosts_found = _counted(_hosts(capture), capture.attack, above)
    pairs, pairs_found = _counted([capture.pair], capture.attack, above)
    return {
        "threshold": alerts.threshold, "alerts": float(alerts.count), "alerts_right": float(right.sum()),
        "alerts_wrong": float(((known > 0) & ~right).sum()), "alerts_per_day": alerts.count / test.days if test.days else float("nan"),
        "benign_above": float(above[capture.benign].mean()) if capture.benign.sum() >= BENIGN_FROM else float("nan"),
        "n_hosts": hosts, "hosts_found": hosts_found, "n_pairs": pairs, "pairs_found": pairs_found,
    }  # fmt: skip


def _hosts(capture: Capture) -> list[np.ndarray]:
    """Return, for either end, the address of each row as a number, −1 where that end is not one of the `bad_hosts`."""
    bad = list(bad_hosts(capture))
    ends = ((capture.orig, "id.orig_h"), (capture.resp, "id.resp_h"))
    return [np.where(capture.conns[n].is_in(bad).fill_null(value=False).to_numpy(), end, -1) for end, n in ends]


def _counted(ends: list[np.ndarray], attack: np.ndarray, above: np.ndarray) -> tuple[float, float]:
    """Return how many different hosts (or pairs) have an attack row, and how many of them have one above the threshold."""

    def chosen(rows: np.ndarray) -> Iterator[int]:
        for end in ends:
            yield from end[rows & (end >= 0)].tolist()

    return float(len(set(chosen(attack)))), float(len(set(chosen(attack & above))))
