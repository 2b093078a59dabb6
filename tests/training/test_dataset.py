"""Training examples: labels of every form, faults of the capture, implanted attacks, reference networks and weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from mlids.detectors.forest import BENIGN
from mlids.features.spec import NAMES
from mlids.ingest.conns import Reading, read_conns
from mlids.synth.attacks import SCENARIOS
from mlids.training.dataset import ExampleOptions, artefacts, gather_examples, labelled, reference, true_attack, weights
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
    assert set(implanted["label"]) == set(SCENARIOS)
    assert 300 < frame.filter(pl.col("label") == BENIGN).height <= 600
    again = gather_examples(lambda: iter(batches), "net", options)[1]
    assert frame.equals(again)
    # The first rows of each instance are context only: they do not differ from ordinary conns yet.
    first = implanted.filter(pl.col("label") == "beacon").select(pl.col("triple_total").exp().min()).item()
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
    assert set(frame["label"]) == {BENIGN, *SCENARIOS}
    assert np.isfinite(frame.select(NAMES).to_numpy()).all()
    weight = weights(frame)
    sums = frame.with_columns(w=pl.Series(weight)).group_by("network", "label").agg(pl.col("w").sum(), pl.len())
    assert np.allclose(sums["w"].to_numpy(), np.sqrt(sums["len"].to_numpy()))
