"""The model card: training data, metrics and limits of a version, as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlids.text import markdown
from mlids.training.metrics import DETECTORS
from mlids.training.train import Trained

_METRICS = {
    "pr_auc_at_1pct": "PR-AUC at 1 % attacks", "recall_at_fpr_1pct": "recall at 1 % FPR", "recall_at_fpr_0_1pct": "recall at 0.1 % FPR",
    "recall_site": "recall at the site's threshold", "actual_fpr_site": "false alarms at the site's threshold",
}  # fmt: skip


def model_card(trained: Trained, snapshot: Mapping[str, Any], alerts_per_day: float, evaluation: Mapping[str, Any] | None) -> str:
    """Return the card of a trained version. `evaluation` has the metrics of `mlids evaluate`; None when it was not run."""
    spec = trained.spec
    sources = ", ".join(f"{n:,} {markdown(name)}" for name, n in snapshot["label_sources"].items())
    attacks = ", ".join(f"{markdown(name)} ({n:,})" for name, n in snapshot["attacks"].items())
    lines = [
        "# Model card",
        "",
        f"A RandomForest (known attacks) and an IsolationForest (unknown ones) on {len(spec.features)} features of Zeek's conn.log, "
        f"version {spec.features_version}. No address, port number or clock time is a feature.",
        "",
        "## Trained on",
        f"- sensors {', '.join(snapshot['sensors'])}, days {snapshot['days'][0]} to {snapshot['days'][-1]}: {snapshot['rows_seen']:,} of {snapshot['rows_there']:,} conns read, "
        f"{snapshot['rows']:,} examples kept (snapshot `{snapshot['id']}`)",
        f"- labels: {sources}",
        f"- attacks: {attacks}",
        "",
        "## Threshold",
        f"risk_score {spec.threshold:.1f}, set on the latest days of this site for at most {spec.budget_per_day:g} alerts a day; "
        f"on these days it gives {alerts_per_day:.1f}.",
        "",
        "## On rows held out from training",
        "Later days of this site, and implanted attacks that it was not trained on. These metrics compare models; real attacks may be harder to find.",
        "",
        *_table(dict(trained.metrics.items())),
        "",
        "## On captures of other networks",
    ]
    if evaluation is None:
        lines.append("Not measured. `mlids evaluate --out $MLIDS_HOME/evaluation.json` on labelled logs adds the metrics here.")
    else:
        about = evaluation["about"]
        lines += [
            f"{len(about['test'])} captures, {evaluation['pooled']['n_attack']:,} attack and {evaluation['pooled']['n_benign']:,} benign rows, "
            f"{len(about['seeds'])} trainings{', each capture left out once' if about['leave_one_out'] else ''}. Pooled:",
            "",
            *_table({d: evaluation["pooled"][d] for d in DETECTORS if d in evaluation["pooled"]}),
            "",
            f"Mean over captures, hybrid: recall at 1 % FPR {_shown(evaluation['macro']['hybrid']['recall_at_fpr_1pct'])}.",
        ]
    lines += [
        "",
        "## Limits",
        "Not measured: attacks inside encrypted sessions with ordinary counts, sizes and times; networks unlike those it was trained on.",
    ]
    return "\n".join(lines) + "\n"


def _table(rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    names = [n for n in _METRICS if any(n in metrics for metrics in rows.values())]
    head = ["| detector | " + " | ".join(_METRICS[n] for n in names) + " |", "|---|" + "---:|" * len(names)]
    return head + [f"| {detector} | " + " | ".join(_shown(metrics.get(n)) for n in names) + " |" for detector, metrics in rows.items()]


def _shown(value: float | None) -> str:
    return "–" if value is None or value != value else f"{value:.3f}"
