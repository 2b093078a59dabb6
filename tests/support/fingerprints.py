"""Fingerprints of features, scores and alert ids over logs: what a change of structure must leave as it is.

`python -m tests.support.fingerprints` writes `tests/golden.json` anew; do that only with a change that is meant to
change them, and say so in the changelog.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from mlids.alerts.aggregation import AlertAggregator
from mlids.detectors.bundle import Model
from mlids.detectors.verdict import judge
from mlids.features.extract import Extractor
from mlids.ingest.conns import Reading, read_conns

GOLDEN = Path(__file__).resolve().parent.parent / "golden.json"
# Below the folder of real logs.
REAL_LOGS = (
    "rita/2024-04-19", "stratosphere/008-zeek-mixed", "more/cs-comfoo", "more/android-rats", "more/sendsafe",
    "iot23/CTU-IoT-Malware-Capture-34-1.conn.log.labeled",
)  # fmt: skip


def fingerprint(path: Path, model: Model) -> dict[str, Any]:
    """Return rows, a sum of each feature and of the risk in which every row has its own weight, and the alerts' ids.

    Sums are compared with a tolerance: processors differ in the last bit of logarithms.
    """
    extractor, aggregator = Extractor(), AlertAggregator()
    rows, features, risk, ids = 0, np.zeros(0), 0.0, set()
    for conns in read_conns([path], Reading()):
        x = extractor.features(conns)
        verdicts = judge(model, x)
        weight = np.sin(np.arange(rows, rows + len(x)) * 0.7) + 1.5
        rows += len(x)
        features = (features if len(features) else np.zeros(x.shape[1])) + weight @ x.astype(np.float64)
        risk += float(weight @ verdicts.risk_score.astype(np.float64))
        ids |= {a.id[:8] for a in aggregator.add(model, conns, x, verdicts)}
    return {"rows": rows, "features": [float(f"{v:.9g}") for v in features], "risk": float(f"{risk:.9g}"), "alerts": sorted(ids)}


def main() -> None:
    """Write the fingerprints of the synthetic site and the real logs."""
    import os

    from mlids import pipeline
    from mlids.settings import load_settings
    from tests.conftest import DATA, train_home, write_site

    with tempfile.TemporaryDirectory() as folder:
        site = write_site(Path(folder) / "site" / "logs")
        os.environ["MLIDS_HOME"] = str(Path(folder) / "home")
        train_home(site)
        model = pipeline.open_registry(load_settings()).load("production")
        found = {"site": fingerprint(site, model)} | {name: fingerprint(DATA / name, model) for name in REAL_LOGS}
    GOLDEN.write_text(json.dumps(found) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
