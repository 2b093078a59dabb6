"""Alerts, and scored conns that become alerts, for tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from mlids.alerts.document import Alert
from mlids.alerts.grouping import GroupKey
from mlids.detectors.bundle import Scores
from mlids.detectors.model_spec import Spec
from mlids.detectors.verdict import Verdicts
from mlids.features.spec import NAMES
from mlids.zeek.types import conn_columns

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def alert(n: int, when: datetime = NOON, **changes: object) -> Alert:
    """Return the n-th brute force alert of sensor hq; `changes` are fields of the alert."""
    key = GroupKey(f"id{n:030d}", "hq", "brute_force", f"10.0.0.{n}", "192.0.2.1:22/tcp", 0)
    fields: dict[str, object] = {
        "key": key, "ts": when, "last_ts": when, "score": 80.0, "src": f"10.0.0.{n}", "src_port": 50_000, "dst": "192.0.2.1",
        "dst_port": 22, "proto": "tcp", "reasons": "many logins", "uids": ["C1"], "model_version": "3",
    }  # fmt: skip
    return Alert(**(fields | changes))  # type: ignore[arg-type]


def scan(source: str, target: str, ports: int, start: datetime) -> pl.DataFrame:
    """Return unanswered SYNs of one source to many ports, a second apart."""
    stamps = [start + timedelta(seconds=i) for i in range(ports)]
    columns = {"ts": stamps, "id.resp_p": [1 + i for i in range(ports)], "uid": [f"C{source}-{i}" for i in range(ports)]}
    fixed = {"id.orig_h": source, "id.resp_h": target, "proto": "tcp", "conn_state": "S0", "history": "S", "sensor": "hq"}
    frame = pl.DataFrame(columns, schema_overrides={"ts": pl.Datetime("us", "UTC"), "id.resp_p": pl.UInt16})
    return conn_columns(frame.with_columns(**{name: pl.lit(value) for name, value in fixed.items()}))


def flood(n: int, first: int = 0) -> tuple[pl.DataFrame, np.ndarray, Verdicts]:
    """Return conns, features and verdicts of `n` anomalies, each of another source: 10.0.0.0 to 10.0.0.249, then 10.1.0.0 and on."""
    sources = [f"10.{(first + i) // 250}.0.{(first + i) % 250}" for i in range(n)]
    conns = conn_columns(
        pl.DataFrame({"uid": [f"C{first + i}" for i in range(n)], "id.orig_h": sources}).with_columns(
            ts=pl.lit(NOON).dt.cast_time_unit("us"), sensor=pl.lit("hq")
        )
    )
    scores = Scores(np.full(n, 0.9, np.float32), None, None)
    verdicts = Verdicts(scores, np.full(n, 90.0, np.float32), np.ones(n, bool), np.full(n, -1), np.zeros(n, np.float32))
    return conns, np.zeros((n, len(NAMES)), np.float32), verdicts


class ConstantModel:
    """A model that scores every conn 0 and gives no reasons."""

    spec = Spec(medians=[0.0] * len(NAMES))
    version: str | None = "1"
    attack_classes: list[str] = []

    def score(self, x: np.ndarray) -> Scores:
        """Return zeros."""
        return Scores(np.zeros(len(x), np.float32), None, None)
