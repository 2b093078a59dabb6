"""The evidence of conn.log in a batch, group by group, from the rows on disk."""

from __future__ import annotations

import numpy as np
import polars as pl

from mlids.alerts.conn_evidence import LEAST_RISK, evidence_of_groups, group_conns, join_groups
from mlids.detectors.bundle import Model
from mlids.evidence.base import Evidence
from mlids.scoring.batch_store import RowStore
from mlids.scoring.ranking import JudgedRows


def conn_evidence(row_store: RowStore, model: Model, judged: JudgedRows, threshold: float) -> list[Evidence]:
    """Return the evidence of all conns with a risk_score of LEAST_RISK or more, the highest first."""
    groups: pl.DataFrame | None = None
    for part in row_store.parts:
        rows = part.start + np.flatnonzero(judged.risk[part.start : part.start + part.rows] >= LEAST_RISK)
        if len(rows):
            groups = join_groups(groups, group_conns(row_store.identity(rows), judged.kinds(model, rows), judged.risk[rows], rows))
    if groups is None:
        return []
    return evidence_of_groups(groups, row_store.matrix(groups["row"].to_numpy()), model, threshold)
