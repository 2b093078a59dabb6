"""The alert document, and alerts restored from a checkpoint."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from mlids.alerts.aggregation import AlertAggregator
from mlids.alerts.document import merged
from mlids.alerts.grouping import GroupKey
from mlids.evidence.base import Evidence
from mlids.features.context import live_context
from mlids.ingest.cursor import Position
from mlids.scoring.checkpoint import Checkpoint
from mlids.scoring.evidence_alerts import evidence_alerts
from tests.support.alerts import alert


def test_document_is_ecs_with_the_three_fields_on_top() -> None:
    doc = alert(1).document()
    assert (doc["ts"], doc["score"], doc["src"]) == ("2026-11-20T12:00:00.000000Z", 80.0, "10.0.0.1")
    assert doc["event"]["kind"] == "alert" and doc["event"]["risk_score"] == doc["score"]
    assert doc["source"] == {"address": "10.0.0.1", "ip": "10.0.0.1", "port": 50_000}
    assert doc["threat"]["technique"]["id"] == "T1110"
    bare = alert(1, key=GroupKey("x", "hq", "anomaly", "10.0.0.1", "", 0)).document()
    assert "threat" not in bare, "an anomaly has no technique"


def test_document_names_the_log_that_the_alert_comes_from() -> None:
    doc = alert(1).document()
    assert doc["event"]["dataset"] == "zeek.connection" and "protocol" not in doc["network"]
    found = Evidence(
        "dns_tunnel", 1.0, "many names", ("C1",), "10.0.0.1", "example.com", "192.0.2.53", 53, "udp",
        datetime(2026, 11, 20, 12, tzinfo=UTC), log="dns",
    )  # fmt: skip
    (tunnel,) = evidence_alerts([found], "hq", "2026-11-20")
    doc = tunnel.document()
    assert (doc["event"]["dataset"], doc["network"]["protocol"]) == ("zeek.dns", "dns")
    assert doc["network"]["transport"] == "udp" and merged({"late 2026-11-20": doc})["event"]["dataset"] == "zeek.dns"


def test_checkpoint_without_the_dataset_of_its_alerts_is_restored(tmp_path: Path) -> None:
    """Checkpoints of mlids before the field existed."""
    aggregator = AlertAggregator()
    aggregator.open = {alert(n).id: alert(n) for n in (1, 2)}
    Checkpoint(tmp_path).save(Position(identity="1", offset=10), live_context(), aggregator, 5, 0, {})
    path = tmp_path / "checkpoint.json"
    content = json.loads(path.read_text())
    for entry in content["alerts"]:
        assert entry.pop("dataset") == "conn"
    path.write_text(json.dumps(content))
    restored = Checkpoint(tmp_path).load()
    assert restored is not None and restored.alerts == aggregator.open and restored.context is not None
