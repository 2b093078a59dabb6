"""Names of attacks in public labels, and attacks implanted into a site's traffic."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest

from mlids.detectors.forest import BENIGN
from mlids.synth.attacks import SCENARIOS
from mlids.synth.draft import CONN_NAMES
from mlids.synth.site import Site
from mlids.training.labels import Hosts, family, make_implants, normal_label, with_implants
from mlids.zeek.types import ended


@pytest.mark.parametrize(
    ("name", "to"),
    [
        ("PartOfAHorizontalPortScan", "horizontal_scan"), ("C&C", "command_and_control"), ("CC", "command_and_control"),
        ("DDoS", "syn_flood"), ("External-Attack-to-Device", "inbound_probes"), ("Torii", "command_and_control"),
        ("SSH-Bruteforce", "brute_force"), ("Something New", "something_new"), ("", "attack"),
    ],
)  # fmt: skip
def test_public_names_become_families(name: str, to: str) -> None:
    assert family(name) == to


def test_background_and_missing_labels_are_null() -> None:
    frame = pl.DataFrame({"label": ["Benign", "Malicious   C&C", "malicious", "Background", None], "detail": ["-", "-", "DDoS", "-", "-"]})
    found = frame.select(normal_label(pl.col("label"), pl.col("detail"))).to_series()
    assert found.to_list() == [BENIGN, "Malicious   C&C", "DDoS", None, None]


def test_implanted_rows_are_merged_by_their_end_and_own_rows_keep_their_order() -> None:
    day = Site(5).day(date(2026, 11, 4), 2_000).select(CONN_NAMES).with_columns(label=pl.lit(BENIGN), source=pl.lit("assumed"))
    hosts = Hosts()
    hosts.add(day)
    cast = hosts.cast(0)
    assert cast is not None
    start, end = (day["ts"].dt.epoch("s").quantile(q) for q in (0.05, 0.5))
    assert start is not None and end is not None
    implants = make_implants(cast, start, end, rounds=2, seed=0)
    assert {i.name for i in implants} == set(SCENARIOS) and len(implants) == 2 * len(SCENARIOS)
    merged = pl.concat(list(with_implants(iter([day[:900], day[900:]]), implants)))
    own = merged.filter(pl.col("instance").is_null())
    assert own["uid"].to_list() == day["uid"].to_list()
    implanted = merged.filter(pl.col("instance").is_not_null())
    assert 0 < implanted.height <= sum(i.rows.height for i in implants) and set(implanted["source"]) == {"implanted"}
    assert implanted.select(ended().is_sorted()).to_series().all()
