"""What a sensor's server states costs nothing: sizes, counts of files and attributes, lengths of answers and names."""

from __future__ import annotations

import getpass
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from paramiko import sftp
from paramiko.message import Message

from mlids.ingest.sftp_client import MAX_ANSWER_BYTES
from mlids.ingest.storage import MAX_ENTRIES
from tests.conftest import CONN_HEADER, conn_line, need_program
from tests.support.hostile_sftp import MODE_FOLDER, Answer, HostileSftp, attributes, names, status
from tests.support.measured import Measured, mlids_measured
from tests.support.sshd import start_sshd

DAY = "2026-11-02"
NAME = b"conn.00:00:00-01:00:00.log"
LOG = (CONN_HEADER + conn_line()).encode()
TERABYTES = 4 << 40
MEMORY_BYTES = 300 << 20  # 130 MB of it are Python with polars and paramiko

pytestmark = pytest.mark.attack(
    row=13,
    attack="a sensor's server states sizes, counts or lengths that would fill memory, or sends without end",
    held="files of at most `max_file_gib` and the free space; 64 reads in flight, 512 KiB an answer, 100,000 entries a folder "
    "(`mlids/ingest/sftp_client.py`)",
)


def pull(home: Path, answer: Answer, extra: str = "") -> Measured:
    """Run `mlids pull` against a server and check that it ended by itself, in bounded memory, with a sentence."""
    with HostileSftp(answer) as server:
        server.configure(home, extra)
        done = mlids_measured(["pull", "hq", DAY])
    assert done.peak < MEMORY_BYTES, done.says()
    assert "report it" not in done.err, done.err
    return done


def test_a_file_said_to_have_terabytes_is_refused(home: Path, happened: Callable[[str], None]) -> None:
    done = pull(home, listing((NAME, attributes(TERABYTES))))
    assert done.code == 3 and "states 4,398,046,511,104 bytes; at most 68,719,476,736 are pulled" in done.err
    happened(f"a file of 4 TB is not pulled ({done.says()})")


def test_a_real_sparse_file_is_refused(home: Path, tmp_path: Path) -> None:
    day = tmp_path / "logs" / DAY
    day.mkdir(parents=True)
    with (day / NAME.decode()).open("wb") as out:
        out.truncate(TERABYTES)
    (tmp_path / "sshd").mkdir()
    sshd = start_sshd(tmp_path / "sshd", need_program("sshd", "openssh-server"), need_program("ssh-keygen", "openssh-client"))
    home.mkdir()
    shutil.copy(sshd.known_hosts, home / "known_hosts")
    (home / "sensors.toml").write_text(
        f'[[sensor]]\nname = "hq"\nhost = "127.0.0.1"\nport = {sshd.port}\nuser = "{getpass.getuser()}"\nkey_file = "{sshd.key}"\n'
        f'logs = "{tmp_path}/logs"\n'
    )
    try:
        done = mlids_measured(["pull", "hq", DAY])
    finally:
        sshd.stop()
    assert done.code == 3 and "is it a sparse file?" in done.err and done.peak < MEMORY_BYTES


def test_a_size_within_the_limit_reserves_no_memory(home: Path, happened: Callable[[str], None]) -> None:
    size = shutil.disk_usage(home.parent).free - (1 << 30)
    served, listed = read_from(LOG), listing((NAME, attributes(size)))

    def answer(kind: int, request: Message) -> tuple[int, bytes] | None:
        if kind in {sftp.CMD_STAT, sftp.CMD_FSTAT}:
            return sftp.CMD_ATTRS, attributes(size)
        return served(kind, request) or listed(kind, request)

    done = pull(home, answer, "max_file_gib = 1048576")
    assert done.code == 3 and f"{len(LOG):,} bytes were received, the sensor now has {size:,}" in done.err
    happened(f"a file said to have {size >> 30} GiB takes {done.peak >> 20} MB")


def test_a_file_without_end_is_left_at_the_size_that_was_listed(home: Path) -> None:
    listed = listing((NAME, attributes(1_000)))

    def answer(kind: int, request: Message) -> tuple[int, bytes] | None:
        if kind in {sftp.CMD_STAT, sftp.CMD_FSTAT}:
            return sftp.CMD_ATTRS, attributes(1_000)
        if kind == sftp.CMD_READ:
            return sftp.CMD_DATA, struct.pack(">I", 32_768) + bytes(32_768)
        return listed(kind, request)

    done = pull(home, answer)
    assert done.code == 3 and ("the file is still being written" in done.err or "answers a read of" in done.err), done.err
    assert sum(p.stat().st_size for p in home.rglob("*.part")) < 1 << 20


@pytest.mark.parametrize("length", [64 << 10, MAX_ANSWER_BYTES + 1, 15 << 20])
def test_an_answer_longer_than_the_read_is_refused(home: Path, length: int) -> None:
    listed = listing((NAME, attributes(10 << 30)))

    def answer(kind: int, request: Message) -> tuple[int, bytes] | None:
        if kind in {sftp.CMD_STAT, sftp.CMD_FSTAT}:
            return sftp.CMD_ATTRS, attributes(10 << 30)
        if kind == sftp.CMD_READ:
            return sftp.CMD_DATA, struct.pack(">I", length) + bytes(length)
        return listed(kind, request)

    done = pull(home, answer)
    assert done.code == 3 and f"{NAME.decode()}: " in done.err and done.err.endswith("the next run resumes the file"), done.err
    assert ("answers a read of 32,768 bytes with 65,536" if length < MAX_ANSWER_BYTES else f"has {length + 9:,} bytes") in done.err


