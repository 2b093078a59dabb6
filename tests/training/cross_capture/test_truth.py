"""Labels that a capture does not carry in its log: a label file, addresses of attacks, a span of time, the rest."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from mlids.errors import InputError
from mlids.training.cross_capture.truth import Rule, Truth, read_label_file
from mlids.training.dataset import labelled
from mlids.zeek.types import conn_columns
from tests.conftest import CONN_HEADER, conn_line

START = datetime(2026, 11, 4, tzinfo=UTC)
CONNS = conn_columns(pl.DataFrame({
    "ts": [START + timedelta(hours=h) for h in range(4)], "uid": ["A", "B", "C", "D"],
    "id.orig_h": ["10.0.0.1", "10.0.0.1", "10.0.0.2", "10.0.0.1"], "id.resp_h": ["203.0.113.9", "203.0.113.9", "203.0.113.9", "203.0.113.1"],
    "id.resp_p": [443, 80, 443, 443],
}))  # fmt: skip
C2 = Rule("beacon", source=("10.0.0.1",), destination=("203.0.113.9",), port=(443,))


def _labels(truth: Truth, conns: pl.DataFrame = CONNS) -> list[str | None]:
    return labelled(truth.with_labels(conns)).to_list()


def test_a_rule_names_the_conns_that_match_all_its_lists() -> None:
    assert _labels(Truth(attacks=(C2,))) == ["beacon", None, None, None]
    assert _labels(Truth(attacks=(Rule("any", destination=("203.0.113.9",)),))) == ["any", "any", "any", None]


def test_the_rest_is_benign_where_it_is_said_so() -> None:
    assert _labels(Truth(attacks=(C2,), rest="benign")) == ["beacon", "benign", "benign", "benign"]
    assert _labels(Truth(rest="benign")) == ["benign"] * 4


def test_doubtful_benign_conns_have_no_label() -> None:
    truth = Truth(attacks=(C2,), rest="benign", background=(Rule("background", source=("10.0.0.1",)),))
    assert _labels(truth) == ["beacon", None, "benign", None], "what is an attack stays one"


def test_conns_outside_the_span_have_no_label() -> None:
    truth = Truth(rest="benign", start=START + timedelta(hours=1), end=START + timedelta(hours=3))
    assert _labels(truth) == [None, "benign", "benign", None]


def test_the_first_of_log_file_rule_and_rest_gives_the_label(tmp_path: Path) -> None:
    beside = tmp_path / "labels.csv"
    beside.write_text("uid,label,detailed-label\nA,Malicious,from-file\nB,Malicious,from-file\nB,Benign,-\nX,Benign,-\n")
    conns = CONNS.with_columns(label=pl.Series([None, "Malicious", None, None]), detailedlabel=pl.Series([None, "from-log", None, None]))
    truth = Truth(beside, (Rule("ruled", source=("10.0.0.2",)),), "benign")
    assert _labels(truth, conns) == ["from-file", "from-log", "ruled", "benign"]


def test_a_labelled_log_is_a_label_file(tmp_path: Path) -> None:
    log = tmp_path / "conn.log.labeled"
    header = CONN_HEADER.replace("\n#types", "\tlabel\n#types")
    lines = header.rstrip("\n").split("\n")
    lines[-1] += "\tstring"
    log.write_text(
        "\n".join([*lines, conn_line("A").rstrip("\n") + "\tMalicious C&C", conn_line("B").rstrip("\n") + "\tBackground"]) + "\n"
    )
    assert read_label_file(log).rows() == [("A", "Malicious C&C")]


def test_a_label_file_without_uids_is_refused(tmp_path: Path) -> None:
    wrong = tmp_path / "labels.csv"
    wrong.write_text("id,label\n1,Benign\n")
    with pytest.raises(InputError, match="needs the columns `uid` and `label`; it has id, label"):
        read_label_file(wrong)
