"""Charts of a training: what they show by hand, weeks without attacks or rows, and names that come from labels."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from mlids.training.charts import alerts_a_day, charts, confusion
from mlids.training.train import Thresholds
from tests.support.judged import SPEC, held_out

NAMES = {"pr-curve.svg", "scores.svg", "confusion.svg", "calibration.svg", "importance.svg"}
HOSTILE = "<script>alert(1)</script>$\\frac{$ \u202e\u4e2d ]]> &"


def trained(n: int = 7, **changes: Any) -> Any:
    spec = replace(SPEC, classes=["beacon", "benign", "scan"], forest_columns=[0, 1, 2], budget_per_day=20.0)
    forest = SimpleNamespace(feature_importances_=np.array([0.5, 0.25, 0.25]))
    return SimpleNamespace(held_out=replace(held_out(n), **changes), spec=spec, forest=forest)


def tags(svg: str) -> set[str]:
    return {element.tag.rpartition("}")[2] for element in ElementTree.fromstring(svg).iter()}


@pytest.mark.parametrize("n", [0, 1, 4, 7])
def test_every_chart_is_drawn_whatever_rows_there_are(n: int) -> None:
    found = charts(trained(n))
    assert set(found) == NAMES and all("path" in tags(svg) for svg in found.values())
    assert charts(trained(n)) == found, "the same numbers give the same picture"


def test_alerts_a_day_are_counted_from_the_threshold_on() -> None:
    sent = {"outward": np.array([60.0, 70.0, 80.0]), "inside": np.zeros(0)}
    found = alerts_a_day(sent, 2.0, np.array([55.0, 70.0, 70.1, 90.0]))
    assert found["outward"].tolist() == [1.5, 1.0, 0.5, 0.0] and found["inside"].tolist() == [0.0] * 4
    drawn = charts(trained(), Thresholds(60.0, {"outward": 60.0, "inside": 55.0}, 1.5, sent, 2.0))
    assert set(drawn) == NAMES | {"alerts-a-day.svg"}


def test_confusion_is_the_share_of_each_label_by_verdict() -> None:
    labels, verdicts, share = confusion(trained())
    assert labels == ["benign", "beacon", "scan"] and verdicts == ["no alert", "beacon", "scan"]
    assert share.tolist() == [[0.75, 0.25, 0.0], [0.0, 1.0, 0.0], [0.5, 0.5, 0.0]]


def test_names_from_labels_are_drawn_and_no_markup() -> None:
    hostile = np.array(["benign"] * 4 + [HOSTILE] * 3, object)
    found = charts(trained(label=hostile))
    for svg in found.values():
        assert not tags(svg) & {"script", "text", "foreignObject", "a"} and "alert(" not in svg
