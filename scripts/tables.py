"""`scripts/tables.py [METRICS.json]`: writes the measured tables into the documents.

`benchmarks/latest.json` (`make bench`) goes into docs/benchmarks.md; METRICS.json (`mlids evaluate --captures benchmarks/captures.toml
--data FOLDER --leave-one-out --out METRICS.json`) goes into docs/detection.md, docs/benchmarks.md and the headline of README.md.
"""

import json
import sys
from pathlib import Path
from typing import Any

from mlids.training.cross_capture.tables import (
    alert_table,
    case_log_table,
    case_network_table,
    case_table,
    network_table,
    number,
    recall_table,
    share,
    voice_table,
    worst,
)

ROOT = Path(__file__).resolve().parent.parent


def markdown(table):
    """Return a table as Markdown."""
    lines = [f"| {' | '.join(table.columns)} |", "|---" + "|---:" * (len(table.columns) - 1) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in table.rows)])


def measured(metrics):
    """Return the results section of docs/detection.md: recall and alerts, as means over networks."""
    summary, seeds = metrics["summary"], len(metrics["about"]["seeds"])
    entries = metrics["networks"]["true_labels"].values()
    about = (
        f"By `mlids evaluate --captures benchmarks/captures.toml --leave-one-out --seeds {seeds}` on {summary['true_labels']['networks']} public networks of "
        f"{summary['true_labels']['laboratories']} laboratories ({sum(e['n_attack'] for e in entries):,} attack and {sum(e['n_benign'] for e in entries):,} benign rows). "
        f"Each network is tested by models that saw none of its laboratory; the numbers are means of {seeds} training{'s' if seeds > 1 else ''}."
    )
    spread = ""
    if seeds > 1:
        both = (
            f"{number(summary[kind]['spread']['recall_at_fpr_1pct'])} ({kind.replace('_', ' ')})"
            for kind in ("implanted_only", "true_labels")
        )
        spread = f"\n\nSpread of the mean recall at 1 % over the trainings (largest minus smallest): {', '.join(both)}."
    ordered = [f"{name} ({n:,} rows)" for name, n in metrics["about"]["sorted"].items()]
    note = f"\n\nSorted, because rows were out of order: {', '.join(ordered)}." if ordered else ""
    return f"{about}\n\n{markdown(recall_table(summary))}\n\n{markdown(alert_table(summary))}{spread}{note}"


def headline(metrics):
    """Return the sentences of README.md: what a new site gets, and what is known beside it."""
    bare, true = (metrics["summary"][kind] for kind in ("implanted_only", "true_labels"))
    one = bare["detectors"]["hybrid"]["recall_at_fpr_1pct"]
    c2, scans = (bare["groups"][g]["at_fpr_1pct"] for g in ("c2", "scans"))
    days, hosts = bare["benign_days"], bare["hosts"]
    return (
        f"Measured on {bare['networks']} public networks of {bare['laboratories']} laboratories, each by models that saw no capture of its laboratory and no observed attack, as at a new site: "
        f"recall at 1 % false positives {number(one['mean'])} as the mean over the {one['networks']} networks with enough attacks and benign rows (worst: {worst(one['worst'])}); "
        f"command and control {number(c2['mean'])} ({c2['networks']} networks), scans {number(scans['mean'])} ({scans['networks']}); "
        f"{hosts['found']:,.0f} of {hosts['n']:,.0f} attacked or infected hosts have an alert; on {days['networks']} networks without attacks "
        f"{number(days['mean'], 1)} alerts a day (worst: {worst(days['worst'], 1)}). With observed attacks of other networks in training the recall is "
        f"{number(true['detectors']['hybrid']['recall_at_fpr_1pct']['mean'])}. Ranking pairs of hosts by their number of conns alone gives {number(true['control']['mean'])}. "
        "The limits of the behaviours and the weights of the scores were chosen with these networks at hand: others will show less."
    )


