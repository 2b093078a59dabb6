"""Each attack profile obeys Zeek's rules, is deterministic, bounded, and varies; those kept aside are no training's."""

from __future__ import annotations

import re
from functools import cache

import numpy as np
import polars as pl
import pytest

from mlids.synth.archive import attack_hosts
from mlids.synth.attacks import SCENARIOS
from mlids.synth.draft import CONN_NAMES
from mlids.synth.hosts import AttackHosts
from mlids.synth.profiles.base import MAX_ROWS, Profile, Span, within
from mlids.synth.profiles.registry import CLASSES, NEW_CLASSES, PROFILES, kept_aside, pick_kept_aside, trained
from mlids.synth.site import Site
from mlids.training.labels import FAMILIES, family
from mlids.zeek.log_types import LOG_COLUMNS
from mlids.zeek.types import CONN

START = 1_793_750_400.0
DAY = Span(START, START + 86_400)
SPANS = {"ten minutes": Span(START, START + 600), "a day": DAY, "five days": Span(START, START + 5 * 86_400)}
HOSTS = attack_hosts(Site(5))
EVERY = pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)


def rows_of(profile: Profile, seed: int = 0, span: Span = DAY, hosts: AttackHosts = HOSTS) -> pl.DataFrame:
    return profile.rows(span, hosts, np.random.default_rng([seed, 4]))


@cache
def drawn(name: str, seed: int) -> pl.DataFrame:
    """The conns of a profile within a day; drawn once, as tests read them only."""
    return rows_of(PROFILES[name], seed)


@EVERY
@pytest.mark.parametrize("span", SPANS.values(), ids=SPANS)
def test_a_profile_is_bounded_labelled_and_in_its_span(profile: Profile, span: Span) -> None:
    for seed in range(4):
        rows = drawn(profile.name, seed) if span is DAY else rows_of(profile, seed, span)
        assert 4 <= rows.height <= MAX_ROWS and set(rows["label"]) == {profile.attack_class}
        ts = rows["ts"].dt.epoch("us") / 1e6
        assert ts.min() >= span.start - 1 and ts.is_sorted()  # type: ignore[operator]
        assert (ts < span.end).mean() > 0.5  # type: ignore[operator]  # the rest is left out by `within`
        assert rows["uid"].n_unique() == rows.height


@EVERY
def test_the_same_generator_gives_the_same_conns_and_another_one_others(profile: Profile) -> None:
    assert rows_of(profile, 1).equals(drawn(profile.name, 1))
    assert len({drawn(profile.name, s).drop("uid").hash_rows().sum() for s in range(4)}) == 4
    sources = {drawn(profile.name, s)["id.orig_h"][0] for s in range(6)}
    assert len(sources) > 1


@EVERY
def test_conns_obey_zeeks_rules(profile: Profile) -> None:
    rows = pl.concat([drawn(profile.name, s) for s in range(6)])
    assert rows.columns == [*CONN_NAMES, "label"] and [rows.schema[c.name] for c in CONN] == [c.dtype for c in CONN]
    unset = rows["duration"].is_null()
    assert (unset == rows["orig_bytes"].is_null()).all() and (unset == rows["resp_bytes"].is_null()).all()
    assert (rows["duration"].drop_nulls() >= 0).all() and rows["history"].str.contains(r"^\^?[ShAaDdFfRrg]*$").all()
    packets = rows["orig_pkts"] + rows["resp_pkts"]
    assert (packets >= 1).all() and (rows.filter(unset)["orig_pkts"] == 1).all(), "only a conn of one packet has no duration"
    for side in ("orig", "resp"):
        payload = rows[f"{side}_bytes"].fill_null(0)
        assert (payload <= rows[f"{side}_pkts"] * 1_460 + rows["missed_bytes"]).all(), "payload fits into the packets"
    by_state = {state[0]: part for state, part in rows.filter(proto="tcp").partition_by("conn_state", as_dict=True).items()}
    for state, part in by_state.items():
        answered = part["resp_pkts"] > 0
        match state:
            case "S0":
                assert not answered.any() and part["history"].unique().to_list() == ["S"] and part["service"].is_null().all()
            case "REJ":
                assert answered.all() and part["service"].is_null().all() and (part["resp_bytes"].fill_null(0) == 0).all()
            case "SH":
                assert not answered.any() and part["history"].str.contains("F").all()
            case "SHR":
                assert (part["orig_pkts"] == 0).all() and part["service"].is_null().all()
            case "SF":
                assert answered.all() and part["history"].str.contains("(?i)f.*f|ShAR").all()
            case _:
                assert state in {"S1", "S3", "RSTO", "RSTR", "OTH"} and answered.all()
    udp = rows.filter(proto="udp")
    assert set(udp["conn_state"]) <= {"SF", "S0"} and (udp.filter(conn_state="S0")["resp_pkts"] == 0).all()


@EVERY
@pytest.mark.parametrize("inside", [["10.0.0.5"], ["fd00::5", "fd00::6"]])
def test_a_profile_works_at_a_site_of_few_hosts_without_public_addresses(profile: Profile, inside: list[str]) -> None:
    for seed in range(4):
        rows = rows_of(profile, seed, hosts=AttackHosts(inside, inside, [], ["203.0.113.9"]))
        assert rows.height >= 4 and (rows["id.orig_h"] != rows["id.resp_h"]).all()


