"""Forests of http, dns, ssh and ssl: what is odd, in words, and how they are stored."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
import zstandard

from mlids.detectors.record_forests import RecordForest, fit_record_forest, pack_record_forests, unpack_record_forests
from mlids.errors import ModelError
from mlids.features.records import RECORD_LOGS

DNS = RECORD_LOGS["dns"]


def look_ups(n: int = 5_000) -> pl.DataFrame:
    rng = np.random.default_rng(1)
    hosts = [f"{a}{b}.example.{c}" for a in ("www", "cdn", "api", "mail") for b in ("", "1", "2") for c in ("com", "org", "net")]
    return pl.DataFrame(
        {
            "query": rng.choice(hosts, n).tolist(), "qtype_name": rng.choice(["A", "AAAA", "HTTPS"], n).tolist(),
            "rcode": np.where(rng.random(n) < 0.05, 3.0, 0.0), "rtt": rng.exponential(0.02, n), "answers": [["192.0.2.1"]] * n,
            "TTLs": [[float(t)] for t in rng.integers(30, 3_600, n)], "proto": ["udp"] * n,
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def forest() -> RecordForest:
    return fit_record_forest(DNS, DNS.matrix(look_ups()))


def test_an_odd_record_among_thousands_ranks_first_and_says_why() -> None:
    rows = look_ups()
    odd = rows[:1].with_columns(query=pl.lit("mzxw6ytboi4dcmrtgq2tmnzyhe3tk.t.example.com"), qtype_name=pl.lit("TXT"))
    x = DNS.matrix(pl.concat([rows[:2_500], odd, rows[2_500:]]))
    forest = fit_record_forest(DNS, x)
    scores = forest.scores(x)
    assert scores.argmax() == 2_500 and 0.6 < scores[2_500] <= 1.0
    assert any(word in forest.explain(x[2_500]) for word in ("name", "type"))


def test_the_reason_is_the_one_value_that_is_odd(forest: RecordForest) -> None:
    row = np.median(DNS.matrix(look_ups()), axis=0).astype(np.float32)
    row[DNS.names.index("rejected")] = 1.0
    assert forest.explain(row) == "query that the server rejected: yes (usually no)"


def test_stored_forests_score_alike(forest: RecordForest) -> None:
    x = DNS.matrix(look_ups())
    found = unpack_record_forests(pack_record_forests({"dns": forest}))
    assert set(found) == {"dns"} and found["dns"].rows == forest.rows
    assert np.array_equal(found["dns"].scores(x), forest.scores(x))
    assert found["dns"].explain(x[0]) == forest.explain(x[0])
    assert unpack_record_forests(pack_record_forests({})) == {}


def test_a_forest_of_other_features_is_left_out(forest: RecordForest) -> None:
    older = replace(forest, log=replace(DNS, features=DNS.features[::-1]))
    assert unpack_record_forests(pack_record_forests({"dns": older})) == {}


def _with(forest: RecordForest, **arrays: Any) -> bytes:
    return pack_record_forests({"dns": replace(forest, trees=replace(forest.trees, **arrays))})


def test_arrays_that_do_not_fit_are_refused_before_compiled_code_reads_them(forest: RecordForest) -> None:
    feature, threshold, path = forest.trees.feature, forest.trees.threshold, forest.trees.path
    beyond = feature.copy()
    beyond[0, 0] = 200
    damaged = [
        _with(forest, feature=beyond), _with(forest, feature=feature[:, :-1]), _with(forest, path=path[:, :-1]),
        _with(forest, threshold=threshold[:-1]), _with(forest, threshold=threshold * np.float32("nan")),
        _with(forest, feature=feature[:0], threshold=threshold[:0], path=path[:0]),
        pack_record_forests({"dns": replace(forest, medians=forest.medians[:-1])}), pack_record_forests({"dns": forest})[:-20], b"",
    ]  # fmt: skip
    for content in damaged:
        with pytest.raises(ModelError, match="forests of http, dns, ssh and ssl"):
            unpack_record_forests(content)


def test_pickled_objects_and_bombs_are_refused() -> None:
    out = io.BytesIO()
    np.save(out, np.frombuffer(json.dumps([{"log": "dns"}]).encode(), np.uint8))
    np.save(out, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    for content in (zstandard.compress(out.getvalue()), zstandard.compress(bytes(80 << 20))):
        with pytest.raises(ModelError):
            unpack_record_forests(content)
