"""The storage interface: local files and a real SFTP server give the same answers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlids.ingest.storage import LogFile, LogStorage

MTIME = 1_793_000_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two files, a folder, and a link to a folder."""
    made = tmp_path / "logs"
    (made / "2026-11-02").mkdir(parents=True)
    (made / "2026-11-03").symlink_to(made / "2026-11-02")
    for name in ("dns.log", "conn.log"):
        (made / name).write_bytes(b"0123456789")
        os.utime(made / name, ns=(MTIME * 10**9, MTIME * 10**9 + 700_000_000))
    return made


def test_files_and_folders_by_name(storage: LogStorage, folder: Path) -> None:
    files = storage.files(str(folder))
    assert [(f.name, f.size, f.mtime_s) for f in files] == [("conn.log", 10, MTIME), ("dns.log", 10, MTIME)]
    assert storage.folders(str(folder)) == ["2026-11-02", "2026-11-03"]
    storage.close()


@pytest.mark.parametrize("prefetch", [False, True])
def test_open_at_an_offset(storage: LogStorage, folder: Path, prefetch: bool) -> None:
    for offset, rest in ((0, b"0123456789"), (4, b"456789"), (10, b""), (11, b"")):
        with storage.open(str(folder / "conn.log"), offset=offset, prefetch=prefetch) as log:
            assert log.read(100) == rest
    storage.close()


def test_an_open_file_is_found_by_its_handle_after_a_rename(storage: LogStorage, folder: Path) -> None:
    with storage.open(str(folder / "conn.log")) as log:
        (folder / "conn.log").rename(folder / "conn.1.log")
        with (folder / "conn.1.log").open("ab") as out:
            out.write(b"more")
        (folder / "conn.log").write_bytes(b"new")
        assert storage.stat_open(log).size == 14 and storage.stat(str(folder / "conn.log")).size == 3
        assert log.read() == b"0123456789more"
    storage.close()


def test_what_does_not_exist_raises(storage: LogStorage, folder: Path) -> None:
    nowhere = str(folder / "nowhere")
    for call in (storage.open, storage.stat, storage.files, storage.folders):
        with pytest.raises(FileNotFoundError):
            call(nowhere)
    assert any(issubclass(FileNotFoundError, fault) for fault in storage.faults)
    storage.close()


def test_whole_seconds_are_cut_not_rounded() -> None:
    assert LogFile("a", 1, 1.999).mtime_s == 1
