"""`scripts/tables.py [METRICS.json]`: writes the measured tables into the documents.

`benchmarks/latest.json` (`make bench`) goes into docs/benchmarks.md; METRICS.json (`mlids evaluate --leave-one-out --out METRICS.json`)
goes into docs/detection.md and docs/benchmarks.md. The headline numbers of README.md are copied from docs/benchmarks.md by hand.
"""

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHOWN = ("pr_auc_at_1pct", "recall_at_fpr_1pct", "recall_at_fpr_0_1pct", "recall_site", "actual_fpr_site", "alerts_per_day")


def short(name):
    return re.sub(r"(\.?conn\.log\.labeled(\.csv)?|-labeled\.csv|-zeek-scenario-malicious)$", "", name)


def line(name, entry):
    metrics = [entry[m] for m in SHOWN]
    return f"| {name} | " + " | ".join(f"{v:.3f}" for v in metrics[:-1]) + f" | {metrics[-1]:.1f} |"


def measured(found):
    """Return the results section of docs/detection.md."""
    return "\n".join([*_results(found), *_spread(found), *_by_attack(found), *_benign_captures(found)])


def _results(found):
    about, pooled, macro, bare = found["about"], found["pooled"], found["macro"], found["implanted_only"]["pooled"]
    n = len(about["seeds"])
    return [
        f"By `mlids evaluate --leave-one-out --seeds {n}` on {len(about['test'])} public captures (Stratosphere IPS and IoT-23: five of home devices and bots, two mixed days, "
        f"one remote-access trojan; {pooled['n_attack']:,} attack and {pooled['n_benign']:,} benign rows); each capture is tested by models trained on the others. "
        f"Means of {n} trainings; `scripts/tables.py` writes the tables.",
        "",
        "| | PR-AUC at 1 % | recall at 1 % FPR | at 0.1 % | recall, site threshold | false positive rate there | alerts a day |",
        "|---|---:|---:|---:|---:|---:|---:|",
        *(line(f"pooled, {d}", pooled[d]) for d in ("forest", "isolation", "unsupervised", "hybrid")),
        *(line(f"mean over captures, {d}", macro[d]) for d in ("unsupervised", "hybrid")),
        *(line(f"pooled, only implanted attacks in training, {d}", bare[d]) for d in ("forest", "hybrid")),
        *(line(f"{short(c)} ({e['all']['n_attack']:,} attacks), hybrid", e["all"]["hybrid"]) for c, e in found["captures"].items()),
    ]


def _spread(found):
    n = len(found["about"]["seeds"])
    if n < 2:
        return []
    spread, mean = found["pooled"]["hybrid"]["spread"], found["macro"]["hybrid"]["spread"]
    alone = found["implanted_only"]["pooled"]["forest"]["spread"]
    return [
        "",
        f"Spread over the {n} trainings (largest minus smallest), hybrid: PR-AUC {spread['pr_auc_at_1pct']:.3f}, recall at 1 % {spread['recall_at_fpr_1pct']:.3f}, "
        f"at 0.1 % {spread['recall_at_fpr_0_1pct']:.3f}; mean over captures, recall at 1 % {mean['recall_at_fpr_1pct']:.3f}. "
        f"RandomForest on implanted attacks only, PR-AUC: {alone['pr_auc_at_1pct']:.3f}.",
    ]


def _by_attack(found):
    out = [
        "",
        "Without any label (`unsupervised`), by attack and by pair of hosts (the risk of a pair is that of its highest row), recall at 1 % of benign rows and pairs:",
        "",
        "| capture, its name for the attack | rows | recall | pairs | recall |",
        "|---|---:|---:|---:|---:|",
    ]
    for capture, entries in found["captures"].items():
        for name, e in entries.items():
            if name != "all":
                pairs, alone = e["n_attack_pairs"], e["unsupervised"]
                out.append(
                    f"| {short(capture)}, {name} | {e['n_attack']:,} | {alone['recall_at_fpr_1pct']:.3f} | "
                    f"{pairs:,} of {pairs + e['n_benign_pairs']:,} | {alone['pair_recall_at_fpr_1pct']:.3f} |"
                )
    return out


def _benign_captures(found):
    each = "; ".join(
        f"{short(c)} {e['n_benign']:,} rows, {e['hybrid']['alerts_per_day']:.1f} alerts a day" for c, e in found["benign_days"].items()
    )
    budget = found["about"]["budget_per_day"]
    return ["", f"Captures without attacks, at the threshold set on their first third (alert budget {budget:.0f} a day): {each}."]


def goals(found):
    """Return the accuracy table of docs/benchmarks.md."""
    pooled, macro, bare = found["pooled"], found["macro"], found["implanted_only"]["pooled"]
    hybrid = pooled["hybrid"]
    quiet = "; ".join(f"{e['hybrid']['alerts_per_day']:.1f}" for e in found["benign_days"].values())
    rows = [
        ("hybrid, PR-AUC at 1 % attacks, pooled", f"{hybrid['pr_auc_at_1pct']:.3f}", "≥ 0.95"),
        ("hybrid, recall at 1 % false positives, pooled", f"{hybrid['recall_at_fpr_1pct']:.3f}", "≥ 0.97"),
        (f"the same, mean over the {macro['captures']} captures with attacks", f"{macro['hybrid']['recall_at_fpr_1pct']:.3f}", "≥ 0.80"),
        ("hybrid, recall at 0.1 %, pooled", f"{hybrid['recall_at_fpr_0_1pct']:.3f}", "≥ 0.80"),
        (
            "hybrid, recall at the threshold set from the site's own traffic; false positive rate there",
            f"{hybrid['recall_site']:.3f}; {hybrid['actual_fpr_site']:.3f}",
            "≥ 0.85; ≤ 0.015",
        ),
        (
            "without any label (IsolationForest and behaviours), recall at 1 %, pooled",
            f"{pooled['unsupervised']['recall_at_fpr_1pct']:.3f}",
            "",
        ),
        ("RandomForest trained on implanted attacks only, PR-AUC at 1 %", f"{bare['forest']['pr_auc_at_1pct']:.3f}", "≥ 0.70"),
        (
            f"alerts a day on {len(found['benign_days'])} benign captures at a budget of {found['about']['budget_per_day']:.0f}",
            quiet,
            "≤ 20",
        ),
        (
            "for comparison, too optimistic: a random split by rows, PR-AUC at 1 %",
            f"{found['random_split']['forest_pr_auc_at_1pct']:.3f}",
            "",
        ),
    ]
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


if __name__ == "__main__":
    put(ROOT / "docs" / "benchmarks.md", "bench", benches(json.loads((ROOT / "benchmarks" / "latest.json").read_text(encoding="utf-8"))))
    if sys.argv[1:]:
        metrics = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
        put(ROOT / "docs" / "detection.md", "measured", measured(metrics))
        put(ROOT / "docs" / "benchmarks.md", "acc", goals(metrics))
