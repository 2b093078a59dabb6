"""The alert document: Elastic Common Schema, with `ts`, `score` and `src` at the top and mlids' own facts under `mlids`."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from mlids.alerts.grouping import STORM, GroupKey
from mlids.cases.words import words_of
from mlids.evidence.attack import tactics, technique_name
from mlids.window import stamp

UIDS_KEPT = 10
# Elastic's Zeek integration calls conn.log `connection`; other datasets have Zeek's names.
_DATASETS = {"conn": "connection"}
# `network.protocol` of logs that are of one application protocol.
_PROTOCOLS = {
    "dns": "dns",
    "http": "http",
    "ssl": "tls",
    "ssh": "ssh",
    "rdp": "rdp",
    "kerberos": "kerberos",
    "dce_rpc": "dce_rpc",
    "ntlm": "ntlm",
    "smb_files": "smb",
    "smb_mapping": "smb",
}


@dataclass
class Alert:
    """One alert. It begins with its first conn; further conns of the same group raise `count` and may raise the score."""

    key: GroupKey
    ts: datetime  # of the first conn, UTC
    last_ts: datetime  # of the last conn
    score: float  # risk_score, 0 to 100: the highest of its conns
    src: str
    src_port: int | None
    dst: str
    dst_port: int | None
    proto: str
    count: int = 1
    reasons: str = ""
    uids: list[str] = field(default_factory=list)  # of the first conns, UIDS_KEPT at most
    attack_probability: float | None = None
    attack_class: str | None = None
    anomaly_score: float = 0.0
    model_version: str | None = None
    dataset: str = "conn"  # Zeek's name of the log that it comes from
    inside: bool = False  # whether `src` belongs to the site; storms count both sides apart

    @property
    def id(self) -> str:
        """The id of its group: the same however often the conns are scored."""
        return self.key.id

    @property
    def title(self) -> str:
        """One line for lists: the behaviour, and by whom or against whom."""
        name = words_of(self.key.kind).title
        if self.key.target == STORM and self.key.source:
            return f"{name} by {self.key.source}, many more of them"
        if self.key.target == STORM:
            return f"{name}, many more of them; the first is of {self.src}"
        if self.key.source:
            return f"{name} by {self.src}"
        return f"{name} against {self.dst}" if self.key.target else name

    @property
    def _why(self) -> str:
        """The reasons without the behaviour's name, which the title contains."""
        return self.reasons.removeprefix(f"{words_of(self.key.kind).title}: ")

    def document(self) -> dict[str, Any]:
        """Return the document as JSON values. Without a technique there is no `threat`; unset scores are null."""
        technique = words_of(self.key.kind).technique
        doc: dict[str, Any] = {
            "ts": stamp(self.ts),
            "@timestamp": stamp(self.ts),
            "score": round(self.score, 1),
            "src": self.src,
            "dst": self.dst,
            "message": f"{self.title}: {self._why}" if self.reasons else self.title,
            "event": {
                "kind": "alert", "module": "mlids", "dataset": f"zeek.{_DATASETS.get(self.dataset, self.dataset)}", "risk_score": round(self.score, 1),
                "start": stamp(self.ts), "end": stamp(self.last_ts), "id": self.id,
            },
            "rule": {"name": self.key.kind, "description": self.title},
            "source": endpoint(self.src, self.src_port),
            "destination": endpoint(self.dst, self.dst_port),
            "network": {"transport": self.proto} | ({"protocol": _PROTOCOLS[self.dataset]} if self.dataset in _PROTOCOLS else {}),
            "related": {"ip": [a for a in dict.fromkeys((self.src, self.dst)) if is_ip(a)]},
            "observer": {"name": self.key.sensor, "product": "Zeek", "type": "sensor"},
            "mlids": {
                "kind": self.key.kind, "count": self.count, "uids": self.uids, "reasons": self.reasons,
                "anomaly_score": round(self.anomaly_score, 4), "model_version": self.model_version,
                "attack_probability": None if self.attack_probability is None else round(self.attack_probability, 4),
                "attack_class": self.attack_class, "group": {"source": self.key.source, "target": self.key.target},
            },
        }  # fmt: skip
        if technique:
            doc["threat"] = {"framework": "MITRE ATT&CK", "technique": {"id": technique, "name": technique_name(technique)}}
            if names := tactics(technique):
                doc["threat"]["tactic"] = {"name": list(names)}
        return doc


def merged(parts: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Return one document from the documents of one alert, given by the name of their scoring.

    Title, reasons and score are those of the highest score; counts add up, as each scoring had other conns.
    """
    documents = list(parts.values())
    out = dict(max(documents, key=lambda d: d["score"]))
    first, last = min(d["ts"] for d in documents), max(d["event"]["end"] for d in documents)
    uids = list(dict.fromkeys(uid for d in documents for uid in d["mlids"]["uids"]))[:UIDS_KEPT]
    out |= {"ts": first, "@timestamp": first, "event": out["event"] | {"start": first, "end": last}}
    out["mlids"] = out["mlids"] | {"uids": uids, "count": sum(d["mlids"]["count"] for d in documents)}
    return out


def endpoint(address: str, port: int | None) -> dict[str, Any]:
    """Return an end of a conn; what is no address has no `ip`, which Elasticsearch would refuse."""
    out: dict[str, Any] = {"address": address} | ({"ip": address} if is_ip(address) else {})
    if port is not None:
        out["port"] = port
    return out


def is_ip(address: str) -> bool:
    """Return whether a text is an IP address."""
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    return True
