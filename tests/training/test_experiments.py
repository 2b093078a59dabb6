"""Names in MLflow: experiments by model, weeks, and metrics of classes whose names come from labels."""

from __future__ import annotations

import pytest
from mlflow.utils.validation import _validate_metric_name

from mlids.training.experiments import experiments_of, metric_names, week_of


def test_experiments_are_named_after_the_model() -> None:
    assert experiments_of("mlids-conn").every() == ("mlids-training", "mlids-drift", "mlids-evaluation", "mlids")
    assert experiments_of("branch-conn").training == "branch-training" and experiments_of("other").drift == "other-drift"
    assert experiments_of("-conn").training == "-conn-training"


@pytest.mark.parametrize(("day", "week"), [("2026-11-08", "2026-W45"), ("2027-01-03", "2026-W53"), ("2026-12-28", "2026-W53")])
def test_weeks_are_those_of_iso_8601(day: str, week: str) -> None:
    assert week_of(day) == week


@pytest.mark.parametrize(
    "name",
    [
        "<script>alert(1)</script>",
        "../../etc/passwd",
        "..",
        ".",
        "",
        "a/b/c",
        "Zürich\x00\x1b[2J",
        "x" * 500,
        "'; DROP TABLE metrics; --",
        "C&C-HeartBeat",
    ],
)
def test_names_of_classes_become_metric_names_that_mlflow_takes(name: str) -> None:
    ((found, value),) = metric_names({f"recall/{name}": 0.5}).items()
    _validate_metric_name(found)
    assert value == 0.5 and found.startswith("recall/") and found.count("/") == 1 and len(found) <= 100


def test_two_names_that_become_one_are_both_kept_and_nan_is_left_out() -> None:
    assert metric_names({"recall/a b": 0.1, "recall/a_b": 0.2, "recall/c": float("nan")}) == {"recall/a_b": 0.1, "recall/a_b_2": 0.2}