@EVERY
def test_other_logs_have_zeeks_columns_and_uids_of_their_conns(profile: Profile) -> None:
    for seed in range(3):
        conns = drawn(profile.name, seed)
        logs = profile.evidence(conns, np.random.default_rng(seed))
        for log, frame in logs.items():
            assert [(c.name, c.dtype) for c in LOG_COLUMNS[log]] == list(frame.schema.items()) and frame.height
            if log == "x509":
                assert set(frame["id"]) == set(logs["ssl"]["cert_chain_fuids"].explode().drop_nulls())
                continue
            joined = frame.join(conns, on="uid", how="inner", suffix="_conn")
            assert joined.height == frame.height and (joined["ts"] >= joined["ts_conn"]).all()
            assert (joined["id.resp_h"] == joined["id.resp_h_conn"]).all()
        assert logs.keys() == profile.evidence(conns, np.random.default_rng(seed)).keys()
        for log, frame in profile.evidence(conns, np.random.default_rng(seed)).items():
            assert frame.equals(logs[log])
    served = {s for service in conns["service"].drop_nulls().unique() for s in service.split(",")}
    assert {"http", "ssl", "dns", "ssh"} & served <= logs.keys() | {"ssh"} or profile.name == "winrm"


def test_profiles_kept_aside_share_no_family_with_trained_ones_and_cover_every_class() -> None:
    ours, theirs = {p.family for p in trained()}, {p.family for p in PROFILES.values() if not p.trained}
    assert not ours & theirs and len(theirs) >= 8 and len(trained()) + sum(not p.trained for p in PROFILES.values()) == len(PROFILES)
    # A site's background noise holds many inbound probes, and no attack of that class.
    assert {c for c in CLASSES if kept_aside(c)} == set(CLASSES) - {"inbound_probes"}
    assert {p.attack_class for p in trained()} >= set(NEW_CLASSES)
    rng = np.random.default_rng(0)
    assert all(not pick_kept_aside(c, rng).trained for c in CLASSES if c != "inbound_probes" for _ in range(5))
    with pytest.raises(KeyError):
        pick_kept_aside("inbound_probes", rng)


def test_names_classes_techniques_and_sources_are_filled_in() -> None:
    assert not PROFILES.keys() & set(SCENARIOS)
    for profile in PROFILES.values():
        assert profile.attack_class in CLASSES and family(profile.attack_class) == profile.attack_class
        assert re.fullmatch(r"T1\d{3}(\.\d{3})?", profile.technique) and len(profile.source) > 25, profile.name
        assert re.fullmatch(r"[a-z0-9_]+", profile.name)
    assert set(NEW_CLASSES) <= set(FAMILIES)


def test_a_beacon_keeps_its_pace_and_a_short_capture_still_has_calls() -> None:
    medians = [drawn("icedid", s)["ts"].diff().dt.total_seconds().median() for s in range(6)]
    assert 200 < float(np.median(medians)) < 400  # type: ignore[arg-type]
    assert all(rows_of(PROFILES["beacon_half_day"], s, SPANS["ten minutes"]).height >= 12 for s in range(6))


def test_long_sessions_last_and_are_scaled_to_short_captures() -> None:
    day = pl.concat([drawn("asyncrat", s) for s in range(6)])
    assert day["duration"].max() > 3_600  # type: ignore[operator]
    short = pl.concat([rows_of(PROFILES["asyncrat"], s, SPANS["ten minutes"]) for s in range(12)])
    assert 20 < short["duration"].max() <= 600  # type: ignore[operator]


def test_a_capture_has_the_rest_of_conns_in_progress_at_its_start_and_leaves_open_those_at_its_end() -> None:
    rows = drawn("njrat", 2)
    long = rows.filter(pl.col("conn_state").is_in(["SF", "RSTR", "RSTO"]), pl.col("duration") > 30).head(1)
    assert long.height == 1
    began, lasted = float(long["ts"].dt.epoch("us")[0] / 1e6), float(long["duration"][0])
    late, early = within(long, began + 10, began + lasted + 5), within(long, began - 5, began + lasted - 10)
    for part in (late, early):
        assert part["duration"][0] == pytest.approx(lasted - 10, abs=1e-3) and part["orig_bytes"][0] <= long["orig_bytes"][0]
        assert part.schema == long.schema
    assert (late["conn_state"][0], late["history"][0], late["service"][0]) == ("OTH", "DadA", None)
    assert (early["conn_state"][0], early["history"][0]) == ("S1", "ShADad") and early["ts"][0] == long["ts"][0]
    assert within(long, began + lasted + 1, began + lasted + 9).is_empty() and within(long, began - 9, began).is_empty()
    assert within(rows, DAY.start - 1e6, DAY.end + 1e6).equals(rows)


def test_captures_that_lose_packets_show_every_family_of_states() -> None:
    states = {s for p in PROFILES.values() for seed in range(6) for s in drawn(p.name, seed).filter(proto="tcp")["conn_state"]}
    assert {"SF", "S0", "REJ", "SHR", "SH", "OTH", "RSTO", "RSTR", "S1", "S3"} <= states
    missed = sum(drawn(p.name, seed)["missed_bytes"].sum() for p in PROFILES.values() for seed in range(4))
    assert missed > 0