def test_an_answer_of_one_byte_at_a_time_is_read_to_the_end(home: Path) -> None:
    served, listed = read_from(LOG, most=1), listing((NAME, attributes(len(LOG))))

    def answer(kind: int, request: Message) -> tuple[int, bytes] | None:
        if kind in {sftp.CMD_STAT, sftp.CMD_FSTAT}:
            return sftp.CMD_ATTRS, attributes(len(LOG))
        return served(kind, request) or listed(kind, request)

    done = pull(home, answer)
    assert done.code == 0, done.err


def test_a_folder_of_a_million_files_is_refused(home: Path, happened: Callable[[str], None]) -> None:
    sent = [0]

    def answer(kind: int, request: Message) -> tuple[int, bytes] | None:
        if kind != sftp.CMD_READDIR:
            return None
        if sent[0] >= 1_000_000:
            return status(sftp.SFTP_EOF)
        first, sent[0] = sent[0], sent[0] + 1_000
        return names(*((b"conn.%07d.log" % n, attributes(1)) for n in range(first, first + 1_000)))

    done = pull(home, answer)
    assert done.code == 3 and f"/logs/{DAY}: the folder has more than {MAX_ENTRIES:,} entries" in done.err
    happened(f"a folder of a million files is refused after 100,000 ({done.says()})")


@pytest.mark.parametrize("lie", ["names", "attributes"])
def test_a_count_beyond_the_answer_ends_the_reading(home: Path, lie: str) -> None:
    """paramiko believes the count: it makes empty names, or reads empty attributes, four billion times."""
    counted = struct.pack(">II", 0x8000_0000, 0xFFFF_FFFF)

    def answer(kind: int, request: Message) -> tuple[int, bytes] | None:
        if kind != sftp.CMD_READDIR:
            return None
        return names((NAME, attributes(1)), count=0xFFFF_FFFF) if lie == "names" else names((NAME, counted))

    done = pull(home, answer)
    assert done.code == 3 and "ends early" in done.err, done.err


def test_a_million_folders_are_refused_by_doctor(home: Path) -> None:
    def answer(kind: int, request: Message) -> tuple[int, bytes] | None:
        return names(*((b"x%03d" % n, attributes(1, MODE_FOLDER)) for n in range(900))) if kind == sftp.CMD_READDIR else None

    with HostileSftp(answer) as server:
        server.configure(home)
        done = mlids_measured(["doctor"])
    assert "the folder has more than 100,000 entries" in done.out + done.err


@pytest.mark.parametrize("name", [b"caf\xe9.log", b"conn.\xff.log", b"x" * 200_000])
def test_a_name_that_is_no_logs_does_not_stop_the_others(home: Path, name: bytes) -> None:
    served, given = read_from(LOG), [names((name, attributes(5)), (NAME, attributes(len(LOG))))]

    def answer(kind: int, request: Message) -> tuple[int, bytes] | None:
        if kind == sftp.CMD_READDIR:
            return given.pop() if given else status(sftp.SFTP_EOF)
        return (sftp.CMD_ATTRS, attributes(len(LOG))) if kind in {sftp.CMD_STAT, sftp.CMD_FSTAT} else served(kind, request)

    done = pull(home, answer)
    assert done.code == 0 and "files: 1\n" in done.out, (done.out, done.err)
    assert (b"\xff" in name) == ("is rejected: only letters" in done.out)


@pytest.mark.parametrize("answered", [(99, b"\xff" * 40), status(4, b"\xff\xfe not UTF-8"), (sftp.CMD_HANDLE, b"\xff" * 8)])
def test_an_answer_that_makes_no_sense_is_a_sentence(home: Path, answered: tuple[int, bytes]) -> None:
    done = pull(home, lambda kind, request: answered)
    assert done.code == 3 and done.err.count("\n") == 0 and "hq" in done.err, done.err


def test_a_folder_of_this_machine_with_too_many_files_is_refused(tmp_path: Path) -> None:
    from mlids.errors import SourceError
    from mlids.ingest.archive import Archive
    from mlids.ingest.local import LocalStorage
    from mlids.window import parse_day

    day = tmp_path / DAY
    day.mkdir()
    for n in range(MAX_ENTRIES + 1):  # links to a few files: quick to make
        base = day / str(n - n % 50_000)
        base.touch() if n % 50_000 == 0 else os.link(base, day / str(n))
    with pytest.raises(SourceError, match="more than 100,000 entries"):
        Archive("hq", str(tmp_path), LocalStorage()).list_day(parse_day(DAY))


def listing(*entries: tuple[bytes, bytes]) -> Answer:
    """Return a server that lists these files once."""
    left = [names(*entries)]

    def answer(kind: int, request: Message) -> tuple[int, bytes] | None:
        if kind == sftp.CMD_READDIR and left:
            return left.pop()
        return None

    return answer


def read_from(content: bytes, most: int = 1 << 15) -> Answer:
    """Return a server whose file has this content; an answer has at most `most` bytes."""

    def answer(kind: int, request: Message) -> tuple[int, bytes] | None:
        if kind != sftp.CMD_READ:
            return None
        request.get_string()
        offset, length = request.get_int64(), request.get_int()
        data = content[offset : offset + min(length, most)]
        return (sftp.CMD_DATA, struct.pack(">I", len(data)) + data) if data else status(sftp.SFTP_EOF)

    return answer
