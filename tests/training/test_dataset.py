"""Training examples: labels of every form, faults of the capture, implanted attacks, reference networks and weights."""

from __future__ import annotations

from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from mlids.detectors.forest import BENIGN, fit_forest
from mlids.features.extract import Extractor
from mlids.features.spec import NAMES
from mlids.ingest.conns import Reading, read_conns
from mlids.synth.clients.network import CLIENT_KINDS, HABITS, ClientNetwork
from mlids.synth.draft import written_order
from mlids.synth.profiles.registry import CLASSES
from mlids.training.dataset import (
    REFERENCE_CLIENTS,
    ExampleOptions,
    artefacts,
    gather_examples,
    labelled,
    reference,
    thinned,
    true_attack,
    weights,
)
from tests.support.captures import C2, MIRAI, MIXED, PIPES, QUIET


def test_labels_of_every_form(real_data: Path) -> None:
    counts = {}
    for path in (C2, MIXED, MIRAI, QUIET, PIPES):
        label = pl.concat([labelled(b) for b in read_conns([real_data / path], Reading())])
        counts[path] = (
            int((label == BENIGN).sum()),
            int(((label != BENIGN) & label.is_not_null()).sum()),
            label.null_count(),
        )
    # Counted with grep on the files themselves.
    assert list(counts.values()) == [(9, 244, 739), (1402, 4201, 60), (1923, 21222, 0), (452, 0, 0), (2181, 8222, 0)]


def test_rows_without_a_packet_are_no_attacks(real_data: Path) -> None:
    """Of 14,394 rows that a public data set labels DDoS, 14,252 are single packets with a bad checksum."""
    conns = pl.concat(list(read_conns([real_data / MIRAI], Reading())), how="diagonal_relaxed")
    assert int(artefacts(conns).sum()) == 14_252


def test_examples_carry_the_source_of_their_label(real_data: Path) -> None:
    batches = list(read_conns([real_data / MIXED], Reading()))
    options = ExampleOptions(500, seed=3)
    rows, frame = gather_examples(lambda: iter(batches), "net", options)
    assert rows == 5_663
    assert set(frame["source"]) == {"label", "implanted"}, "unlabelled rows of a labelled log are not assumed to be benign"
    implanted = frame.filter(pl.col("source") == "implanted")
    assert set(implanted["label"]) == set(CLASSES)
    assert 300 < frame.filter(pl.col("label") == BENIGN).height <= 600
    again = gather_examples(lambda: iter(batches), "net", options)[1]
    assert frame.equals(again)
    # The first rows of each instance are context only: they do not differ from ordinary conns yet.
    first = implanted.filter(pl.col("instance").str.contains(r"^beacon-\d")).select(pl.col("triple_total").exp().min()).item()
    assert first > 4


def test_own_rows_of_the_last_quarter_and_the_last_round_are_held_out(real_data: Path) -> None:
    batches = list(read_conns([real_data / MIXED], Reading()))
    _, frame = gather_examples(lambda: iter(batches), "net", ExampleOptions(5_000, rounds=4))
    rounds = frame.filter(pl.col("instance").is_not_null()).select(pl.col("instance").str.extract(r"-(\d+)$").cast(pl.Int32), "late")
    assert rounds.filter("late")["instance"].unique().to_list() == [3] and rounds.filter(~pl.col("late"))["instance"].max() == 2
    own = frame.filter(pl.col("instance").is_null())["late"]
    assert 0 < own.sum() < 0.5 * len(own)


def test_true_attacks_are_those_of_logs_and_label_sources() -> None:
    sources = ["label", "verdict", "notice", "inventory", "implanted", "reference", "assumed", "label"]
    frame = pl.DataFrame({"source": sources, "label": ["beacon"] * 7 + [BENIGN]})
    assert frame.select(true_attack()).to_series().to_list() == [True] * 4 + [False] * 4


def test_reference_networks_hold_every_attack_and_weigh_alike() -> None:
    frame = reference()
    assert set(frame["label"]) == {BENIGN, *CLASSES}
    assert np.isfinite(frame.select(NAMES).to_numpy()).all()
    weight = weights(frame)
    sums = frame.with_columns(w=pl.Series(weight)).group_by("network", "label").agg(pl.col("w").sum(), pl.len())
    assert np.allclose(sums["w"].to_numpy(), np.sqrt(sums["len"].to_numpy()))


def test_thinned_examples_weigh_as_much_as_all_of_them() -> None:
    network = {"network": "a", "late": False, "instance": None} | dict.fromkeys(NAMES, 0.0)
    counts = {("scan", "implanted"): 240, ("scan", "label"): 1_500, ("benign", "label"): 5_000, ("beacon", "implanted"): 30}
    frame = pl.concat([pl.DataFrame([network | {"label": label, "source": source}] * n) for (label, source), n in counts.items()])
    kept = thinned(frame, 0).group_by("label", "source").agg(pl.len(), pl.col("weight").sum())
    found = {(label, source): (n, round(weight, 6)) for label, source, n, weight in kept.iter_rows()}
    assert {key: n for key, (n, _) in found.items()} == {
        ("scan", "implanted"): 60, ("scan", "label"): 1_000, ("benign", "label"): 5_000, ("beacon", "implanted"): 30,
    }  # fmt: skip
    assert all(found[key][1] == round(n**0.5, 6) for key, n in counts.items())


def test_reference_networks_hold_clients_of_every_kind_of_network() -> None:
    benign = reference().filter(pl.col("label") == BENIGN)
    assert all(name.startswith("reference-") for name in benign["network"]) and benign.height <= 30_000
    rows = dict(benign.group_by("network").len().iter_rows())
    for kind in HABITS:
        assert sum(n for name, n in rows.items() if name.startswith(f"reference-{kind}-")) > 1_000
    plans = [ClientNetwork(seed, kind).plan()[0] for seed, kind in REFERENCE_CLIENTS]
    assert all(any(len(plan[kind]) for plan in plans) for kind in CLIENT_KINDS)
    # The kind of a client network's rows is known, so that rows with a behaviour are examples of benign traffic too.
    domain = benign.filter(pl.col("network").str.starts_with("reference-office-"))
    assert domain.filter(pl.col("port_admin") == 1).height > 50


@pytest.mark.parametrize("kind", HABITS)
def test_a_forest_of_the_reference_networks_takes_other_clients_for_benign(kind: str) -> None:
    """Before the client networks, the TLS of an ordinary workstation had an attack probability of 0.77.

    Clients of dead servers are left out: they do what a bot does whose server is down.
    """
    forest, benign = _reference_forest()
    parts = [rows.with_columns(kind=pl.lit(name)) for name, rows in ClientNetwork(97, kind).parts(date(2026, 11, 11))]
    day = written_order(pl.concat(parts))
    attack = 1.0 - forest.predict_proba(Extractor().features(day.drop("label", "kind")))[:, benign]
    alive = (day["kind"] != "dead_servers").to_numpy()
    assert alive.sum() > 1_000 and (attack[alive] >= 0.5).mean() < 0.08


@cache
def _reference_forest() -> tuple[Any, int]:
    frame = reference()
    x = np.ascontiguousarray(frame.select(NAMES).to_numpy(), np.float32)
    forest = fit_forest(x, frame["label"].to_numpy(), weights=weights(frame), trees=20)
    return forest, list(forest.classes_).index(BENIGN)
