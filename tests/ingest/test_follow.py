"""A growing log over a real SFTP server and locally: half lines, rotation by rename, restarts, archived rest."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mlids.errors import SourceError
from mlids.ingest.cursor import Position
from mlids.ingest.follow import Follower, FollowOptions, FollowState
from mlids.ingest.local import LocalStorage
from mlids.ingest.sftp import SftpStorage
from mlids.ingest.storage import LogStorage
from mlids.settings import Sensor
from mlids.zeek import bytestream
from tests.conftest import CONN_HEADER, conn_line
from tests.support.sshd import Sshd


@pytest.fixture
def log(tmp_path: Path) -> Path:
    (tmp_path / "current").mkdir()
    return tmp_path / "current" / "conn.log"


EAGER = FollowOptions(check_s=0)


def sensor(tmp_path: Path) -> Sensor:
    return Sensor(name="hq", kind="folder", logs=str(tmp_path))


def take(follower: Follower) -> list[str]:
    return [uid for batch in follower.poll() for uid in batch.frame["uid"]]


def header(opened: str) -> str:
    return CONN_HEADER.replace("2024-04-19-00-00-01", opened)


def append(log: Path, text: str) -> None:
    with log.open("a") as out:
        out.write(text)


def test_rows_come_once_and_half_lines_wait(storage: LogStorage, log: Path, tmp_path: Path) -> None:
    follower = Follower(storage, sensor(tmp_path), options=EAGER)
    assert take(follower) == []  # the log does not exist yet
    append(log, header("1") + conn_line("C1") + conn_line("C2")[:30])
    assert take(follower) == ["C1"]
    assert take(follower) == []
    append(log, conn_line("C2")[30:] + conn_line("C3"))
    assert take(follower) == ["C2", "C3"]
    follower.close()


def test_rotation_by_rename_loses_nothing(storage: LogStorage, log: Path, tmp_path: Path) -> None:
    follower = Follower(storage, sensor(tmp_path), options=EAGER)
    append(log, header("1") + conn_line("C1"))
    assert take(follower) == ["C1"]
    old = log.with_name("conn.old")
    log.rename(old)
    append(old, conn_line("C2"))  # Zeek still writes into the renamed file
    append(log, header("2") + conn_line("C3"))
    append(old, conn_line("C2b"))
    assert take(follower) == ["C2", "C2b", "C3"]
    old.unlink()
    append(log, conn_line("C4"))
    assert take(follower) == ["C4"]
    follower.close()


def test_copy_truncate_starts_anew(storage: LogStorage, log: Path, tmp_path: Path) -> None:
    follower = Follower(storage, sensor(tmp_path), options=EAGER)
    append(log, header("1") + "".join(conn_line(f"C{n}") for n in range(20)))
    assert len(take(follower)) == 20
    log.write_text(header("2") + conn_line("CNew"))
    assert take(follower) == ["CNew"]
    follower.close()


def test_restart_goes_on_at_the_stored_position(storage: LogStorage, log: Path, tmp_path: Path) -> None:
    append(log, header("1") + conn_line("C1") + conn_line("C2")[:25])
    first = Follower(LocalStorage(), sensor(tmp_path))
    assert take(first) == ["C1"]
    stored = first.position
    first.close()
    append(log, conn_line("C2")[25:] + conn_line("C3"))
    second = Follower(storage, sensor(tmp_path), start=stored)
    assert take(second) == ["C2", "C3"]
    second.close()


def test_what_was_rotated_while_away_is_read_from_the_archive(storage: LogStorage, log: Path, tmp_path: Path) -> None:
    append(log, header("1") + conn_line("C1"))
    first = Follower(LocalStorage(), sensor(tmp_path))
    assert take(first) == ["C1"]
    stored = first.position
    first.close()
    append(log, conn_line("C2"))
    day = tmp_path / datetime.now(UTC).date().isoformat()
    day.mkdir()
    (day / "conn.00:00:00-01:00:00.log.gz").write_bytes(gzip.compress(log.read_bytes()))
    (day / "conn.01:00:00-02:00:00.log.gz").write_bytes(gzip.compress((header("2") + conn_line("C3")).encode()))
    log.write_text(header("3") + conn_line("C4"))
    second = Follower(storage, sensor(tmp_path), start=stored)
    assert take(second) == ["C2", "C3", "C4"]
    second.close()


def test_json_and_a_header_change_at_rotation(storage: LogStorage, log: Path, tmp_path: Path) -> None:
    follower = Follower(storage, sensor(tmp_path), options=EAGER)
    append(log, header("1") + conn_line("C1"))
    assert take(follower) == ["C1"]
    log.rename(log.with_name("old"))
    append(log, '{"ts":1.5,"uid":"CJson","id.orig_h":"10.0.0.1","conn_state":"SF"}\n')
    assert take(follower) == ["CJson"]
    follower.close()


def test_bad_rows_are_counted_and_do_not_stop_the_rest(storage: LogStorage, log: Path, tmp_path: Path) -> None:
    follower = Follower(storage, sensor(tmp_path), options=EAGER)
    append(log, header("1") + conn_line("C1") + "nonsense\n" + conn_line("C2"))
    assert take(follower) == ["C1", "C2"] and follower.rejected == 1
    follower.close()


def test_a_cut_connection_is_an_error_and_the_position_stays(sshd: Sshd, log: Path, tmp_path: Path) -> None:
    append(log, header("1") + conn_line("C1"))
    storage = SftpStorage(sshd.sensor(tmp_path), sshd.known_hosts)
    follower = Follower(storage, sshd.sensor(tmp_path))
    assert take(follower) == ["C1"]
    storage._transport.close()
    append(log, conn_line("C2"))
    with pytest.raises(SourceError):
        take(follower)
    position = follower.position
    follower.close()
    assert isinstance(position, Position)
    again = Follower(SftpStorage(sshd.sensor(tmp_path), sshd.known_hosts), sshd.sensor(tmp_path), start=position)
    assert take(again) == ["C2"]
    again.close()


def test_a_long_backlog_comes_in_parts_each_with_its_position(log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = FollowOptions(check_s=0, read_bytes=700, poll_rows=20)
    monkeypatch.setattr(bytestream, "READ_SIZE", 900)
    append(log, header("1") + conn_line("A0"))
    follower = Follower(LocalStorage(), sensor(tmp_path), options=options)
    assert take(follower) == ["A0"]
    start = follower.position
    follower.close()
    names = [f"{log}{n}" for log in "ABC" for n in range(1 if log == "A" else 0, 100)]
    append(log, "".join(conn_line(n) for n in names if n[0] == "A"))
    day = tmp_path / datetime.now(UTC).date().isoformat()
    day.mkdir()
    with gzip.open(day / "conn.00:00:00-01:00:00.log.gz", "wt") as out:
        out.write(log.read_text())
    with gzip.open(day / "conn.01:00:00-02:00:00.log.gz", "wt") as out:
        out.write(header("2") + "".join(conn_line(n) for n in names if n[0] == "B"))
    log.write_text(header("3") + "".join(conn_line(n) for n in names if n[0] == "C"))
    got: list[str] = []
    for _ in range(60):  # every part by a follower of its own, made with the position that the one before left
        follower = Follower(LocalStorage(), sensor(tmp_path), start=start, options=options)
        some = take(follower)
        assert len(some) < 100
        got += some
        start = follower.position
        follower.close()
    assert got == names and follower.left_to_ledger == 0


def test_the_states_of_a_follower(storage: LogStorage, log: Path, tmp_path: Path) -> None:
    append(log, header("1"))
    follower = Follower(storage, sensor(tmp_path), options=EAGER)
    assert take(follower) == [] and follower.state is FollowState.WAITING_FOR_LOG, "a log without a row is not followed yet"
    append(log, conn_line("C1"))
    assert take(follower) == ["C1"] and follower.state is FollowState.FOLLOWING
    stored = follower.position
    log.write_text(header("2") + conn_line("C2"))
    again = Follower(LocalStorage(), sensor(tmp_path), stored, FollowOptions(check_s=0, archive_wait_s=3600))
    assert take(again) == [] and again.state is FollowState.WAITING_FOR_ARCHIVE and again.position == stored
    impatient = Follower(LocalStorage(), sensor(tmp_path), stored, FollowOptions(check_s=0, archive_wait_s=0))
    assert take(impatient) == ["C2"] and impatient.state is FollowState.FOLLOWING and impatient.left_to_ledger == 1
    for each in (follower, again, impatient):
        each.close()


def test_a_poll_does_not_end_while_rows_are_given_once_more(log: Path, tmp_path: Path) -> None:
    append(log, header("1") + "".join(conn_line(f"C{n:03}") for n in range(100)) + "nonsense\n")
    first = Follower(LocalStorage(), sensor(tmp_path))
    assert len(take(first)) == 100 and first.rejected == 1
    append(log, conn_line("C100"))
    again = Follower(LocalStorage(), sensor(tmp_path), first.position, FollowOptions(check_s=0, read_bytes=700, poll_rows=20), rebuild=True)
    warm = [(uid, again.warming) for batch in again.poll() for uid in batch.frame["uid"]]
    assert warm == [*((f"C{n:03}", True) for n in range(100)), ("C100", False)]
    assert again.rejected == 0, "the rejected line was counted before"
    first.close()
    again.close()


def test_a_line_longer_than_1_mib_is_skipped_and_counted(log: Path, tmp_path: Path) -> None:
    append(log, header("1") + conn_line("C1"))
    follower = Follower(LocalStorage(), sensor(tmp_path), options=EAGER)
    assert take(follower) == ["C1"]
    append(log, "x" * (2 << 20))
    assert take(follower) == [] and follower.rejected == 1
    append(log, "x" * 100 + "\n" + conn_line("C2"))
    assert take(follower) == ["C2"] and follower.rejected == 1
    follower.close()


@pytest.mark.parametrize("written", [1, 2, 4, 6])
def test_a_restart_within_the_header_keeps_what_was_read_of_it(log: Path, tmp_path: Path, written: int) -> None:
    """Found by fuzzing: separator and unset field were lost, and every row after them rejected."""
    text = "#separator |\n#set_separator|,\n#unset_field|?\n#path|conn\n#open|2024-04-19-00-00-01\n#fields|ts|uid|service\n#types|time|string|string\n"
    lines = text.splitlines(keepends=True)
    append(log, "".join(lines[:written]))
    first = Follower(LocalStorage(), sensor(tmp_path), options=EAGER)
    assert take(first) == []
    first.close()
    append(log, "".join(lines[written:]) + "1.5|C1|?\n")
    second = Follower(LocalStorage(), sensor(tmp_path), first.position, EAGER)
    (batch,) = second.poll()
    assert batch.frame["uid"].to_list() == ["C1"] and batch.frame["service"].to_list() == [None] and second.rejected == 0
    second.close()
