"""Tables of an evaluation, as text cells: for the command line and the documents. Implanted attacks only is the first row of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mlids.training.cross_capture.listing import GROUPS
from mlids.training.metrics import VOICES

# What a new site gets comes first: it has no labels of its own.
MODELS = {"implanted_only": "implanted attacks only", "true_labels": "true labels of other networks"}
_GROUP_TITLES = {"c2": "C2", "scans": "scans", "others": "other attacks"}


@dataclass(frozen=True)
class Table:
    """A title, column names, and rows of as many cells. All columns but the first are numbers, or begin with one."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def tables(metrics: dict[str, Any]) -> list[Table]:
    """Return the tables of what `evaluate` returned: recall, alerts, networks, voices, cases."""
    return [
        recall_table(metrics["summary"]), alert_table(metrics["summary"]), network_table(metrics["networks"]), voice_table(metrics),
        case_table(metrics), case_network_table(metrics["reference"]["networks"]), case_log_table(metrics["reference"]["without"]),
    ]  # fmt: skip


def recall_table(summary: dict[str, Any]) -> Table:
    """Return mean recall over networks under both models, their distance, and the control."""
    groups = [_GROUP_TITLES[g] for g in GROUPS]
    columns = (
        "models trained on",
        "networks",
        "recall at 1 %",
        "worst network",
        "at 0.1 %",
        "pooled at 1 %",
        "pooled at 0.1 %",
        "a day scored at once, at 1 %",
        "at 0.1 %, so",
        "pairs",
        *groups,
    )
    rows = [_recall_row(title, summary[kind]) for kind, title in MODELS.items()]
    distance = summary["distance"]
    rows.insert(1, _filled(columns, {"models trained on": "distance to true labels", "recall at 1 %": number(distance["recall_at_fpr_1pct"]),
                                     "at 0.1 %": number(distance["recall_at_fpr_0_1pct"])}))  # fmt: skip
    control = summary["true_labels"]["control"]
    rows.append(_filled(columns, {"models trained on": "control: number of conns of the pair", "networks": str(control["networks"]),
                                  "recall at 1 %": number(control["mean"]), "worst network": worst(control["worst"]),
                                  "pairs": number(control["pairs"]["mean"])}))  # fmt: skip
    return Table("recall at 1 % (0.1 %) of each network's own benign rows", columns, tuple(rows))


def _recall_row(title: str, found: dict[str, Any]) -> tuple[str, ...]:
    hybrid = found["detectors"]["hybrid"]
    one, tenth = hybrid["recall_at_fpr_1pct"], hybrid["recall_at_fpr_0_1pct"]
    groups = [f"{number(g['mean'])} ({g['networks']})" for g in (found["groups"][name]["at_fpr_1pct"] for name in GROUPS)]
    day = [number(found["detectors"]["day"][m]["mean"]) for m in ("recall_at_fpr_1pct", "recall_at_fpr_0_1pct")]
    pairs = number(hybrid["pair_recall_at_fpr_1pct"]["mean"])
    return (
        title, str(found["networks_with_attacks"]), number(one["mean"]), worst(one["worst"]), number(tenth["mean"]), number(one["pooled"]),
        number(tenth["pooled"]), *day, pairs, *groups,
    )  # fmt: skip


def alert_table(summary: dict[str, Any]) -> Table:
    """Return what the product's own threshold gives under both models."""
    columns = ("models trained on", "hosts with an alert", "pairs with an alert", "right alerts", "precision, mean", "alerts per benign day", "worst site",
               "benign rows above", "worst client network")  # fmt: skip
    rows = []
    for kind, title in MODELS.items():
        found = summary[kind]
        hosts, pairs, alerts, days, above = (found[k] for k in ("hosts", "pairs_found", "alerts", "benign_days", "benign_above"))
        rows.append((
            title, f"{number(hosts['mean'])} ({hosts['found']:,.0f} of {hosts['n']:,.0f})", f"{number(pairs['mean'])} ({pairs['found']:,.0f} of {pairs['n']:,.0f})",
            f"{number(alerts['precision'])} ({alerts['right']:,.0f} of {alerts['right'] + alerts['wrong']:,.0f})", number(alerts["mean"]),
            f"{number(days['mean'], 1)} ({days['networks']} sites, {number(days['days'], 1)} days)", worst(days["worst"], 1),
            share(above["mean"]), worst(above["worst_client"], as_text=share),
        ))  # fmt: skip
    return Table("alerts at the product's own threshold", columns, tuple(rows))


def network_table(networks: dict[str, dict[str, Any]]) -> Table:
    """Return one row per network: recalls under both models, then what the models of true labels alert on."""
    columns = ("network", "attack rows", "benign rows", "implanted only, at 1 %", "true labels, at 1 %", "at 0.1 %", "pairs", "control", "hosts",
               "right and wrong alerts", "alerts a day", "benign rows above")  # fmt: skip
    rows = []
    for name, bare in networks["implanted_only"].items():
        entry = networks["true_labels"][name]
        own, hybrid = entry["own"], entry["detectors"]["hybrid"]
        rows.append((
            name, f"{entry['n_attack']:,}", f"{entry['n_benign']:,}", number(bare["detectors"]["hybrid"]["recall_at_fpr_1pct"]),
            number(hybrid["recall_at_fpr_1pct"]), number(hybrid["recall_at_fpr_0_1pct"]), number(hybrid["pair_recall_at_fpr_1pct"]),
            number(entry["control"]["recall_at_fpr_1pct"]), f"{own['hosts_found']:,.0f} of {own['n_hosts']:,.0f}" if own["n_hosts"] else "–",
            f"{own['alerts_right']:,.0f}, {own['alerts_wrong']:,.0f}", number(own["alerts_per_day"], 1), share(own["benign_above"]),
        ))  # fmt: skip
    return Table("each network, by models that saw no capture of its laboratory", columns, tuple(rows))


