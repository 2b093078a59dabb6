"""What is written is read back: TSV and JSON, plain and gzip, in Zeek's form."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from mlids.zeek.reader import LogReader
from mlids.zeek.types import DNS, TIME, conn_columns
from mlids.zeek.writer import footer_line, header_lines, json_rows, tsv_rows, write_log

NOW = datetime(2024, 4, 19, tzinfo=UTC)


def _conns() -> pl.DataFrame:
    return conn_columns(
        pl.DataFrame(
            {
                "ts": [NOW, datetime(2024, 4, 19, 0, 0, 1, 5, tzinfo=UTC)], "uid": ["C1", "C2"], "id.orig_h": ["10.0.0.1", "::"],
                "service": ["a\tb", ""], "duration": [1.5, None], "orig_bytes": [2**64 - 1, None], "local_orig": [True, False],
                "tunnel_parents": [["C3", "C4"], []],
            },
            schema_overrides={"ts": TIME, "orig_bytes": pl.UInt64},
        )
    )  # fmt: skip


@pytest.mark.parametrize("name", ["conn.log", "conn.log.gz"])
@pytest.mark.parametrize("form", ["tsv", "json"])
def test_rows_are_read_back_as_they_were(form: str, name: str, tmp_path: Path) -> None:
    write_log(tmp_path / name, _conns(), log="conn", form=form, opened=NOW, closed=NOW)
    frames = [conn_columns(b.frame.drop("line")) for b in LogReader(tmp_path / name)]
    assert pl.concat(frames).equals(_conns())
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_header_and_footer_are_zeeks() -> None:
    lines = header_lines("dns", DNS, NOW).decode().splitlines()
    assert lines[0] == "#separator \\x09" and lines[4] == "#path\tdns" and lines[5] == "#open\t2024-04-19-00-00-00"
    assert [line.split("\t")[0] for line in lines[6:]] == ["#fields", "#types"] and lines[6].count("\t") == lines[7].count("\t") == len(DNS)
    assert footer_line(NOW) == b"#close\t2024-04-19-00-00-00\n"


def test_tsv_marks_unset_and_empty_and_escapes_separators() -> None:
    first, second = tsv_rows(_conns()).decode().splitlines()
    assert first.startswith("1713484800.000000\tC1\t10.0.0.1\t-\t") and "\ta\\x09b\t1.5" in first and first.endswith("\tC3,C4")
    assert second.startswith("1713484801.000005\t") and "\t(empty)\t-\t-\t" in second and second.endswith("\t(empty)")


def test_json_leaves_unset_fields_out() -> None:
    first, second = (json.loads(line) for line in json_rows(_conns()).splitlines())
    assert first["ts"] == 1713484800.0 and first["orig_bytes"] == 2**64 - 1 and "id.orig_p" not in first
    assert "duration" not in second and second["service"] == "" and second["tunnel_parents"] == []


def test_columns_follow_from_the_log_type(tmp_path: Path) -> None:
    dns = pl.DataFrame({c.name: [None] for c in DNS}, schema={c.name: c.dtype for c in DNS}).with_columns(
        ts=pl.lit(NOW), query=pl.lit("a.example")
    )
    write_log(tmp_path / "dns.log", dns, log="dns", opened=NOW)
    batch = next(iter(LogReader(tmp_path / "dns.log")))
    assert batch.log == "dns" and batch.frame["query"].to_list() == ["a.example"] and "conn_state" not in batch.frame.columns
