"""Context features: against a slow reference, cut into any batches, restored, compiled or not."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from mlids.errors import ModelError
from mlids.features import context as module
from mlids.features import flow, kernel
from mlids.features.context import FAILED_STATES, Context
from mlids.features.extract import Extractor
from mlids.features.ports import INFRA_PORTS
from mlids.features.spec import FEATURES, NAMES, POSITION
from mlids.zeek.reader import LogReader
from mlids.zeek.types import conn_columns
from tests.support.conns import calls


def stored(context: Context) -> io.BytesIO:
    """Return a context as it lies on a disk."""
    out = io.BytesIO()
    context.dump(out)
    out.seek(0)
    return out


def conns_of(*paths: Path) -> pl.DataFrame:
    return pl.concat([conn_columns(b.frame) for p in paths for b in LogReader(p)], how="diagonal_relaxed")


@pytest.fixture(scope="module")
def real_conns(real_data: Path) -> pl.DataFrame:
    return conns_of(real_data / "iot23/CTU-IoT-Malware-Capture-34-1.conn.log.labeled")[:4_000]


def reference(conns: pl.DataFrame) -> list[dict[str, float]]:
    """What the windows mean, written down plainly: every row looks back over all rows before it."""
    out = []
    clock = -1.0
    past: list[tuple[float, str, str, tuple[int, str], bool, bool]] = []
    for row in conns.iter_rows(named=True):
        end = row["ts"].timestamp() + (row["duration"] or 0.0)
        clock = max(clock, end)
        service = (row["id.resp_p"], row["proto"])
        failed = row["conn_state"] in FAILED_STATES and not row["resp_bytes"]
        probe = failed and not (row["proto"] == "udp" and row["id.resp_p"] in INFRA_PORTS)
        past.append((clock, row["id.orig_h"], row["id.resp_h"], service, failed, probe))
        short = [p for p in past if p[0] > clock - 300]
        long = [p for p in past if p[0] > clock - 3600]
        mine = [p for p in long if p[1] == row["id.orig_h"]]
        out.append(
            {
                "src_conns_5m": sum(p[1] == row["id.orig_h"] for p in short),
                "src_conns_1h": len(mine),
                "src_failed_1h": sum(p[4] for p in mine),
                "src_hosts_5m": len({p[2] for p in short if p[1] == row["id.orig_h"]}),
                "src_hosts_1h": len({p[2] for p in mine}),
                "src_ports_1h": len({p[3] for p in mine}),
                "dst_conns_1h": sum(p[2] == row["id.resp_h"] for p in long),
                "dst_sources_1h": len({p[1] for p in long if p[2] == row["id.resp_h"]}),
                "pair_ports_1h": len({p[3] for p in mine if p[2] == row["id.resp_h"]}),
                "port_hosts_1h": len({p[2] for p in mine if p[3] == service}),
                "src_failed_hosts_1h": len({p[2] for p in mine if p[5]}),
                "src_failed_ports_1h": len({p[3] for p in mine if p[5]}),
                "port_failed_hosts_1h": len({p[2] for p in mine if p[5] and p[3] == service}),
                "triple_conns_5m": sum(p[1:4] == (row["id.orig_h"], row["id.resp_h"], service) for p in short),
            }
        )
    return out


def test_windows_are_exact(real_data: Path) -> None:
    conns = conns_of(real_data / "slips/test9-mixed-zeek-dir/conn.log", real_data / "slips/port-scans/vertical/conn.log")
    # One network in one time: the two captures lie decades apart, which the clock does not believe at once.
    conns = conns.filter(pl.col("ts").dt.year() == 1970)
    assert conns.height > 400
    raw = Context().update(conns)
    wanted = reference(conns)
    for name in wanted[0]:
        column = raw[:, kernel.OUTPUTS.index(name)]
        assert column.tolist() == [w[name] for w in wanted], name


def test_compiled_and_plain_give_the_same_numbers(real_conns: pl.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COMPILE_FROM_ROWS", 10**9)
    plain = Extractor().features(real_conns)
    monkeypatch.setattr(module, "COMPILE_FROM_ROWS", 0)
    assert np.array_equal(plain, Extractor().features(real_conns))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_batches_and_restarts_change_nothing(real_conns: pl.DataFrame, seed: int) -> None:
    whole = Extractor().features(real_conns)
    rng = np.random.default_rng(seed)
    live, parts, at = Extractor(), [], 0
    while at < real_conns.height:
        n = int(rng.integers(1, 700))
        parts.append(live.features(real_conns.slice(at, n)))
        at += n
        if rng.random() < 0.5:
            live = Extractor(context=Context.load(stored(live.context)))
    assert np.array_equal(whole, np.concatenate(parts))


def test_distinct_texts_and_single_rows_give_the_same_numbers(real_data: Path) -> None:
    """Large batches evaluate each distinct text once, small ones each row: a live batch is small, a day is large."""
    logs = [log for name in ("stratosphere", "otrf", "iot23") for log in (real_data / name).rglob("*conn.log*")]
    conns = conns_of(*sorted(logs))
    assert conns.height > 3 * flow._FEW and conns["service"].null_count() and conns["id.orig_h"].str.contains(":").any()
    whole = flow.flow_features(conns)
    pieces = pl.concat([flow.flow_features(conns.slice(at, 1_000)) for at in range(0, conns.height, 1_000)])
    assert whole.equals(pieces.select(whole.columns))


def test_addresses_may_be_renamed(real_conns: pl.DataFrame) -> None:
    """A consistent renaming that keeps inside and outside apart changes no feature."""
    known = pl.concat([real_conns["id.orig_h"], real_conns["id.resp_h"]]).unique()
    inside = [a for a in known if a.startswith("192.168.")]
    fresh = {a: f"10.9.{i // 250}.{i % 250 + 1}" for i, a in enumerate(inside)}
    plain = [a for a in known if a not in fresh and not a.endswith(".255") and int(a.split(".")[0]) < 224]
    fresh |= {a: f"8.{i // 62500}.{i // 250 % 250}.{i % 250 + 1}" for i, a in enumerate(plain)}
    renamed = real_conns.with_columns(pl.col("id.orig_h", "id.resp_h").replace(fresh))
    assert not renamed["id.orig_h"].equals(real_conns["id.orig_h"])
    assert np.array_equal(Extractor().features(real_conns), Extractor().features(renamed))


def test_shifting_the_clock_changes_nothing(real_conns: pl.DataFrame) -> None:
    later = real_conns.with_columns(pl.col("ts") + pl.duration(days=3, hours=7))
    np.testing.assert_allclose(Extractor().features(real_conns), Extractor().features(later), atol=1e-4)


def test_a_flood_of_sources_keeps_memory_bounded() -> None:
    n = 60_000
    conns = conn_columns(
        pl.DataFrame(
            {
                "ts": pl.Series(np.arange(n) * 1000).cast(pl.Datetime("us")).dt.replace_time_zone("UTC"),
                "id.orig_h": [f"198.{i >> 16}.{i >> 8 & 255}.{i & 255}" for i in range(n)],
                "id.resp_h": ["10.0.0.1"] * n,
                "id.resp_p": pl.Series([80] * n, dtype=pl.UInt32),
                "proto": ["tcp"] * n,
                "conn_state": ["S0"] * n,
            }
        )
    )
    small = Context(max_entities=1 << 14, max_events=1 << 13)
    raw = small.update(conns)
    assert len(small.keys) == 1 << 14 and len(small.ring_t) <= 1 << 13
    assert (small.counts[: int(small.scalars[kernel.USED])] >= 0).all()
    assert raw[-1, kernel.OUTPUTS.index("dst_sources_5m")] > 1_000
    # Bounded state is a function of the rows alone, too.
    cut = Context(max_entities=1 << 14, max_events=1 << 13)
    parts = [cut.update(conns.slice(at, 777)) for at in range(0, n, 777)]
    assert np.array_equal(raw, np.concatenate(parts), equal_nan=True)


def last_of(conns: pl.DataFrame, name: str) -> float:
    return float(Context().update(conns)[-1, kernel.OUTPUTS.index(name)])


def test_a_conn_that_zeek_wrote_late_does_not_disturb_the_pace() -> None:
    """Zeek closes silent conns after five minutes: they come between conns that started long after them."""
    starts = [60.0 * i for i in range(20)]
    held = [*starts[:12], 60.0 * 6 + 30, *starts[12:]]
    rows = calls(held, lasted=[300.0 if s % 60 else 0.1 for s in held])
    assert last_of(rows, "triple_gap_median_s") == pytest.approx(60.0)
    assert last_of(rows, "triple_gap_steady") == 1.0 and last_of(rows, "triple_gaps") == 19


def test_conns_of_one_call_are_one_call() -> None:
    starts = [60.0 * i + 0.2 * j for i in range(20) for j in range(4)]
    assert last_of(calls(starts), "triple_gaps") == 19
    assert last_of(calls(starts), "triple_gap_steady") == 1.0


def test_the_median_gap_follows_a_change_of_sleep() -> None:
    starts = [10.0 * i for i in range(40)]
    starts += [starts[-1] + 60.0 * (i + 1) for i in range(60)]
    assert last_of(calls(starts), "triple_gap_median_s") == pytest.approx(60.0, rel=0.1)
    assert last_of(calls(starts), "triple_gap_steady") > 0.6


def test_random_gaps_and_sizes_are_not_steady() -> None:
    rng = np.random.default_rng(4)
    starts = np.cumsum(rng.exponential(60.0, 400)).tolist()
    rows = calls(starts, sizes=rng.lognormal(7, 1.5, 400).astype(int).tolist())
    assert last_of(rows, "triple_gap_steady") < 0.5 and last_of(rows, "triple_size_steady") < 0.3


def test_the_time_of_all_conns_to_a_service_adds_up() -> None:
    assert last_of(calls([0.0, 4_000.0, 9_000.0], lasted=[3_600.0, 1_800.0, 60.0]), "triple_lasted_s") == pytest.approx(5_460.0)


def test_failures_are_counted_by_host_and_upkeep_is_none() -> None:
    """300 refused conns to one server make no scan, nor do dead time servers or conns whose answer the sensor saw."""
    one = calls([float(i) for i in range(300)], conn_state="REJ")
    assert last_of(one, "src_failed_hosts_1h") == 1 and last_of(one, "src_failed_1h") == 300
    many = calls([float(i) for i in range(30)], conn_state="S0").with_columns(
        pl.Series("id.resp_h", [f"198.51.100.{i}" for i in range(30)])
    )
    assert last_of(many, "port_failed_hosts_1h") == 30
    time_servers = many.with_columns(pl.lit("udp").alias("proto"), pl.lit(123, pl.UInt32).alias("id.resp_p"))
    assert last_of(time_servers, "port_failed_hosts_1h") == 0
    answered = many.with_columns(pl.lit("SHR").alias("conn_state"), pl.lit(900, pl.UInt64).alias("resp_bytes"))
    assert last_of(answered, "port_failed_hosts_1h") == last_of(answered, "src_failed_1h") == 0


def test_hosts_on_odd_ports_fade_within_days() -> None:
    n = 40
    peers = calls([600.0 * i for i in range(n)]).with_columns(
        pl.Series("id.resp_h", [f"198.51.{i}.7" for i in range(n)]), pl.Series("id.resp_p", [20_011 + i % 12 for i in range(n)], pl.UInt32),
        pl.lit(40_000, pl.UInt32).alias("id.orig_p"),
    )  # fmt: skip
    assert 30 < last_of(peers, "src_odd_hosts_1d") <= n and 8 < last_of(peers, "src_odd_ports_1d") <= 12
    later = pl.concat([peers, calls([600.0 * n + 3 * 86_400.0 + i for i in range(4)])])  # the clock believes three rows
    assert last_of(later, "src_odd_hosts_1d") == 0.0


def test_one_absurd_stamp_does_not_empty_the_windows(real_conns: pl.DataFrame) -> None:
    rows = real_conns[:300]
    absurd = rows[150:151].with_columns(ts=pl.datetime(2099, 1, 1, time_zone="UTC", time_unit="us"))
    raw = Context().update(pl.concat([rows[:150], absurd, rows[150:]]))
    clean = Context().update(rows)
    column = kernel.OUTPUTS.index("src_conns_1h")
    assert raw[-1, column] == clean[-1, column] + 1


def test_every_feature_is_finite_and_declared(real_conns: pl.DataFrame) -> None:
    broken = real_conns[:50].with_columns(
        orig_bytes=pl.lit(2**64 - 1, pl.UInt64), orig_ip_bytes=pl.lit(None, pl.UInt64), duration=pl.lit(1e18),
        proto=pl.lit(None, pl.String), conn_state=pl.lit(None, pl.String), ts=pl.lit(None, pl.Datetime("us", "UTC")),
    )  # fmt: skip
    extractor = Extractor()
    for rows in (broken, real_conns[:50], real_conns[:50].select("uid", "id.orig_h")):
        x = extractor.features(rows)
        assert x.shape == (50, len(FEATURES)) and np.isfinite(x).all()
    assert len(set(NAMES)) == len(NAMES) == len(POSITION)


def test_no_address_port_or_clock_is_a_feature() -> None:
    banned = ("_h", "addr", "port_number", "hour", "weekday", "uid", "capture")
    assert not [n for n in NAMES if any(n.endswith(b) or b in n.split("_") for b in banned)]


def test_state_of_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    held = stored(Context())
    monkeypatch.setattr(module, "_STATE_VERSION", 99)
    with pytest.raises(ModelError, match="another version"):
        Context.load(held)
