"""Means over networks, with the number of networks and the worst one named; computed from the metrics of each network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from mlids.cases.severity import Severity
from mlids.training.cross_capture.listing import GROUPS
from mlids.training.cross_capture.networks import ATTACKS_FROM, BENIGN_FROM
from mlids.training.metrics import DETECTORS

Networks = Mapping[str, dict[str, Any]]
_BENIGN_NETWORK = 0  # attack rows of a network that counts as benign days


def summary(networks: Networks) -> dict[str, Any]:
    """Return the means over networks; `worst` names the network with the lowest recall (the highest burden, the largest regret).

    Values of networks with too few rows are null or nan and are left out; a mean over none is None.
    """
    benign = _benign(networks)
    return {
        "networks": len(networks), "laboratories": len({e["laboratory"] for e in networks.values()}),
        "networks_with_attacks": sum(_counts(e) for e in networks.values()),
        "detectors": {d: _recalls(networks, d) for d in DETECTORS},
        "groups": {g: _group(networks, g) for g in GROUPS},
        "control": _mean_and_worst(networks, lambda e: e["control"]["recall_at_fpr_1pct"])
        | {"pairs": _mean_and_worst(networks, lambda e: e["control"]["pair_recall_at_fpr_1pct"])},
        "regret": _mean_and_worst(networks, lambda e: e["regret"], highest=True),
        "hosts": _found(networks, "hosts"), "pairs_found": _found(networks, "pairs"), "alerts": _alerts(networks),
        "benign_days": {"days": sum(e["days"] for e in benign.values())}
        | _mean_and_worst(benign, lambda e: e["own"]["alerts_per_day"], highest=True),
        "benign_above": _mean_and_worst(networks, lambda e: e["own"]["benign_above"], highest=True)
        | {"worst_client": _worst({n: e["own"]["benign_above"] for n, e in networks.items() if e["client"]}, highest=True)},
        "cases": case_summary(networks),
    }  # fmt: skip


def case_summary(networks: Networks) -> dict[str, Any]:
    """Return sums and means of the metrics of cases (`cases` of each network).

    `first_right` is the median over networks with a bad host, where a network without a right case counts as the last; None
    when that is most of them. `precision` is of cases of medium severity or more, those about unlabelled rows left out.
    """

    def total(key: str) -> float:
        return float(sum(e["cases"][key] for e in networks.values()))

    def precision(cases: Mapping[str, Any]) -> float | None:
        judged = cases["cases_right"] + cases["cases_wrong"]
        return cases["cases_right"] / judged if judged else None

    benign = _benign(networks)
    attacked = {n: e for n, e in networks.items() if e["cases"]["n_hosts"]}
    ranks = [r if _is_number(r := e["cases"]["first_right"]) else np.inf for e in attacked.values()]
    median = float(np.median(ranks)) if ranks else float("nan")
    sums = {
        key: total(key) for key in ("n_hosts", "hosts_found", "hosts_exact", "cases_right", "cases_exact", "cases_wrong", "cases_unknown")
    }
    return {
        "networks": len(networks), "severity": {str(s): round(total(f"cases_{s}"), 4) for s in Severity},
        **{key: round(value, 4) for key, value in sums.items()},
        "hosts": {"pooled": _rounded(sums["hosts_found"] / sums["n_hosts"] if sums["n_hosts"] else None)}
        | _mean_and_worst(attacked, lambda e: e["cases"]["hosts_found"] / e["cases"]["n_hosts"]),
        "precision": {"pooled": _rounded(precision(sums))} | _mean_and_worst(attacked, lambda e: precision(e["cases"])),
        "benign_days": {"days": sum(e["days"] for e in benign.values()), "cases": _rounded(sum(map(_shown, benign.values())))}
        | _mean_and_worst(benign, lambda e: e["cases"]["cases_per_day"], highest=True),
        "first_right": _rounded(median) if np.isfinite(median) else None,
    }  # fmt: skip


def _shown(entry: Mapping[str, Any]) -> float:
    """Return the number of cases of medium severity or more."""
    return float(sum(entry["cases"][f"cases_{s}"] for s in Severity if s.rank >= Severity.MEDIUM.rank))


def _benign(networks: Networks) -> dict[str, dict[str, Any]]:
    return {n: e for n, e in networks.items() if e["n_attack"] == _BENIGN_NETWORK and e["n_benign"] >= BENIGN_FROM}


def _counts(entry: Mapping[str, Any]) -> bool:
    return entry["n_attack"] >= ATTACKS_FROM and entry["n_benign"] >= BENIGN_FROM


def _recalls(networks: Networks, detector: str) -> dict[str, Any]:
    def of(metric: str) -> dict[str, Any]:
        def value(entry: Mapping[str, Any]) -> Any:
            return entry["detectors"][detector][metric]

        counted = [e for e in networks.values() if _counts(e) and _is_number(value(e))]
        rows = sum(e["n_attack"] for e in counted)
        pooled = sum(value(e) * e["n_attack"] for e in counted) / rows if rows else None
        return _mean_and_worst(networks, value) | {"pooled": _rounded(pooled)}

    return {
        "recall_at_fpr_1pct": of("recall_at_fpr_1pct"), "recall_at_fpr_0_1pct": of("recall_at_fpr_0_1pct"),
        "pair_recall_at_fpr_1pct": of("pair_recall_at_fpr_1pct"),
    }  # fmt: skip


def _group(networks: Networks, group: str) -> dict[str, Any]:
    return {
        fpr: _mean_and_worst(networks, lambda e, fpr=fpr: e["detectors"]["hybrid"][f"{group}_{fpr}"])  # type: ignore[misc]
        for fpr in ("at_fpr_1pct", "at_fpr_0_1pct")
    }


def _found(networks: Networks, what: str) -> dict[str, Any]:
    """Return hosts or pairs with an attack, how many of them have an alert, and the mean share over networks with any."""
    n, found = (sum(e["own"][key] for e in networks.values()) for key in (f"n_{what}", f"{what}_found"))
    share = _mean_and_worst(networks, lambda e: e["own"][f"{what}_found"] / e["own"][f"n_{what}"] if e["own"][f"n_{what}"] else None)
    return {"n": _rounded(n), "found": _rounded(found), "pooled": _rounded(found / n if n else None)} | share


def _alerts(networks: Networks) -> dict[str, Any]:
    """Return all alerts, the right and the wrong ones, and their precision; alerts without a labelled row are neither."""
    n, right, wrong = (sum(e["own"][key] for e in networks.values()) for key in ("alerts", "alerts_right", "alerts_wrong"))

    def precision(entry: Mapping[str, Any]) -> float | None:
        judged = entry["own"]["alerts_right"] + entry["own"]["alerts_wrong"]
        return entry["own"]["alerts_right"] / judged if judged and entry["n_attack"] else None

    pooled = right / (right + wrong) if right + wrong else None
    return {"n": _rounded(n), "right": _rounded(right), "wrong": _rounded(wrong), "precision": _rounded(pooled)} | _mean_and_worst(
        networks, precision
    )


def _mean_and_worst(networks: Networks, value: Callable[[dict[str, Any]], Any], *, highest: bool = False) -> dict[str, Any]:
    values = {n: v for n, e in networks.items() if _is_number(v := value(e))}
    mean = float(np.mean(list(values.values()))) if values else None
    return {"mean": _rounded(mean), "networks": len(values), "worst": _worst(values, highest=highest)}


def _worst(values: Mapping[str, Any], *, highest: bool) -> dict[str, Any] | None:
    values = {n: v for n, v in values.items() if _is_number(v)}
    if not values:
        return None
    name = (max if highest else min)(values, key=lambda n: values[n])
    return {"network": name, "value": _rounded(values[name])}


def _is_number(value: Any) -> bool:
    return value is not None and bool(np.isfinite(value))


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), 4)
