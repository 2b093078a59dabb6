"""The case document for sinks: Elastic Common Schema like an alert, with the case itself under `mlids`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlids.alerts.document import endpoint, is_ip

# Elastic Security's numbers of its four severities.
_ECS_SEVERITY = {"low": 21, "medium": 47, "high": 73, "critical": 99}
EVIDENCE_SENT = 20


def case_document(case: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document of a stored case (`CaseStore`). `event.id` is the case's id, so that a case that grows replaces itself."""
    strongest = case["evidence"][0]
    targets = [e["target"] for e in case["evidence"] if e["target"]]
    out: dict[str, Any] = {
        "ts": case["first"], "@timestamp": case["first"], "score": case["score"], "src": strongest["source"] or case["host"], "dst": strongest["target"] or "",
        "message": f"{case['severity']} case: {case['title']}",
        "event": {
            "kind": "alert", "module": "mlids", "dataset": "mlids.case", "id": case["id"], "start": case["first"], "end": case["last"],
            "risk_score": case["score"], "severity": _ECS_SEVERITY[case["severity"]],
        },
        "rule": {"name": "case", "description": case["title"]},
        "source": endpoint(strongest["source"], None), "destination": endpoint(strongest["target"] or "", strongest["port"]),
        "host": {"ip": [case["host"]] if is_ip(case["host"]) else []},
        "related": {"ip": [a for a in dict.fromkeys([case["host"], *targets]) if is_ip(a)][:EVIDENCE_SENT]},
        "observer": {"name": case["sensor"], "product": "Zeek", "type": "sensor"},
        "mlids": {
            "kind": "case", "severity": case["severity"], "state": case["state"], "verdict": case["verdict"], "title": case["title"],
            "host": case["host"], "service": case["service"], "uids": case["uids"], "next_steps": case["next_steps"],
            "count": sum(e["count"] for e in case["evidence"]), "reasons": "; ".join(e["sentence"] for e in case["evidence"][:5]),
            "evidence": [{n: e[n] for n in ("kind", "log", "score", "sentence", "text", "count")} for e in case["evidence"][:EVIDENCE_SENT]],
        },
    }  # fmt: skip
    if case["attack"]:
        out["threat"] = {
            "framework": "MITRE ATT&CK",
            "technique": {"id": [t["id"] for t in case["attack"]], "name": [t["name"] for t in case["attack"]]},
            "tactic": {"name": list(dict.fromkeys(n for t in case["attack"] for n in t["tactics"]))},
        }
    return out
