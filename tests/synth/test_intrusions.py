"""Intrusions leave rows in every log in which they show, are no training's, and change nothing else at a site."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from mlids.synth.archive import attack_hosts, attack_logs, attack_rows
from mlids.synth.intrusions import INTRUSIONS, profile_named
from mlids.synth.profiles.base import Logs
from mlids.synth.profiles.registry import PROFILES, trained
from mlids.synth.site import Site
from mlids.window import Window

SITE = Site(5)
START = datetime(2026, 11, 4, tzinfo=UTC)


def intrusion(name: str, seed: int = 1) -> tuple[pl.DataFrame, Logs]:
    """Return the conns of an intrusion and its rows of other logs."""
    ((conns, what),) = attack_rows(SITE, [name], Window(START, START + timedelta(days=1)), np.random.default_rng(seed))
    assert what.profile == name and what.uids == conns["uid"].to_list()
    return conns, attack_logs(conns, [what], seed)


def test_no_training_uses_an_intrusion_or_its_family() -> None:
    families = {p.family for p in trained()}
    assert all(not p.trained and p.family not in families for p in INTRUSIONS.values())
    assert set(INTRUSIONS) & set(PROFILES) == {"iodine"}, "classes are drawn from the registry, without the others"
    assert profile_named("remcom").attack_class == "lateral_movement" and profile_named("qakbot") is PROFILES["qakbot"]
    with pytest.raises(KeyError):
        profile_named("unknown")


def tls(conns: pl.DataFrame, logs: Logs) -> None:
    ssl, x509 = logs["ssl"], logs["x509"]
    assert ssl["server_name"].null_count() == ssl.height > 20 and not ssl["id.resp_p"].is_in([443, 993]).any()
    shown = ssl.drop_nulls("cert_chain_fuids")
    assert set(shown["validation_status"]) == {"self signed certificate"} and set(shown["cert_chain_fuids"].explode()) == set(x509["id"])
    assert (x509["certificate.subject"] == x509["certificate.issuer"]).all() and x509["fingerprint"].n_unique() == 1


def download(conns: pl.DataFrame, logs: Logs) -> None:
    http, files = logs["http"], logs["files"]
    assert http["uri"].str.contains(r"\.(png|jpg)$").all() and http["host"].str.contains(r"^203\.0\.113\.\d+(:\d+)?$").all()
    assert set(files["mime_type"]) == {"application/x-dosexec"} and set(files["fuid"]) == set(http["resp_fuids"].explode())


def tunnel(conns: pl.DataFrame, logs: Logs) -> None:
    assert logs["dns"]["query"].n_unique() > 50 and logs["dns"]["query"].str.len_chars().mean() > 40  # type: ignore[operator]


def guessed(conns: pl.DataFrame, logs: Logs) -> None:
    ssh = logs["ssh"].sort("ts")
    assert ssh["auth_success"].to_list() == [False] * (ssh.height - 1) + [True] and ssh.height > 80
    assert ssh["id.orig_h"].n_unique() == ssh["id.resp_h"].n_unique() == 1
    session = conns.filter(pl.col("uid") == ssh["uid"][-1])
    assert session["duration"][0] >= 60 and session["conn_state"][0] == "SF"
    assert logs["notice"]["note"].to_list() == ["SSH::Password_Guessing"] and logs["notice"]["src"][0] == ssh["id.orig_h"][0]


def service(conns: pl.DataFrame, logs: Logs) -> None:
    targets = conns["id.resp_h"].n_unique()
    assert logs["smb_mapping"].filter(pl.col("path").str.ends_with("\\ADMIN$"))["id.resp_h"].n_unique() == targets > 2
    assert set(logs["smb_files"]["action"]) == {"SMB::FILE_OPEN", "SMB::FILE_WRITE"} and set(logs["smb_files"]["name"]) == {"RemComSvc.exe"}
    assert logs["dce_rpc"].filter(operation="CreateServiceW")["id.resp_h"].n_unique() == targets
    assert logs["files"]["source"].unique().to_list() == ["SMB"] and set(logs["files"]["fuid"]) <= set(logs["smb_files"]["fuid"])


@pytest.mark.parametrize(
    ("name", "shows"),
    [("mythic_tls", tls), ("certutil_download", download), ("iodine", tunnel), ("medusa_login", guessed), ("remcom", service)],
)
def test_an_intrusion_leaves_its_rows_in_every_log(name: str, shows: Callable[[pl.DataFrame, Logs], None]) -> None:
    for seed in range(4):
        conns, logs = intrusion(name, seed)
        shows(conns, logs)
        ends = ["uid", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p"]
        for log, rows in logs.items():
            if log not in {"x509", "notice"}:
                joined = rows.join(conns.select(*ends, "duration", began="ts"), on=ends, how="inner")
                assert joined.height == rows.height, log
                assert (joined["ts"] >= joined["began"]).all()
        assert conns["id.orig_h"].n_unique() == 1


def test_every_intrusion_has_a_case_here() -> None:
    assert set(INTRUSIONS) == {"mythic_tls", "certutil_download", "iodine", "medusa_login", "remcom"}
    assert attack_hosts(SITE).outside
