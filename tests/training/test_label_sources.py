"""Labels from Zeek's notices and from analysts: who they fall on, and whose word counts more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl

from mlids.features.extract import conn_columns
from mlids.training.dataset import gather
from mlids.training.label_sources import LabelSources
from mlids.training.labels import BENIGN

AT = datetime(2026, 11, 4, 12, tzinfo=UTC)


def conns(n: int = 60) -> pl.DataFrame:
    rows = {
        "ts": [AT - timedelta(minutes=n - i) for i in range(n)], "uid": [f"C{i}" for i in range(n)],
        "id.orig_h": ["10.0.0.9" if i % 2 else "10.0.0.1" for i in range(n)], "id.orig_p": [40_000] * n,
        "id.resp_h": [f"10.0.1.{i}" for i in range(n)], "id.resp_p": [445] * n, "proto": ["tcp"] * n,
        "conn_state": ["SF" if i % 10 == 1 else "S0" for i in range(n)], "duration": [None] * n,
    }  # fmt: skip
    return conn_columns(pl.DataFrame(rows, schema_overrides={"duration": pl.Float64}))


def notice(note: str, **more: object) -> pl.DataFrame:
    return pl.DataFrame({"ts": [AT], "note": [note], **{k: [v] for k, v in more.items()}})


def test_a_scan_notice_falls_on_what_its_host_tried_in_vain_just_before() -> None:
    book = LabelSources()
    book.add_notices(notice("Scan::Address_Scan", src="10.0.0.9"))
    book.add_notices(notice("SSL::Invalid_Server_Cert", src="10.0.0.1", uid="C2"))
    told = conns().with_columns(book.tell(conns()))
    hit = told.filter(pl.col("label").is_not_null())
    assert set(hit["label"]) == {"horizontal_scan"} and set(hit["source"]) == {"notice"}
    # Of the last 15 minutes, the host's own rows, save the one that was answered.
    assert hit["uid"].to_list() == ["C45", "C47", "C49", "C53", "C55", "C57", "C59"]


def test_a_uid_is_enough_and_a_verdict_outweighs_a_notice() -> None:
    book = LabelSources()
    book.add_notices(notice("SSH::Password_Guessing", uid="C4"))
    book.add_verdicts(
        [
            {"verdict": "false positive", "mlids": {"kind": "brute_force", "attack_class": None, "uids": ["C4"]}},
            {"verdict": "true_positive", "mlids": {"kind": "anomaly", "attack_class": "C&C", "uids": ["C6", "C8"]}},
            {"verdict": None, "mlids": {"kind": "anomaly", "attack_class": None, "uids": ["C10"]}},
        ]
    )
    told = book.tell(conns()).with_columns(conns()["uid"])
    assert dict(told.drop_nulls("label").select("uid", "label").iter_rows()) == {
        "C4": BENIGN, "C6": "command_and_control", "C8": "command_and_control",
    }  # fmt: skip
    assert set(told.drop_nulls("label")["source"]) == {"verdict"}


def test_examples_carry_the_witness_and_a_log_without_columns_is_no_fault() -> None:
    book = LabelSources()
    book.add_notices(pl.DataFrame({"msg": ["nothing to see"]}))
    book.add_notices(notice("Scan::Port_Scan", src="10.0.0.9", dst="10.0.1.59"))
    _, frame = gather(lambda: iter([conns()]), "hq", max_benign=1_000, label_sources=book, rounds=0)
    counts = dict(frame.group_by("source").len().iter_rows())
    assert counts == {"notice": 1, "assumed": frame.height - 1}
    assert frame.filter(pl.col("source") == "notice")["label"].to_list() == ["vertical_scan"]
