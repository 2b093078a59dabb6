"""Log types by file name, by column, and under other names."""

from __future__ import annotations

import pytest

from mlids.zeek.log_types import LOG_COLUMNS, is_log_type, log_type_of, log_type_of_columns


@pytest.mark.parametrize(
    ("name", "log"),
    [
        ("conn.log", "conn"), ("conn.00:00:00-01:00:00.log.gz", "conn"), ("conn-summary.00:00:00-01:00:00.log.gz", "conn-summary"),
        ("SCRANTON_conn.log", "conn"), ("labeled-conn.log", "conn"), ("conn.log.labeled", "conn"), ("open_conn.log", "open_conn"),
        ("NASHUA_smb_files.log", "smb_files"), ("CTU-IoT-Malware-Capture-20-1conn.log.labeled.csv", "conn"), ("combined_zeek.log", None),
    ],
)  # fmt: skip
def test_log_type_from_the_name(name: str, log: str | None) -> None:
    assert log_type_of(name) == log


@pytest.mark.parametrize(
    ("log", "wanted", "holds"),
    [
        ("conn", "conn", True), ("open_conn", "conn", True), ("conn_long", "conn", True), ("conn-inc", "conn", True),
        ("conn-summary", "conn", False), ("dns", "conn", False), ("connection", "conn", False), ("dns", "dns", True), ("open_conn", "dns", False),
    ],
)  # fmt: skip
def test_a_log_type_under_its_other_names(log: str, wanted: str, holds: bool) -> None:
    assert is_log_type(log, wanted) is holds


def test_conns_are_recognized_by_their_columns() -> None:
    assert log_type_of_columns(["ts", "history"]) == "conn" and log_type_of_columns(["ts", "query"]) is None


def test_every_log_type_that_is_written_begins_with_ts_and_has_the_uid_of_a_conn() -> None:
    for log, columns in LOG_COLUMNS.items():
        names = [c.name for c in columns]
        assert names[:2] == ["ts", {"files": "fuid", "x509": "id"}.get(log, "uid")] and len(set(names)) == len(names)
        assert "uid" in names or log == "x509", "ssl.log names its certificates"
