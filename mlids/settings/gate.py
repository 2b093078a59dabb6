"""Rules of the gate, which decides whether a newly trained model replaces the one in production."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field

Percent = Annotated[float, Field(ge=0, le=100)]


class GateRules(BaseModel):
    """What a challenger must hold against production; a part of the settings."""

    gate_tolerance: float = Field(
        0.01, ge=0, le=1,
        description="PR-AUC at 1 % of benign rows by which a challenger may be worse; it varies by about this much between trainings on one week.",
    )  # fmt: skip
    gate_least_pr_auc: float = Field(0.4, ge=0, le=1, description="PR-AUC at 1 % that every challenger must have.")
    gate_lost_attacks_percent: Percent = Field(
        10.0, description="Percent of the held-out attacks that production finds which a challenger may lose; one attack always."
    )
    gate_least_rows_percent: Percent = Field(
        75.0,
        description="Percent of the held-out attack rows found by production, and by the three versions before it, that a challenger must find.",
    )
    gate_least_verdicts_percent: Percent = Field(
        90.0, description="Percent of the conns of alerts marked true, among those that production finds, that a challenger must find."
    )
    gate_least_conns_percent: Percent = Field(
        60.0, description="Conns a day of a training week, in percent of the median of up to four weeks before it, or of production's week."
    )
    gate_most_conns_percent: float = Field(400.0, ge=100, description="The same: at most.")
    gate_every_sensor: bool = Field(True, description="Refuse a week in which a sensor of the week before has no conns.")
    gate_most_attack_percent: Percent = Field(
        50.0, description="Percent of a week's own rows that labels may call attacks, or three times the share of the week before."
    )
    gate_most_benign_alerts_percent: Percent = Field(
        2.0, description="Percent of a week's own benign rows on which production may alert, or three times the share of the week before."
    )
    gate_most_alerts_factor: float = Field(
        3.0, ge=1, description="Alerts of a challenger on the latest day, in multiples of production's; as many as the budget always."
    )
    gate_most_cost_factor: float = Field(3.0, ge=1, description="CPU time a row and size of a challenger, in multiples of production's.")
    gate_captures: Path | None = Field(
        None, description="List of labelled captures on which both models are compared, as for `mlids evaluate --captures`."
    )
    gate_captures_data: Path | None = Field(None, description="Folder that the paths in that list are below; default: that of the list.")
    gate_capture_loss: float = Field(
        0.05, ge=0, le=1,
        description="By how much the recall, as a mean over these captures, may fall, and the share of benign rows with an alert rise.",
    )  # fmt: skip
