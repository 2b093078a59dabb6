"""Labels from notice.log: which conns a notice labels."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from mlids.training.dataset import ExampleOptions, gather_examples
from mlids.training.label_sources.base import ConnLabels
from mlids.training.label_sources.notices import NoticeLabels


def notice(at: datetime, note: str, **fields: str) -> pl.DataFrame:
    return pl.DataFrame({"ts": [at], "note": [note], **{k: [v] for k, v in fields.items()}})


def test_a_scan_notice_labels_failed_conns_of_its_host_just_before_it(conns: pl.DataFrame, noon: datetime) -> None:
    source = NoticeLabels()
    source.add(notice(noon, "Scan::Address_Scan", src="10.0.0.9"))
    source.add(notice(noon, "SSL::Invalid_Server_Cert", src="10.0.0.1", uid="C2"))
    hit = conns.with_columns(label=source.labels(conns)).drop_nulls("label")
    assert set(hit["label"]) == {"horizontal_scan"}
    # The host's own rows of the last 15 minutes, except C51, which was answered.
    assert hit["uid"].to_list() == ["C45", "C47", "C49", "C53", "C55", "C57", "C59"]


def test_a_notice_with_a_uid_labels_that_conn(conns: pl.DataFrame, noon: datetime) -> None:
    source = NoticeLabels()
    source.add(notice(noon, "SSH::Password_Guessing", uid="C4"))
    source.add(notice(noon, "Scan::Port_Scan", uid="C4"))
    assert dict(conns.with_columns(label=source.labels(conns)).drop_nulls("label").select("uid", "label").iter_rows()) == {
        "C4": "brute_force"
    }, "the first notice about a uid is kept"


def test_examples_carry_the_source_and_a_log_without_the_columns_gives_no_label(conns: pl.DataFrame, noon: datetime) -> None:
    source = NoticeLabels()
    source.add(pl.DataFrame({"msg": ["nothing to see"]}))
    source.add(notice(noon, "Scan::Port_Scan", src="10.0.0.9", dst="10.0.1.59"))
    options = ExampleOptions(1_000, labels=ConnLabels([source]), rounds=0)
    _, frame = gather_examples(lambda: iter([conns]), "hq", options)
    counts = dict(frame.group_by("source").len().iter_rows())
    assert counts == {"notice": 1, "assumed": frame.height - 1}
    assert frame.filter(pl.col("source") == "notice")["label"].to_list() == ["vertical_scan"]
