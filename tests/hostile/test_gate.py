"""The gate opens neither for who damages the model in production, nor for a threshold that a noisy week has raised."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from mlids import pipeline
from mlids.alerts.stores.audit import Move
from mlids.detectors.bundle import Bundle
from mlids.detectors.onnx_graph import with_spec
from mlids.detectors.reference import load_reference
from mlids.settings import load_settings
from mlids.training.train import THRESHOLD_HIGH, THRESHOLD_LOW, budget_thresholds
from mlids.zeek.types import conn_columns
from tests.hostile.conftest import Field

DAMAGED = pytest.mark.attack(
    row=7,
    attack="the file of the production model is emptied, shortened, deleted or given another spec, so that the gate finds no model to compare with",
    held="production changes only after a comparison, or by a person's decision (`--force`, which the audit names)",
)
NOISE = pytest.mark.attack(
    row=6,
    attack="a week of forged probes spends the alert budget, so that the threshold rises",
    held="a challenger may lose one held-out attack, or a tenth of those that production finds (`MLIDS_GATE_LOST_ATTACKS_PERCENT`)",
)
NIGHT = datetime(2026, 11, 5, 2, tzinfo=UTC)


def with_other_spec(path: Path, **changes: object) -> None:
    graph = path.read_bytes()
    path.write_bytes(with_spec(graph, Bundle(graph).spec.as_dict() | changes))


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def deleted(path: Path) -> None:
    path.unlink()


DAMAGE: dict[str, Callable[[Path], object]] = {
    "emptied": emptied,
    "cut in half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "no model at all": lambda path: path.write_bytes(b"<html>not found</html>" * 100),
    "deleted": deleted,
    "folder deleted": lambda path: shutil.rmtree(path.parent),
    "spec without medians": lambda path: path.write_bytes(with_spec(path.read_bytes(), {"format": 2})),
    "self-test changed": lambda path: with_other_spec(path, example_scores=[0.1, 0.1]),
    "scale of numbers that are none": lambda path: with_other_spec(path, surprise=[[float("nan")] * 2, [float("nan")] * 2]),
    "empty scale": lambda path: with_other_spec(path, surprise=[[], []]),
}


@DAMAGED
@pytest.mark.parametrize(
    "damage", [d if d in {"emptied", "deleted", "self-test changed"} else pytest.param(d, marks=pytest.mark.slow) for d in DAMAGE]
)
def test_damaged_production_is_not_an_absent_one(
    field: Field, production_file: Callable[[], Path], damage: str, happened: Callable[[str], None]
) -> None:
    path = production_file()
    held = field.registry.version("production")
    assert held is not None
    challenger = field.register()
    DAMAGE[damage](path)
    decision = pipeline.evaluate_and_promote(challenger, field.frozen.info.id)
    now = field.registry.version("production")
    assert not decision["promoted"] and now is not None and now.version == held.version, decision["why"]
    assert f"version {held.version}" in decision["why"] and "no model is in production" not in decision["why"]
    assert pipeline.open_stores(load_settings()).audit.rows()[0]["why"] == decision["why"]
    happened(f"{len(DAMAGE)} kinds of damage: refused with the version and its file, written to the audit")


@DAMAGED
def test_damaged_production_can_be_replaced_by_force(
    field: Field, production_file: Callable[[], Path], happened: Callable[[str], None]
) -> None:
    path = production_file()
    challenger = field.register()
    emptied(path)
    refused = pipeline.evaluate_and_promote(challenger, field.frozen.info.id)
    assert not refused["promoted"] and "model.onnx" in refused["why"] and "--force" in refused["why"]
    forced = pipeline.evaluate_and_promote(challenger, field.frozen.info.id, who="ana", force=True)
    assert forced["promoted"]
    assert pipeline.open_stores(load_settings()).audit.rows()[0]["why"].startswith("forced by ana: production, version")
    happened("`--force` promotes, and the audit says who did")


@DAMAGED
def test_production_of_older_features_cannot_defend_its_place(
    field: Field, production_file: Callable[[], Path], happened: Callable[[str], None]
) -> None:
    path = production_file()
    with_other_spec(path, features_version=2)
    held = field.registry.version("production")
    assert held is not None
    field.registry.seal(held.version, path.read_bytes())  # sealed by the older mlids, which wrote no digest into the audit
    pipeline.open_stores(load_settings()).audit.record(Move("ana", "promote", "1", held.version, "by an older mlids"))
    (model,) = [f for f in pipeline.doctor() if f.part == "model"]
    assert not model.well and f"version {held.version} is refused" in model.text and "train a new one with `mlids train`" in model.text
    assert model.text.endswith(f"the reference model, {load_reference().version}, scores meanwhile")
    decision = pipeline.evaluate_and_promote(field.register(), field.frozen.info.id, force=True)  # two small days may give less
    assert decision["promoted"] and "cannot defend its place: the model was made for features version 2" in decision["why"]
    assert decision["production"]["pr_auc_at_1pct"] > 0.0, "it was compared with the reference model"
    assert f"the reference model ({load_reference().version}; version {held.version}" in decision["why"]
    happened("a whole model of another features version is not compared with, as no scorer here can load it: the reference model is")


@NOISE
def test_threshold_that_loses_attacks_is_refused(field: Field, happened: Callable[[str], None]) -> None:
    decision = pipeline.evaluate_and_promote(field.register(threshold=THRESHOLD_HIGH), field.frozen.info.id)
    assert not decision["promoted"] and "held-out attacks that production's threshold finds" in decision["why"], decision["why"]
    again = pipeline.evaluate_and_promote(field.register(threshold=THRESHOLD_LOW + 1.0), field.frozen.info.id)
    assert again["promoted"], again["why"]
    happened(f"the same model with a threshold of {THRESHOLD_HIGH:.0f} is refused, with {THRESHOLD_LOW + 1.0:.0f} promoted")


def probes(sources: int, ports: int) -> pl.DataFrame:
    """Return scans by forged outside sources, one after another, of one inside server: unanswered, refused and half open."""
    rows = [(f"198.51.{n // 200}.{n % 200}", p, n % 3) for n in range(sources) for p in range(ports)]
    frame = pl.DataFrame(
        {
            "ts": [NIGHT + timedelta(seconds=i) for i in range(len(rows))], "uid": [f"CF{i}" for i in range(len(rows))],
            "id.orig_h": [r[0] for r in rows], "id.resp_p": [1_000 + r[1] for r in rows],
            "conn_state": [("S0", "REJ", "RSTO")[r[2]] for r in rows], "history": [("S", "Sr", "ShR")[r[2]] for r in rows],
        },
        schema_overrides={"ts": pl.Datetime("us", "UTC"), "id.resp_p": pl.UInt16},
    )  # fmt: skip
    fixed = {"id.resp_h": "10.162.1.10", "proto": "tcp", "sensor": "hq"}
    return conn_columns(frame.with_columns(**{name: pl.lit(value) for name, value in fixed.items()}))


@NOISE
def test_forged_probes_do_not_raise_the_threshold(field: Field, happened: Callable[[str], None]) -> None:
    model = field.registry.load("production")
    noise = probes(120, 40)
    quiet, noisy = (budget_thresholds(model, some, 1.0, 20.0) for some in ([], [noise]))
    assert (quiet.lowest, quiet.alerts_per_day) == (THRESHOLD_LOW, 0.0)
    assert set(noisy.by_way.values()) == {THRESHOLD_LOW} and noisy.alerts_per_day > 100.0, "the alerts a day contain the probes"
    own = noise.with_columns(pl.concat_str(pl.lit("10.9."), pl.col("id.orig_h").str.extract(r"(\d+\.\d+)$")).alias("id.orig_h"))
    assert budget_thresholds(model, [own], 1.0, 20.0).by_way["inside"] > THRESHOLD_LOW, "scans from inside count"
    happened(f"{noise.height:,} forged probes a day: the thresholds stay at {noisy.lowest:.0f}")
