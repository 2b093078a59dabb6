"""Labels from analysts' verdicts, and their priority over notices."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import polars as pl

from mlids.detectors.forest import BENIGN
from mlids.training.label_sources import base
from mlids.training.label_sources.base import ConnLabels
from mlids.training.label_sources.notices import NoticeLabels
from mlids.training.label_sources.verdicts import VerdictLabels, judged_rows


def alert(verdict: str | None, *uids: str, kind: str = "anomaly", attack_class: str | None = None) -> dict[str, Any]:
    return {"verdict": verdict, "mlids": {"kind": kind, "attack_class": attack_class, "uids": list(uids)}}


def test_verdicts_label_the_conns_of_their_alert_and_come_before_notices(conns: pl.DataFrame, noon: datetime) -> None:
    notices, verdicts = NoticeLabels(), VerdictLabels()
    notices.add(pl.DataFrame({"ts": [noon], "note": ["SSH::Password_Guessing"], "uid": ["C4"]}))
    verdicts.add(
        judged_rows(
            [
                alert("false positive", "C4", kind="brute_force"),
                alert("true_positive", "C6", "C8", attack_class="C&C"),
                alert("true positive", "C12", kind="beacon"),
                alert(None, "C10"),
            ]
        )
    )
    found = ConnLabels([notices, verdicts]).labels(conns).with_columns(conns["uid"]).drop_nulls("label")
    assert dict(found.select("uid", "label").iter_rows()) == {
        "C4": BENIGN, "C6": "command_and_control", "C8": "command_and_control", "C12": "beacon",
    }  # fmt: skip
    assert set(found["source"]) == {"verdict"}


def test_no_alert_with_a_verdict_gives_no_label(conns: pl.DataFrame) -> None:
    source = VerdictLabels()
    source.add(judged_rows([]))
    assert source.labels(conns).null_count() == conns.height


def test_labels_kept_are_bounded(conns: pl.DataFrame, monkeypatch: Any) -> None:
    monkeypatch.setattr("mlids.training.label_sources.verdicts.MAX_LABELS", 3)
    source = VerdictLabels()
    source.add(judged_rows([alert("false positive", "C1", "C2"), alert("false positive", "C3", "C5")]))
    assert source.labels(conns).drop_nulls().len() == 3 and base.MAX_LABELS > 3
