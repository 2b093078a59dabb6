"""Rows of drafts obey Zeek's rules."""

from __future__ import annotations

from datetime import UTC, date, datetime

import numpy as np
import polars as pl

from mlids.synth.archive import day_with_attacks
from mlids.synth.draft import CONN_NAMES, Draft, joined, text, uids, written, written_order
from mlids.synth.profiles.registry import CLASSES, kept_aside
from mlids.synth.site import Site
from mlids.zeek.types import CONN

DAY = date(2026, 11, 4)


def test_rows_obey_zeeks_rules() -> None:
    rows, _ = day_with_attacks(Site(5), DAY, 4_000, [name for name in CLASSES if kept_aside(name)])
    assert rows["uid"].n_unique() == rows.height and rows["uid"].str.contains(r"^C[A-Za-z0-9]{15}$").all()
    # `duration` is unset exactly when payload bytes are, and rows are in the order in which Zeek writes them.
    unset = rows["duration"].is_null()
    assert unset.sum() > 50 and (unset == rows["orig_bytes"].is_null()).all() and (unset == rows["resp_bytes"].is_null()).all()
    assert rows.select(written()).to_series().is_sorted() and not rows["ts"].is_sorted()
    assert rows.filter(pl.col("conn_state") == "S0", pl.col("proto") == "tcp")["resp_pkts"].max() == 0
    assert rows["id.orig_h"].str.contains(":").any(), "there is IPv6"


def _draft(durations: list[float]) -> Draft:
    n = len(durations)
    ones = np.ones(n)
    return Draft(
        ts=100.0 + np.arange(n), orig_h=text("10.0.0.1", n), orig_p=ones, resp_h=text("192.0.2.1", n), resp_p=ones, proto=text("tcp", n),
        service=text(None, n), duration=np.array(durations), orig_bytes=ones * 10, resp_bytes=ones * 20, conn_state=text("SF", n),
        history=text("D", n), orig_pkts=ones * 2, resp_pkts=ones,
    )  # fmt: skip


def test_a_draft_becomes_rows_with_zeeks_types() -> None:
    frame = _draft([1.5, float("nan")]).frame(np.random.default_rng(0))
    assert frame.columns == [*CONN_NAMES, "label"] and [frame.schema[c.name] for c in CONN] == [c.dtype for c in CONN]
    first, second = frame.rows(named=True)
    assert (first["orig_ip_bytes"], first["resp_ip_bytes"], first["local_orig"], first["local_resp"]) == (10 + 2 * 52, 20 + 52, True, False)
    assert (second["duration"], second["orig_bytes"], second["orig_ip_bytes"], second["label"]) == (None, None, 2 * 52, None)


def test_drafts_are_joined_in_the_order_of_their_starts() -> None:
    first, second = _draft([1.5, 2.5]), _draft([3.5])
    second.ts, second.missed_bytes = second.ts + 0.5, np.array([7.0])
    both = joined([first, second])
    assert both.ts.tolist() == [100.0, 100.5, 101.0] and both.duration.tolist() == [1.5, 3.5, 2.5]
    assert both.frame(np.random.default_rng(0))["missed_bytes"].to_list() == [0, 7, 0]


def test_rows_are_ordered_by_their_ends() -> None:
    frame = _draft([9.0, float("nan"), 0.5]).frame(np.random.default_rng(0))
    assert written_order(frame)["ts"].dt.epoch("s").to_list() == [101, 102, 100]


def test_what_was_not_closed_is_written_minutes_later() -> None:
    frame = _draft([1.0] * 6).frame(np.random.default_rng(0)).with_columns(
        ts=pl.lit(datetime(2026, 11, 4, tzinfo=UTC)), conn_state=pl.Series(["SF", "RSTO", "S1", "SF", "S0", "OTH"]),
        proto=pl.Series(["tcp", "tcp", "tcp", "udp", "udp", "icmp"]), service=pl.Series([None, None, None, "dns", None, None], dtype=pl.String),
    )  # fmt: skip
    late = frame.select((written() - pl.col("ts")).dt.total_milliseconds() / 1e3 - 1.0).to_series()
    assert late.round(6).to_list() == [5.0, 0.1, 300.0, 10.0, 60.0, 60.0]


def test_uids_come_from_the_generator() -> None:
    first, second = uids(50, np.random.default_rng(1)), uids(50, np.random.default_rng(1))
    assert first.equals(second) and first.n_unique() == 50 and first.str.contains("^C[A-Za-z0-9]{15}$").all()