def voice_table(metrics: dict[str, Any]) -> Table:
    """Return the recall of each voice alone and of the hybrid, as means and by network, and the regret."""
    columns = ("network", *(f"{v} alone" for v in VOICES), "hybrid", "regret", "regret, implanted only")
    networks, means = metrics["networks"], metrics["summary"]
    rows = [_mean_voices(title, means[kind]) for kind, title in MODELS.items()]
    for name, entry in networks["true_labels"].items():
        if entry["regret"] is not None:
            recalls = [number(entry["detectors"][d]["recall_at_fpr_1pct"]) for d in (*VOICES, "hybrid")]
            rows.append((name, *recalls, number(entry["regret"]), number(networks["implanted_only"][name]["regret"])))
    return Table("the regret: recall at 1 % of the best voice of a network less that of the hybrid", columns, tuple(rows))


def _mean_voices(title: str, found: dict[str, Any]) -> tuple[str, ...]:
    recalls = [number(found["detectors"][d]["recall_at_fpr_1pct"]["mean"]) for d in (*VOICES, "hybrid")]
    return (f"mean, {title}", *recalls, f"{number(found['regret']['mean'])}; worst {worst(found['regret']['worst'])}", "")


_CASE_COLUMNS = ("hosts in a case", "in an exact one", "mean over networks", "worst network", "right, exact, wrong and unknown cases", "precision", "rank of the first right case, median",
                 "critical, high, medium, low", "cases per benign day", "worst site")  # fmt: skip


def case_table(metrics: dict[str, Any]) -> Table:
    """Return the cases under the reference model and both trained models."""
    rows = [("the reference model", *_cases(metrics["reference"]["summary"]))]
    rows += [(title, *_cases(metrics["summary"][kind]["cases"])) for kind, title in MODELS.items()]
    return Table("cases of medium severity or more", ("models trained on", *_CASE_COLUMNS), tuple(rows))


def case_log_table(without: dict[str, Any]) -> Table:
    """Return the cases under the reference model when a log is not read; logs that make the same difference are one row."""
    alike: dict[tuple[bool, tuple[str, ...]], list[str]] = {}
    for i, (log, found) in enumerate(without.items()):
        alike.setdefault((i == 0, _cases(found)), []).append(log)  # the first is nothing
    rows = [(", ".join(logs), *cells) for (_, cells), logs in alike.items()]
    return Table(
        "cases under the reference model without a log (each of those in a row alone)", ("taken away", *_CASE_COLUMNS), tuple(rows)
    )


def _cases(found: dict[str, Any]) -> tuple[str, ...]:
    days, rank = found["benign_days"], found["first_right"]
    return (
        f"{number(found['hosts']['pooled'])} ({found['hosts_found']:,.0f} of {found['n_hosts']:,.0f})", f"{found['hosts_exact']:,.0f}", number(found["hosts"]["mean"]),
        worst(found["hosts"]["worst"]), _outcomes(found), number(found["precision"]["pooled"]), number(rank, 1), _severities(found["severity"]),
        f"{number(days['mean'], 1)} ({days['cases']:,.0f} in {days['days']:.1f} days, {days['networks']} sites)",
        worst(days["worst"], 1),
    )  # fmt: skip


def _outcomes(found: dict[str, Any]) -> str:
    return ", ".join(f"{found[f'cases_{k}']:,.0f}" for k in ("right", "exact", "wrong", "unknown"))


def _severities(counts: dict[str, Any]) -> str:
    return ", ".join(f"{counts[s]:,.0f}" for s in ("critical", "high", "medium", "low"))


def case_network_table(networks: dict[str, dict[str, Any]]) -> Table:
    """Return one row per network: its cases under the reference model."""
    columns = ("network", "hosts in a case, in an exact one", "right, exact, wrong and unknown cases", "rank of the first right case",
               "critical, high, medium, low", "cases a day")  # fmt: skip
    rows = []
    for name, entry in networks.items():
        found = entry["cases"]
        hosts = f"{found['hosts_found']:,.0f}, {found['hosts_exact']:,.0f} of {found['n_hosts']:,.0f}" if found["n_hosts"] else "–"
        severities = _severities({s: found[f"cases_{s}"] for s in ("critical", "high", "medium", "low")})
        rows.append((name, hosts, _outcomes(found), number(found["first_right"], 0), severities, number(found["cases_per_day"], 1)))
    return Table("cases of each network under the reference model", columns, tuple(rows))


def _filled(columns: Sequence[str], cells: dict[str, str]) -> tuple[str, ...]:
    return tuple(cells.get(c, "") for c in columns)


def number(value: float | None, digits: int = 2) -> str:
    """Return a number as text; – where it could not be measured."""
    return "–" if value is None else f"{value:.{digits}f}"


def share(value: float | None) -> str:
    """Return a share as per cent."""
    return "–" if value is None else f"{100 * value:.2f} %"


def worst(found: dict[str, Any] | None, digits: int = 2, *, as_text: Callable[[float], str] | None = None) -> str:
    """Return the worst value and the network that has it."""
    if found is None:
        return "–"
    return f"{as_text(found['value']) if as_text else number(found['value'], digits)} {found['network']}"
