"""What `mlids elastic install` puts into Elasticsearch, as requests: policy, component templates, index template, roles, the writer's key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# Raised with every change of what follows. Version 1 is the index template that the sink itself put there until 0.1; it has no number in it.
TEMPLATE_VERSION = 3
_PRIORITY = 200
_META: dict[str, Any] = {"managed_by": "mlids", "mlids_version": TEMPLATE_VERSION}
_IP: dict[str, Any] = {"type": "ip", "ignore_malformed": True}


def _object(**fields: dict[str, Any]) -> dict[str, Any]:
    return {"properties": fields}


def _keywords(*names: str) -> dict[str, dict[str, Any]]:
    return {n: {"type": "keyword"} for n in names}


def _numbers(kind: str, *names: str) -> dict[str, dict[str, Any]]:
    return {n: {"type": kind} for n in names}


_END = _object(ip=_IP, **_keywords("address"), port={"type": "long"})
MAPPINGS: dict[str, Any] = {
    "_meta": _META,
    "dynamic": False,
    "properties": {
        **_numbers("date", "ts", "@timestamp"),
        "score": {"type": "float"},
        "src": _IP,
        "dst": _IP,
        "message": {"type": "text"},
        "event": _object(**_keywords("kind", "module", "dataset", "id"), risk_score={"type": "float"}, severity={"type": "long"}, **_numbers("date", "start", "end")),
        "rule": _object(**_keywords("name", "description")),
        "source": _END,
        "destination": _END,
        "network": _object(**_keywords("transport", "protocol")),
        "observer": _object(**_keywords("name", "product", "type")),
        "threat": _object(**_keywords("framework"), technique=_object(**_keywords("id", "name")), tactic=_object(**_keywords("id", "name"))),
        "host": _object(ip=_IP),
        "related": _object(ip=_IP),
        "mlids": _object(
            **_keywords("kind", "uids", "attack_class", "model_version", "severity", "state", "verdict", "host", "service"),
            **_numbers("float", "anomaly_score", "attack_probability"),
            **_numbers("text", "reasons", "title"),
            count={"type": "long"},
            group=_object(**_keywords("source", "target")),
            features={"type": "flattened"},
        ),
    },
}  # fmt: skip
# What the pipeline says of itself: `mlids.pipeline.health_documents`.
HEALTH_MAPPINGS: dict[str, Any] = {
    "_meta": _META,
    "dynamic": False,
    "properties": {
        **_numbers("date", "ts", "@timestamp"),
        "message": {"type": "text"},
        "event": _object(**_keywords("kind", "module", "dataset", "id")),
        "observer": _object(**_keywords("name", "product", "type")),
        "mlids": _object(
            **_keywords("model_version"),
            health=_object(
                **_keywords("part", "state", "fault", "stopped_sinks", "day", "span"),
                well={"type": "boolean"},
                **_numbers("float", "lag_s", "rows_per_s", "drift_share", "pr_auc", "alerts_per_day"),
                **_numbers("long", "rows", "rejected", "alerts", "dead_letters", "errors", "archived", "live", "late", "missing", "drifted"),
            ),
        ),
    },
}  # fmt: skip


@dataclass(frozen=True)
class Request:
    """One request to Elasticsearch; `name` is what it puts, in words."""

    name: str
    method: str
    path: str
    body: dict[str, Any]


def pattern(prefix: str) -> str:
    """Return the pattern of the indices of alerts."""
    return f"{prefix}-*"


def health_prefix(prefix: str) -> str:
    """Return the prefix of the indices of pipeline health, which the pattern of alerts does not match."""
    return f"{prefix}.health"


def _patterns(prefix: str) -> list[str]:
    return [pattern(prefix), pattern(health_prefix(prefix))]


def writer_name(prefix: str) -> str:
    """Return the name of the writer's role, which is that of its key as well."""
    return f"{prefix}-writer"


def policy(prefix: str, keep_days: int, cold_days: int) -> Request:
    """Return the lifecycle policy: an index goes `keep_days` after it was made, and is cold from `cold_days` on; 0 is never."""
    phases: dict[str, Any] = {"hot": {"min_age": "0ms", "actions": {"set_priority": {"priority": 100}}}}
    if cold_days:  # not read-only: late alerts and growing cases are written to days that are past
        phases["cold"] = {"min_age": f"{cold_days}d", "actions": {"set_priority": {"priority": 0}}}
    if keep_days:
        phases["delete"] = {"min_age": f"{keep_days}d", "actions": {"delete": {}}}
    body = {"policy": {"phases": phases, "_meta": _META | {"keep_days": keep_days, "cold_days": cold_days}}}
    return Request("lifecycle policy", "PUT", f"/_ilm/policy/{prefix}", body)


def templates(prefix: str) -> list[Request]:
    """Return all component templates, then the index templates of alerts and of pipeline health, which are composed of them."""
    health, settings = health_prefix(prefix), f"{prefix}@settings"
    parts: dict[str, dict[str, Any]] = {
        settings: {"settings": {"index": {"number_of_shards": 1, "lifecycle": {"name": prefix}}}},
        f"{prefix}@mappings": {"mappings": MAPPINGS},
        f"{health}@mappings": {"mappings": HEALTH_MAPPINGS},
    }
    marks = {"version": TEMPLATE_VERSION, "_meta": _META}
    out = [Request("component template", "PUT", f"/_component_template/{n}", {"template": part} | marks) for n, part in parts.items()]
    for name in (prefix, health):
        body = {"index_patterns": [pattern(name)], "composed_of": [settings, f"{name}@mappings"], "priority": _PRIORITY} | marks
        out.append(Request("index template", "PUT", f"/_index_template/{name}", body))
    return out


def writer_privileges(prefix: str, append_only: bool) -> dict[str, Any]:
    """Return the privileges of the writer: to write alerts and pipeline health, make their indices and see their mappings. With `append_only` nothing stored is replaced."""
    return {
        "indices": [
            {"names": _patterns(prefix), "privileges": ["create_doc" if append_only else "index", "auto_configure", "view_index_metadata"]}
        ]
    }


def roles(prefix: str, append_only: bool) -> list[Request]:
    """Return the roles of the writer and of those who read alerts."""
    reader = {"indices": [{"names": _patterns(prefix), "privileges": ["read", "view_index_metadata"]}]}
    mark = {"mlids_version": TEMPLATE_VERSION}
    return [
        Request("role", "PUT", f"/_security/role/{writer_name(prefix)}", writer_privileges(prefix, append_only) | {"metadata": mark | {"append_only": append_only}}),
        Request("role", "PUT", f"/_security/role/{prefix}-reader", reader | {"metadata": mark}),
    ]  # fmt: skip


def key(prefix: str, append_only: bool) -> Request:
    """Return the request for the writer's key, whose answer holds the secret."""
    name = writer_name(prefix)
    body = {
        "name": name,
        "role_descriptors": {name: writer_privileges(prefix, append_only)},
        "metadata": {"mlids_version": TEMPLATE_VERSION, "append_only": append_only},
    }
    return Request("key of the writer", "POST", "/_security/api_key", body)  # fmt: skip
