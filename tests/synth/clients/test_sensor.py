"""A sensor with faults writes what real ones write: gaps, conns of one direction, conns that begin in their middle."""

from __future__ import annotations

from datetime import UTC, date, datetime

import numpy as np
import polars as pl
import pytest

from mlids.synth.clients.network import ClientNetwork
from mlids.synth.clients.sensor import Sensor, as_seen, draw_sensor

START = datetime(2026, 11, 4, tzinfo=UTC).timestamp()


@pytest.fixture(scope="module")
def rows() -> pl.DataFrame:
    return pl.concat([rows for _, rows in ClientNetwork(44, "home").parts(date(2026, 11, 4))]).filter(pl.col("missed_bytes") == 0)


def seen(rows: pl.DataFrame, sensor: Sensor) -> pl.DataFrame:
    return as_seen(rows, sensor, np.random.default_rng(3), START)


def test_a_sensor_without_faults_changes_nothing(rows: pl.DataFrame) -> None:
    assert seen(rows, Sensor()).equals(rows)


def test_lost_packets_leave_gaps_and_unclosed_conns(rows: pl.DataFrame) -> None:
    after = seen(rows, Sensor(lossy=0.5))
    touched = after.filter(pl.col("missed_bytes") > 0)
    assert touched.height > 100 and touched["history"].str.contains("g").all() and set(touched["proto"]) == {"tcp"}
    assert after["uid"].equals(rows["uid"]) and after["resp_bytes"].equals(rows["resp_bytes"])
    assert (after["resp_ip_bytes"] < rows["resp_ip_bytes"]).sum() == touched.height
    assert (after["conn_state"] == "S1").sum() > (rows["conn_state"] == "S1").sum()


def test_one_direction_alone(rows: pl.DataFrame) -> None:
    after = seen(rows, Sensor(one_sided=0.5))
    changed = after.filter(after["history"].ne_missing(rows["history"]))
    assert set(changed["conn_state"]) >= {"SHR", "SH"}
    blind = changed.filter(pl.col("conn_state").is_in(["SHR", "RSTRH"]))
    assert blind.height > 20 and blind["orig_pkts"].sum() == 0 and not blind["history"].str.contains("[A-Z]").any()


def test_a_restart_cuts_open_conns(rows: pl.DataFrame) -> None:
    after = seen(rows, Sensor(restarts=3.0))
    cut = after.filter(after["ts"] != rows["ts"])
    assert cut.height > 3 and cut["ts"].n_unique() <= 10 and not cut["history"].str.contains("^S").any()
    before = rows.filter(after["ts"] != rows["ts"])
    assert (cut["duration"] <= before["duration"]).all() and "OTH" in set(cut["conn_state"])


def test_sensors_differ_between_networks() -> None:
    assert len({draw_sensor(seed) for seed in range(40)}) > 8
