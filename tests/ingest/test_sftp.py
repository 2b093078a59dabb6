"""Pulls from a real OpenSSH server: host keys, resuming, late and changed files, and errors one can act on."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import time
from datetime import date
from pathlib import Path
from typing import BinaryIO

import pytest

from mlids.errors import AuthError, HostKeyError, SourceError
from mlids.ingest import ssh
from mlids.ingest.archive import Archive, is_wanted, safe_name
from mlids.ingest.landing import read_landed
from mlids.ingest.local import LocalStorage
from mlids.ingest.pull import Pulled, pull_day
from mlids.ingest.sftp import SftpStorage
from mlids.settings import Sensor
from tests.conftest import CONN_HEADER, conn_line, free_port, missing, need_program
from tests.support.sshd import Sshd

DAY = date(2026, 11, 2)


def sftp_archive(sensor: Sensor, known_hosts: Path) -> Archive:
    return Archive(sensor.name, sensor.logs, SftpStorage(sensor, known_hosts))


@pytest.fixture
def logs(synthetic_site: Path, tmp_path: Path) -> Path:
    target = tmp_path / "logs"
    shutil.copytree(synthetic_site / DAY.isoformat(), target / DAY.isoformat())
    return target


def pull(sshd: Sshd, logs: Path, landing: Path, types: tuple[str, ...] = ("conn",)) -> Pulled:
    archive = sftp_archive(sshd.sensor(logs), sshd.known_hosts)
    try:
        return pull_day(archive, DAY, landing, types)
    finally:
        archive.close()


def test_a_day_lands_whole_and_only_once(sshd: Sshd, logs: Path, tmp_path: Path) -> None:
    first = pull(sshd, logs, tmp_path / "landing")
    assert len(first.files) == len(first.new) == 24 and not first.problems
    for name in first.files:
        assert (first.folder / name).read_bytes() == (logs / DAY.isoformat() / name).read_bytes()
    manifest = read_landed(tmp_path / "landing", "hq", DAY).files
    digest = subprocess.run(["sha256sum", first.folder / first.files[0]], check=True, capture_output=True, text=True).stdout.split()[0]
    assert manifest[first.files[0]].sha256 == digest
    assert pull(sshd, logs, tmp_path / "landing").new == []
    assert not [p for p in first.folder.iterdir() if p.name.startswith(".")]


@pytest.mark.parametrize(
    ("version", "kib"),
    [("SSH-2.0-OpenSSH_9.2p1 Debian-2", 255), ("SSH-2.0-OpenSSH_10.0", 255), ("SSH-2.0-OpenSSH_7.9", 64), ("SSH-2.0-paramiko_5.1.0", 32)],
)
def test_reads_are_as_large_as_the_server_grants(version: str, kib: int) -> None:
    assert ssh.largest_read(version) == kib << 10


@pytest.mark.parametrize("asked", [32 << 10, 255 << 10, 1 << 20])
def test_a_large_file_is_whole_also_when_the_server_gives_less_than_asked(sshd: Sshd, tmp_path: Path, asked: int) -> None:
    day = tmp_path / "logs" / DAY.isoformat()
    day.mkdir(parents=True)
    content = os.urandom(5_000_003)
    (day / "conn.00:00:00-01:00:00.log").write_bytes(content)
    archive = sftp_archive(sshd.sensor(tmp_path / "logs"), sshd.known_hosts)
    archive._storage._read_bytes = asked  # type: ignore[attr-defined]
    try:
        done = pull_day(archive, DAY, tmp_path / "landing", ("conn",))
    finally:
        archive.close()
    assert (done.folder / done.files[0]).read_bytes() == content


def test_late_and_changed_hours_are_taken_up(sshd: Sshd, logs: Path, tmp_path: Path) -> None:
    day = logs / DAY.isoformat()
    late = day / "conn.23:00:00-00:00:00.log.gz"
    late.rename(tmp_path / "late")
    assert len(pull(sshd, logs, tmp_path / "landing").files) == 23
    shutil.move(tmp_path / "late", late)
    assert pull(sshd, logs, tmp_path / "landing").new == [late.name]
    longer = day / "conn.07:00:00-08:00:00.log.gz"
    longer.write_bytes(longer.read_bytes() + gzip.compress(conn_line().encode()))
    again = pull(sshd, logs, tmp_path / "landing")
    assert again.new == [longer.name] and (again.folder / longer.name).read_bytes() == longer.read_bytes()


def test_an_interrupted_file_goes_on_where_it_was(sshd: Sshd, tmp_path: Path) -> None:
    day = tmp_path / "logs" / DAY.isoformat()
    day.mkdir(parents=True)
    source = day / "conn.00:00:00-01:00:00.log"
    source.write_bytes((CONN_HEADER + conn_line() * 40_000).encode())
    folder = tmp_path / "landing" / "hq" / DAY.isoformat()
    folder.mkdir(parents=True)
    stat = source.stat()
    data = source.read_bytes()
    (folder / f".{source.name}.part").write_bytes(data[: len(data) // 2])
    (folder / f".{source.name}.from").write_text(f"{stat.st_size} {int(stat.st_mtime)}")
    done = pull(sshd, tmp_path / "logs", tmp_path / "landing")
    assert (done.folder / source.name).read_bytes() == data
    # A part of another version of the file must not be continued.
    (folder / source.name).unlink()
    (folder / f".{source.name}.part").write_bytes(b"garbage of an older version")
    (folder / f".{source.name}.from").write_text("27 1")
    assert (pull(sshd, tmp_path / "logs", tmp_path / "landing").folder / source.name).read_bytes() == data


def test_conn_does_not_catch_conn_summary(sshd: Sshd, logs: Path, tmp_path: Path) -> None:
    day = logs / DAY.isoformat()
    (day / "conn-summary.00:00:00-01:00:00.log.gz").write_bytes(gzip.compress(b">== Total ==="))
    (day / "conn.stats.txt").write_text("no log")
    assert len(pull(sshd, logs, tmp_path / "landing", ("conn*",)).files) == 24
    assert is_wanted("dns.00:00:00-01:00:00.log.gz", ("*",)) and not is_wanted("stderr.log", ("*",))


def test_truncated_gzip_is_a_problem_but_kept(sshd: Sshd, logs: Path, tmp_path: Path) -> None:
    broken = logs / DAY.isoformat() / "conn.09:00:00-10:00:00.log.gz"
    broken.write_bytes(broken.read_bytes()[:-20])
    done = pull(sshd, logs, tmp_path / "landing")
    assert len(done.files) == 24 and "truncated gzip" in done.problems[0] and broken.name in done.problems[0]


@pytest.mark.parametrize("name", ["../../etc/passwd", "..", ".hidden.log", "a/b.log", "conn\n.log", "", "-rf.log", "x" * 300])
def test_names_that_could_escape_are_rejected(name: str) -> None:
    with pytest.raises(SourceError, match="rejected"):
        safe_name(name, "sensor hq")


def test_an_odd_remote_name_does_not_stop_the_rest(sshd: Sshd, logs: Path, tmp_path: Path) -> None:
    (logs / DAY.isoformat() / "conn.\x1b[31m.log").write_text("x")
    done = pull(sshd, logs, tmp_path / "landing")
    assert len(done.files) == 24 and "rejected" in done.problems[0]


def test_unknown_host_key_is_refused_with_the_command_that_adds_it(sshd: Sshd, logs: Path, tmp_path: Path) -> None:
    sensor, mine = sshd.sensor(logs), tmp_path / "known_hosts"
    with pytest.raises(HostKeyError, match="mlids trust hq --fingerprint SHA256:") as refused:
        sftp_archive(sensor, mine)
    shown = subprocess.run(
        [need_program("ssh-keygen", "openssh-client"), "-lf", f"{sshd.host_key}.pub"], check=True, capture_output=True, text=True
    ).stdout.split()[1]
    assert shown in str(refused.value)
    with pytest.raises(HostKeyError, match="nothing was added"):
        ssh.trust(sensor, mine, "SHA256:other")
    assert ssh.trust(sensor, mine, shown) == shown
    sftp_archive(sensor, mine).close()


def test_changed_host_key_is_refused(sshd: Sshd, logs: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    subprocess.run([need_program("ssh-keygen", "openssh-client"), "-q", "-t", "ed25519", "-N", "", "-f", str(other)], check=True)
    known = tmp_path / "known_hosts"
    known.write_text(f"[127.0.0.1]:{sshd.port} {' '.join(other.with_suffix('.pub').read_text().split()[:2])}\n")
    with pytest.raises(HostKeyError, match="HAS CHANGED"):
        sftp_archive(sshd.sensor(logs), known)


def test_wrong_key_missing_key_and_nobody_there(sshd: Sshd, logs: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    subprocess.run([need_program("ssh-keygen", "openssh-client"), "-q", "-t", "ed25519", "-N", "", "-f", str(other)], check=True)
    with pytest.raises(AuthError, match="authorized_keys"):
        sftp_archive(sshd.sensor(logs, key_file=other), sshd.known_hosts)
    with pytest.raises(AuthError, match="does not exist"):
        sftp_archive(sshd.sensor(logs, key_file=tmp_path / "nowhere"), sshd.known_hosts)
    with pytest.raises(SourceError, match="is sshd running there"):
        sftp_archive(sshd.sensor(logs, port=free_port()), sshd.known_hosts)
    with pytest.raises(SourceError, match="not known"):
        sftp_archive(sshd.sensor(logs, host="nowhere.invalid"), sshd.known_hosts)


def test_a_silent_host_times_out(logs: Path, tmp_path: Path, sshd: Sshd) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as mute:
        sensor = sshd.sensor(logs, port=mute.getsockname()[1], timeout_s=0.5)
        began = time.monotonic()
        with pytest.raises(SourceError, match="handshake"):
            sftp_archive(sensor, tmp_path / "known_hosts")
        assert time.monotonic() - began < 10


def test_no_such_day_says_which_there_are(sshd: Sshd, logs: Path, tmp_path: Path) -> None:
    archive = sftp_archive(sshd.sensor(logs), sshd.known_hosts)
    with pytest.raises(SourceError, match=r"no folder .*2030-01-01; days from 2026-11-02 to 2026-11-02 are there"):
        pull_day(archive, date(2030, 1, 1), tmp_path / "landing", ("conn",))
    archive.close()


def test_a_full_disk_says_so_and_goes_on_later(sshd: Sshd, tmp_path: Path) -> None:
    """A real small file system fills up (needs root and tmpfs)."""
    if os.geteuid() != 0:
        missing("the right to mount a small file system", "run this test as root")
    day = tmp_path / "logs" / DAY.isoformat()
    day.mkdir(parents=True)
    (day / "conn.00:00:00-01:00:00.log").write_bytes((CONN_HEADER + conn_line() * 30_000).encode())
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", small], check=False, capture_output=True)
    if mounted.returncode:
        missing("the right to mount a small file system", "allow it to this container")
    try:
        with pytest.raises(SourceError, match="disk is full"):
            pull(sshd, tmp_path / "logs", small)
    finally:
        subprocess.run(["umount", small], check=True)


def test_a_folder_is_pulled_like_a_sensor(logs: Path, tmp_path: Path) -> None:
    archive = Archive("hq", str(logs), LocalStorage())
    assert archive.days() == [DAY]
    done = pull_day(archive, DAY, tmp_path / "landing", ("conn", "dns"))
    assert len(done.files) == 48 and not done.problems
    with pytest.raises(SourceError, match="no folder"):
        pull_day(archive, date(2030, 1, 1), tmp_path / "landing", ("conn",))
    nowhere = Archive("hq", str(tmp_path / "nowhere"), LocalStorage())
    with pytest.raises(SourceError, match=r"nowhere does not exist; is it mounted"):
        nowhere.days()
    with pytest.raises(SourceError, match=r"nowhere does not exist; is it mounted"):
        pull_day(nowhere, DAY, tmp_path / "landing", ("conn",))


def test_an_unreadable_file_of_a_folder_does_not_stop_the_rest(logs: Path, tmp_path: Path) -> None:
    class OneUnreadable(LocalStorage):
        """Permissions do not stop root, who may run the tests."""

        def open(self, path: str, *, offset: int = 0, prefetch: bool = False) -> BinaryIO:
            if "conn.07:" in path:
                raise PermissionError(13, "Permission denied")
            return super().open(path, offset=offset, prefetch=prefetch)

    done = pull_day(Archive("hq", str(logs), OneUnreadable()), DAY, tmp_path / "landing", ("conn",))
    assert len(done.files) == 23 and len(done.problems) == 1 and "may not be read; give the account read access" in done.problems[0]
