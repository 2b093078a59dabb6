"""`python -m scripts.reference_model [--curve]`: writes the reference model and its SHA-256 into the package (`make reference-model`).

Run it when the features, the synthetic networks or the synthetic attacks have changed. `--curve` also measures other sizes of
the RandomForest on the held-out synthetic networks, and writes the table into docs/detection.md.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from mlids.detectors.forest import BENIGN, fit_forest
from mlids.detectors.reference import DIGEST_FILE, FILE, ReferenceModel
from mlids.detectors.verdict import judge
from mlids.features.spec import NAMES
from mlids.training.metrics import detection_metrics
from mlids.training.reference import TREES, ReferenceRows, fit_reference, held_out_examples, pack_pair, reference_rows
from mlids.training.train import Pair
from scripts.tables import put

DEPTHS = (6, 8, 10)
TREE_COUNTS = (10, 25, 50, 100)


def curve(rows: ReferenceRows, pair: Pair) -> str:
    """Return the table of the model's size against what it finds on the held-out networks."""
    held = held_out_examples()
    x, label = held.select(NAMES).to_numpy().astype(np.float32), held["label"].to_numpy()
    attacks = (held["network"] + " " + held["instance"].fill_null("")).to_numpy()
    lines = [
        "| trees, deepest level | bytes | recall at 1 % FPR | at 0.1 % | PR-AUC at 1 % | threshold | attacks found | benign rows above |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, content in _sizes(rows, pair):
        model = ReferenceModel(content)
        verdicts, attack = judge(model, x), label != BENIGN
        found = detection_metrics(verdicts.risk_score, attack)
        lines.append(
            f"| {name} | {len(content):,} | {found['recall_at_fpr_1pct']:.3f} | {found['recall_at_fpr_0_1pct']:.3f} | {found['pr_auc_at_1pct']:.3f} | "
            f"{model.spec.threshold:.1f} | {len(set(attacks[attack & verdicts.alert]))} of {len(set(attacks[attack]))} | {verdicts.alert[~attack].mean():.2%} |"
        )
    return "\n".join(lines)


def _sizes(rows: ReferenceRows, pair: Pair) -> Iterator[tuple[str, bytes]]:
    """Yield a name and the content of a model for each size; the last trees and levels are left out."""
    deepest = max(e.tree_.max_depth for e in pair.forest.estimators_)
    columns = pair.spec.forest_columns
    for depth in DEPTHS:
        forest = fit_forest(rows.x[:, columns], rows.label, weights=rows.weight, depth=depth, leaf=5, trees=TREES)
        yield f"{TREES}, {depth}", pack_pair(replace(pair, forest=forest), TREES)
    for trees in TREE_COUNTS:
        yield f"**{trees}, {deepest}**" if trees == TREES else f"{trees}, {deepest}", pack_pair(pair, trees)


if __name__ == "__main__":
    rows = reference_rows()
    pair = fit_reference(rows)
    content = pack_pair(pair, TREES)
    FILE.write_bytes(content)
    DIGEST_FILE.write_text(hashlib.sha256(content).hexdigest() + "\n", encoding="ascii")
    model = ReferenceModel(content)
    sys.stdout.write(f"{FILE}: {len(content):,} bytes, {model.version}, threshold {model.spec.threshold}\n")
    if "--curve" in sys.argv[1:]:
        put(Path("docs") / "detection.md", "reference", curve(rows, pair))
