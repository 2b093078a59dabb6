"""Names of addresses, from look-ups, server names and Host headers."""

from __future__ import annotations

import polars as pl

from mlids.evidence.names import Names


def test_a_name_says_how_it_is_known_and_addresses_are_no_names() -> None:
    names = Names()
    names.add("dns", pl.DataFrame({"query": ["Push.Example.com", "b.example"], "answers": [["cdn.example.net", "192.0.2.1"], None]}))
    names.add("ssl", pl.DataFrame({"id.resp_h": ["192.0.2.2", "192.0.2.3"], "server_name": ["www.example.org", None]}))
    names.add("http", pl.DataFrame({"id.resp_h": ["192.0.2.4", "192.0.2.5"], "host": ["192.0.2.4:8080", "dl.example.org"]}))
    names.add(
        "http", pl.DataFrame({"id.resp_h": ["192.0.2.6", "2001:db8::1", "192.0.2.7"], "host": ["cafe.de:8080", "[2001:db8::1]:80", "::1"]})
    )
    names.add("conn", pl.DataFrame({"id.resp_h": ["192.0.2.9"]}))
    found = names.of(pl.Series([f"192.0.2.{i}" for i in (5, 1, 2, 3, 4)])).rows()
    assert found == [
        ("192.0.2.5", "dl.example.org", False, True), ("192.0.2.1", "push.example.com", True, False), ("192.0.2.2", "www.example.org", False, True),
        ("192.0.2.3", None, False, False), ("192.0.2.4", None, False, False),
    ]  # fmt: skip
    assert names.judged == {"dns", "ssl", "http"}
    others = names.of(pl.Series(["192.0.2.6", "2001:db8::1", "192.0.2.7"]))["name"].to_list()
    assert others == ["cafe.de:8080", None, None], "letters a to f and points are not an address"


def test_state_taken_over_gives_the_same_names() -> None:
    first, second = Names(), Names()
    rows = pl.DataFrame({"query": ["a.example", "b.example"], "answers": [["192.0.2.1"], ["192.0.2.1"]]})
    first.add("dns", rows)
    second.restore(first.state())
    for names in (first, second):
        names.add("dns", rows.tail(1))
    assert first.of(pl.Series(["192.0.2.1"])).equals(second.of(pl.Series(["192.0.2.1"]))) and second.judged == {"dns"}
    assert second.of(pl.Series(["192.0.2.1"]))["name"].to_list() == ["b.example"]


def test_logs_without_the_columns_give_no_name() -> None:
    names = Names()
    names.add("dns", pl.DataFrame({"query": ["a.example"]}))
    names.add("ssl", pl.DataFrame({"server_name": ["a.example"]}))
    names.add("http", pl.DataFrame({"host": [7], "id.resp_h": [None]}))
    assert names.of(pl.Series(["192.0.2.1"]))["name"].to_list() == [None]
