"""The other logs of a site's benign conns: joined by uid, names that were looked up before, certificates, browsers, logins."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl
import pytest

from mlids.synth.ordinary.day import OTHER_LOGS, WRITTEN, DayLogs, logs_of, names_sent
from mlids.synth.ordinary.devices import device_conns, nas, printer
from mlids.synth.profiles.base import Logs
from mlids.synth.site import Site
from mlids.zeek.log_types import LOG_COLUMNS

DAY = date(2026, 11, 4)
SITE = Site(5)
_ENDS = ["uid", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p"]


@pytest.fixture(scope="module")
def conns() -> pl.DataFrame:
    return pl.concat([SITE.day(DAY, 12_000), device_conns(SITE, DAY)])


@pytest.fixture(scope="module")
def logs(conns: pl.DataFrame) -> Logs:
    return logs_of(SITE, conns, {}, 7)


def inside(column: str = "id.orig_h") -> pl.Expr:
    return pl.col(column).str.contains(r"^(10\.|fd)")


def test_every_row_belongs_to_a_conn_of_its_service_within_its_time(conns: pl.DataFrame, logs: Logs) -> None:
    assert set(logs) == set(OTHER_LOGS) - {"notice"}
    services = {"smb_files": "smb", "smb_mapping": "smb", "files": "http"}
    for log, rows in logs.items():
        assert list(rows.drop(WRITTEN).schema.items()) == [(c.name, c.dtype) for c in LOG_COLUMNS[log]]
        if log == "x509":
            continue
        joined = rows.join(conns.select(*_ENDS, "service", lasts="duration", began="ts"), on=_ENDS, how="inner")
        assert joined.height == rows.height > 0, log
        late = (joined["ts"] - joined["began"]).dt.total_microseconds() / 1e6
        assert (late >= 0).all() and (late <= joined["lasts"].fill_null(0.0) + 1e-5).all(), log
        assert joined["service"].str.split(",").list.contains(services.get(log, log)).all(), log


def test_every_conn_of_a_service_has_its_row(conns: pl.DataFrame, logs: Logs) -> None:
    for log in ("http", "ssl"):
        served = conns.filter(pl.col("service").str.split(",").list.contains(log))
        assert set(served["uid"]) == set(logs[log]["uid"]), log
    queries = conns.filter(pl.col("service") == "dns", pl.col("orig_bytes").fill_null(0) > 0)
    assert set(queries["uid"]) == set(logs["dns"].filter(pl.col("uid").is_in(queries["uid"].implode()))["uid"])


def test_every_name_was_looked_up_before_and_answered_with_the_address_of_the_conn(logs: Logs) -> None:
    dns = logs["dns"].with_columns(answered=pl.col("ts") + pl.duration(microseconds=(pl.col("rtt") * 1e6).cast(pl.Int64)))
    answers = dns.drop_nulls("answers").explode("answers").select(name="query", address="answers", answered="answered")
    first = answers.group_by("name", "address").agg(pl.col("answered").min())
    sent = names_sent(logs).filter(inside())
    found = sent.join(first, on=["name", "address"], how="left")
    assert found.height > 3_000 and found["answered"].null_count() == 0
    early = found.filter(pl.col("answered") > pl.col("ts")).join(sent.group_by("address").agg(begins=pl.col("ts").min()), on="address")
    assert early.height < 0.01 * found.height
    assert (early["begins"] < dns["answered"].min()).all(), "only what was known from the day before is contacted before its look-up"
    own = sent.join(
        dns.drop_nulls("answers").explode("answers").select("id.orig_h", address="answers"), on=["id.orig_h", "address"], how="semi"
    )
    assert own.height > 0.5 * sent.height, "most clients ask themselves"


def test_a_server_without_a_name_in_its_handshake_was_looked_up_as_well(logs: Logs) -> None:
    looked_up = set(logs["dns"]["answers"].explode().drop_nulls())
    bare = logs["ssl"].filter(pl.col("server_name").is_null(), inside())
    outside = bare.filter(~inside("id.resp_h"))
    assert 0 < outside.height < 0.02 * logs["ssl"].height and set(outside["id.resp_h"]) <= looked_up
    assert set(bare.filter(inside("id.resp_h"))["id.resp_h"]) == {printer(SITE)}


def test_certificates_are_joined_to_handshakes_and_issued_by_known_cas(logs: Logs) -> None:
    ssl, x509 = logs["ssl"], logs["x509"]
    shown = ssl.select("uid", "server_name", "validation_status", "id.resp_h", "version", id="cert_chain_fuids").drop_nulls("id")
    assert (shown["version"] == "TLSv12").all() and shown.height > 0.1 * ssl.height
    every = shown.explode("id")
    assert every["id"].is_unique().all() and set(every["id"]) == set(x509["id"])
    leaves = shown.with_columns(id=pl.col("id").list.first()).join(x509, on="id")
    assert leaves["host_cert"].all() and (leaves["certificate.not_valid_before"] < leaves["ts"]).all()
    assert (leaves["certificate.not_valid_after"] > leaves["ts"]).all()
    named = leaves.drop_nulls("server_name")
    assert (named["certificate.subject"] == "CN=" + named["server_name"]).all()
    own = leaves.filter(pl.col("validation_status") == "self signed certificate")
    assert {printer(SITE), nas(SITE)} <= set(own["id.resp_h"]) and (own["certificate.subject"] == own["certificate.issuer"]).all()
    ok = leaves.filter(pl.col("validation_status") == "ok")
    assert ok.height > 0.5 * leaves.height and ok["certificate.issuer"].n_unique() == 4
    assert leaves.group_by("id.resp_h").agg(pl.col("fingerprint").n_unique())["fingerprint"].mean() < 1.1  # type: ignore[operator]


def test_requests_have_browsers_names_and_files_of_their_size(logs: Logs) -> None:
    http, files = logs["http"], logs["files"]
    outward = http.filter(~inside("id.resp_h"), pl.col("id.resp_p") == 80)
    assert outward["host"].str.contains(r"^[a-z]+\.example-\d+\.com$").all()
    assert outward["user_agent"].str.starts_with("Mozilla/5.0").mean() > 0.4  # type: ignore[operator]
    monitored = http.filter(pl.col("id.orig_h") == SITE.monitor[0])
    assert monitored.height > 50 and set(monitored["user_agent"]) == {"Prometheus/2.53.1"}
    assert monitored["host"].str.contains(r"^10\.\d+\.\d+\.\d+:9100$").all()
    got = http.explode("resp_fuids").drop_nulls("resp_fuids").join(files, left_on="resp_fuids", right_on="fuid", how="inner")
    assert got.height == files.height and (got["response_body_len"] == got["seen_bytes"]).all()
    programs = files.filter(pl.col("mime_type") == "application/x-dosexec")
    assert 0 < programs.height < 0.05 * files.height and (programs["seen_bytes"] > 100_000).all()


def test_logins_succeed_now_and_then_after_a_wrong_password(logs: Logs) -> None:
    ssh = pl.concat([logs["ssh"], *(logs_of(SITE, SITE.day(DAY + timedelta(days=n), 30_000), {}, n)["ssh"] for n in (1, 2))])
    assert 0.9 < ssh["auth_success"].mean() < 1.0 and ssh["auth_success"].null_count() > 0  # type: ignore[operator]
    assert (ssh.filter(pl.col("auth_success"))["auth_attempts"] > 1).any()
    jobs = ssh.filter(pl.col("id.resp_h") == SITE.backup)
    assert jobs.height >= 3 * 3 * len(SITE.servers) and jobs["auth_success"].all()


def test_rows_depend_on_seed_and_day_only_and_come_in_the_order_of_writing(conns: pl.DataFrame, logs: Logs) -> None:
    again = logs_of(SITE, conns.sample(fraction=1.0, shuffle=True, seed=1), {}, 7)
    assert all(again[log].sort("ts", WRITTEN).equals(rows.sort("ts", WRITTEN)) for log, rows in logs.items() if log in {"ssl", "http"})
    assert not logs_of(SITE, conns, {}, 8)["ssl"].equals(logs["ssl"])
    assert all(rows[WRITTEN].is_sorted() and (rows[WRITTEN] >= rows["ts"]).all() for rows in logs.values())


def test_batches_of_hours_hold_what_one_batch_of_the_day_holds(conns: pl.DataFrame, logs: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlids.synth.ordinary.day._BATCH", 1)
    parts = list(DayLogs(SITE, 7).batches(conns, {}))
    assert len(parts) == 24 and [end for end, _ in parts] == sorted(end for end, _ in parts)
    for log in ("ssl", "ssh", "smb_mapping"):
        hourly = pl.concat([part[log] for _, part in parts if log in part])
        assert sorted(hourly["uid"]) == sorted(logs[log]["uid"])
    known = pl.concat([part["dns"] for _, part in parts])["answers"].explode().drop_nulls()
    bare = pl.concat([names_sent(part) for _, part in parts]).filter(inside(), ~pl.col("address").is_in(known.implode()))
    assert bare.is_empty()
    queries = [part["dns"]["uid"].value_counts()["count"].to_list() for _, part in parts]
    assert max(map(max, queries)) < 60, "no conn carries the look-ups of a whole site"


def test_a_day_without_look_ups_and_a_day_without_conns() -> None:
    day = SITE.day(DAY, 500)
    silent = day.filter((pl.col("service") != "dns").fill_null(value=True))
    logs = logs_of(SITE, silent, {}, 7)
    assert "dns" not in logs and logs["ssl"].height > 100
    assert logs_of(SITE, day.head(0), {}, 7) == {}
