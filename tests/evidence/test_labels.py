"""Host names by their labels: zones, and words against random letters."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from mlids.evidence.labels import LONGEST_NAME, with_queries, word_share, zone_size


@pytest.mark.parametrize(
    ("name", "zone"),
    [
        ("www.example.com", "example.com"),
        ("example.com.", "example.com"),
        ("A.B.Example.CO.UK", "example.co.uk"),
        ("co.uk", "co.uk"),
        ("onion", "onion"),
        ("x.com.example.net", "example.net"),
        ("a" * 2_000 + ".t.example.com", "example.com"),
    ],
)
def test_zone_of_a_name(name: str, zone: str) -> None:
    rows = with_queries(pl.DataFrame({"id.orig_h": ["10.0.0.5"], "query": [name]}), {"id.orig_h": pl.String(), "query": pl.String()})
    parts = pl.col("parts")
    assert rows.select(parts.list.tail(zone_size(parts)).list.join(".")).item() == zone
    assert rows["query"].str.len_chars().item() <= LONGEST_NAME


def test_rows_without_a_query_are_left_out() -> None:
    wanted = {"id.orig_h": pl.String(), "query": pl.String()}
    rows = pl.DataFrame({"id.orig_h": ["10.0.0.5", None, "10.0.0.6"], "query": [None, "a.com", "b.com"]})
    assert with_queries(rows, wanted)["query"].to_list() == ["b.com"]
    assert with_queries(rows.with_columns(query=7), wanted).is_empty() and with_queries(rows.drop("query"), wanted).is_empty()


def test_words_have_common_pairs_and_random_letters_few() -> None:
    words = pl.Series(["wonderland", "information", "entertainment", None, "abc", "wonderland"])
    shares = word_share(words)
    assert shares.to_list()[3:5] == [None, None] and shares[0] == shares[5] > 0.6 < shares[1]
    rng = np.random.default_rng(1)
    made = pl.Series(["".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz"), 12)) for _ in range(300)])
    share = word_share(made).mean()
    assert isinstance(share, float) and share == pytest.approx(150 / 676, abs=0.03)
    assert word_share(pl.Series([], dtype=pl.String)).is_empty()
    assert word_share(pl.Series(["x" * 70_000, "é" * 9])).to_list() == [0.0, 0.0]
