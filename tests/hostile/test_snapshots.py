"""Whoever alters a snapshot on disk, in whichever column or fact, is noticed before anything is trained on it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from mlids.errors import ModelError
from mlids.training.snapshot import load_snapshot

pytestmark = pytest.mark.attack(
    row=15,
    attack="labels, weights, networks, held-out flags or facts of a snapshot are altered between its taking and its training",
    held="what is trained is what was taken: the digest covers all that training and the gate read, and the snapshot's id contains its beginning",
)


@pytest.fixture
def snapshot(trained_home: Path, tmp_path: Path) -> Path:
    (held,) = (trained_home / "snapshots").iterdir()
    shutil.copytree(held, tmp_path / held.name)
    return tmp_path / held.name


SWAP = pl.when(pl.col("label") == "benign").then(pl.lit("horizontal_scan")).otherwise(pl.lit("benign"))
COLUMNS = {
    "labels swapped": SWAP.alias("label"),
    "one label": pl.when(pl.int_range(pl.len()) == 0).then(pl.lit("flood")).otherwise("label").alias("label"),
    "weights": (pl.col("weight") * 1e-6).alias("weight"),
    "network": pl.lit("reference-11").alias("network"),
    "held out": pl.lit(False).alias("held_out"),
    "held-out flags exchanged": (~pl.col("held_out")).alias("held_out"),
    "a feature": (pl.col("duration") + 1).alias("duration"),
    "label as number": pl.lit(1).alias("label"),
}

FACTS = {"rows_there": 10**9, "days": ["2026-11-04"], "label_sources": {"true attack": 5}, "sensors": [], "id": "another"}


@pytest.mark.parametrize("change", COLUMNS)
def test_rows_that_were_altered_are_refused(snapshot: Path, change: str, happened: Callable[[str], None]) -> None:
    load_snapshot(snapshot.parent, snapshot.name)
    path = snapshot / "rows.parquet"
    pl.read_parquet(path).with_columns(COLUMNS[change]).write_parquet(path)
    with pytest.raises(ModelError, match=r"was altered after it was taken; take a new one"):
        load_snapshot(snapshot.parent, snapshot.name)
    happened(f"{len(COLUMNS)} changes of rows and {len(FACTS)} of facts are refused with what to do")


@pytest.mark.parametrize("shape", ["fewer rows", "other order", "no weights", "damaged"])
def test_rows_that_are_not_whole_are_refused(snapshot: Path, shape: str) -> None:
    path = snapshot / "rows.parquet"
    changes: dict[str, Callable[[pl.DataFrame], pl.DataFrame]] = {
        "fewer rows": lambda f: f.filter(pl.col("label") == "benign"),
        "other order": lambda f: f.with_columns(f["label"].reverse()),
        "no weights": lambda f: f.drop("weight"),
    }
    if shape in changes:
        changes[shape](pl.read_parquet(path)).write_parquet(path)
    else:
        path.write_bytes(path.read_bytes()[:5_000])
    with pytest.raises(ModelError, match="take a new one"):
        load_snapshot(snapshot.parent, snapshot.name)


@pytest.mark.parametrize("fact", FACTS)
def test_facts_that_were_altered_are_refused(snapshot: Path, fact: str) -> None:
    """`rows_there` and `days` give the conns a day that the gate compares, `label_sources` decides what the forest sees."""
    path = snapshot / "snapshot.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {fact: FACTS[fact]}))
    with pytest.raises(ModelError, match="altered"):
        load_snapshot(snapshot.parent, snapshot.name)


def test_snapshot_put_in_the_place_of_another_is_refused(snapshot: Path) -> None:
    other = snapshot.with_name("2026-11-04_2026-11-05_all2-000000000000")
    snapshot.rename(other)
    with pytest.raises(ModelError, match="altered"):
        load_snapshot(other.parent, other.name)


def test_digest_of_the_older_form_is_refused_with_what_to_do(snapshot: Path) -> None:
    path = snapshot / "snapshot.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"digest": "0" * 64}))
    with pytest.raises(ModelError, match="did not cover labels and weights; take a new one"):
        load_snapshot(snapshot.parent, snapshot.name)
