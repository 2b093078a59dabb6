"""What the pages show of models: versions side by side, the gate's decision on each, the moves of the production alias."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mlids.errors import MlidsError
from mlids.pipeline.models import production_facts
from mlids.pipeline.stores import open_registry, open_stores
from mlids.settings import load_settings
from mlids.text import redact

if TYPE_CHECKING:
    from mlids.training.registry import Version

SHOWN_VERSIONS = 8
_AUDIT_ROWS = 200
# Metrics side by side, in this order and in words; those that no shown version has are left out.
_WORDS = {
    "pr_auc_at_1pct": "PR-AUC at 1 % attacks", "recall_at_fpr_1pct": "attack rows found at 1 false alert in 100 benign rows",
    "recall_at_fpr_0_1pct": "the same at 1 in 1,000", "recall_at_threshold": "attack rows found at its own threshold",
    "fpr_at_threshold": "benign rows that alert at its own threshold", "attacks_found": "attacks found at its own threshold",
    "threshold": "lowest threshold (risk_score)", "alerts_per_day": "alerts a day on its latest days", "pr_auc": "PR-AUC of the rows as they are",
}  # fmt: skip


def model_list() -> dict[str, Any]:
    """Return the newest versions with metrics, aliases and the gate's last decision, what is in production, and the audit.

    A registry that does not answer is an `error`, and the audit is there all the same.
    """
    settings = load_settings()
    store = open_stores(settings).audit
    audit = store.rows(_AUDIT_ROWS)
    out: dict[str, Any] = {"audit": audit[:20], "versions": [], "metrics": [], "production": None, "error": None}
    try:
        shown = open_registry(settings).versions(SHOWN_VERSIONS)
        out["production"] = production_facts(settings)
    except MlidsError as error:
        return out | {"error": redact(str(error))}
    gates = _gates(audit)
    out["versions"] = [_facts(v, gates.get(v.version)) | {"served": store.was_in_production(v.version)} for v in shown]
    names = [n for n in _WORDS if any(n in (v.metrics or {}) for v in shown)]
    out["metrics"] = [(_WORDS[n], [_number((v.metrics or {}).get(n)) for v in shown]) for n in names]
    return out


def _facts(version: Version, gate: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "version": version.version, "aliases": sorted(version.aliases), "gate": gate, "snapshot": (version.tags or {}).get("snapshot_id"),
        "run_id": version.run_id, "trained": (version.tags or {}).get("week"), "sensors": (version.tags or {}).get("sensor"),
    }  # fmt: skip


def _gates(audit: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the gate's newest decision by version: `decision`, `why`, `at`, its rules, and rows of metrics of challenger and production."""
    out: dict[str, dict[str, Any]] = {}
    for row in audit:  # the newest first
        if row["gate"] is None or row["to_version"] is None or row["to_version"] in out:
            continue
        try:
            decided = json.loads(row["gate"])
            mine, theirs = decided["challenger"], decided["production"] or {}
            rows = [(_WORDS.get(name, name), _number(value), _number(theirs.get(name))) for name, value in mine.items()]
            rules = [(str(c["rule"]), bool(c["held"]), str(c["text"])) for c in decided.get("checks", ())]  # older audits have none
        except (ValueError, TypeError, KeyError, AttributeError):
            continue
        decision = "refused" if row["action"] == "refuse" else "promoted" if decided.get("passed") else "forced"
        against = row["from_version"] or "the reference model"
        out[row["to_version"]] = {
            "decision": decision,
            "why": row["why"],
            "at": row["at"],
            "rows": rows,
            "rules": rules,
            "against": against,
        }
    return out


def _number(value: Any) -> str:
    if not isinstance(value, (int, float)) or value != value:
        return "–"
    return f"{value:,.0f}" if float(value).is_integer() and abs(value) >= 1 else f"{value:.4g}"