def goals(metrics):
    """Return the accuracy table of docs/benchmarks.md."""
    bare, true = (metrics["summary"][kind] for kind in ("implanted_only", "true_labels"))
    one, tenth = (true["detectors"]["hybrid"][m] for m in ("recall_at_fpr_1pct", "recall_at_fpr_0_1pct"))
    above, days, distance = true["benign_above"], true["benign_days"], metrics["summary"]["distance"]["recall_at_fpr_1pct"]
    rows = [
        ("implanted attacks only: recall at 1 %, mean over networks; distance to true labels",
         f"{number(bare['detectors']['hybrid']['recall_at_fpr_1pct']['mean'])}; {number(distance)}", "≥ 0.80; ≤ 0.03"),
        (f"recall at 1 % of own benign rows, mean over the {one['networks']} networks with attacks", number(one["mean"]), "≥ 0.85"),
        ("the same, worst network", worst(one["worst"]), ""),
        ("pooled; at 0.1 % pooled", f"{number(one['pooled'])}; {number(tenth['pooled'])}", "≥ 0.97; ≥ 0.85"),
        ("hybrid below its best voice, worst network", worst(true["regret"]["worst"]), "≤ 0.05"),
        ("benign rows above the product's own threshold, worst client network; mean", f"{worst(above['worst_client'], as_text=share)}; {share(above['mean'])}", "≤ 2 %; ≤ 0.5 %"),
        ("alerts on benign days, worst site; mean", f"{worst(days['worst'], 1)}; {number(days['mean'], 1)}", "≤ 3; ≤ 1"),
        ("attacked or infected hosts with an alert", number(true["hosts"]["pooled"]), "≥ 0.90"),
        ("control: number of conns of the pair alone, recall at 1 %", number(true["control"]["mean"]), ""),
        ("for comparison, too optimistic: a random split by rows, PR-AUC at 1 %", number(metrics["random_split"].get("forest_pr_auc_at_1pct"), 3), ""),
    ]  # fmt: skip
    return "\n".join(["| | measured | goal |", "|---|---:|---:|", *(f"| {a} | {b} | {c} |" for a, b, c in rows)])


def put(path, mark, text):
    """Replace the text between two markers."""
    before, _, rest = path.read_text(encoding="utf-8").partition(f"<!-- {mark} -->\n")
    _, _, after = rest.partition(f"<!-- /{mark} -->")
    assert rest and after, f"{path} has no markers {mark}"
    path.write_text(f"{before}<!-- {mark} -->\n{text}\n<!-- /{mark} -->{after}", encoding="utf-8")


def benches(rows):
    """Return the table of `make bench`, with the machines it was measured on."""
    machines = list(dict.fromkeys(r["machine"] for r in rows))
    out = [f"Measured on {' and on '.join(machines)}.", "", "| what | measured | goal | against | met |", "|---|---|---|---|---|"]
    for r in rows:
        value = f"{r['value']:,.0f}" if r["value"] >= 100 else f"{r['value']:.2f}" if r["value"] >= 1 else f"{r['value']:.3f}"
        sign = "≤" if r["better"] == "lower" else "≥"
        out.append(f"| `{r['name']}` | {value} {r['unit']} | {sign} {r['goal']:,g} | {r['peer']} | {'yes' if r['ok'] else '**no**'} |")
    return "\n".join(out)


def put_reference_cases(path, found):
    """Write the cases under the reference model, by network and by the log that is taken away."""
    put(path, "case-networks", markdown(case_network_table(found["networks"])))
    put(path, "case-logs", markdown(case_log_table(found["without"])))


def write(metrics: dict[str, Any], root: Path = ROOT) -> None:
    """Write the tables of an evaluation into the documents below `root`."""
    detection = root / "docs" / "detection.md"
    put(detection, "measured", measured(metrics))
    put(detection, "networks", markdown(network_table(metrics["networks"])))
    put(detection, "regret", markdown(voice_table(metrics)))
    put(detection, "cases", markdown(case_table(metrics)))
    put_reference_cases(detection, metrics["reference"])
    put(root / "docs" / "benchmarks.md", "acc", goals(metrics))
    put(root / "README.md", "headline", headline(metrics))


if __name__ == "__main__":
    put(ROOT / "docs" / "benchmarks.md", "bench", benches(json.loads((ROOT / "benchmarks" / "latest.json").read_text(encoding="utf-8"))))
    if sys.argv[1:]:
        write(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
