"""Atomic replacement: the old content or the new one, synced with its folder, and no partial file left behind."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from mlids.files import replacing, write_atomic


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record the paths that are synced, and whether the target existed by then."""
    seen: list[str] = []
    sync = os.fsync

    def fsync(descriptor: int) -> None:
        seen.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    return seen


@pytest.mark.parametrize("data", ["ümlaut", "ümlaut".encode(), lambda out: out.write("ümlaut".encode())])
def test_text_bytes_and_a_function_give_the_same_file(tmp_path: Path, data: object) -> None:
    target = tmp_path / "new" / "folder" / "status.json"
    assert write_atomic(target, data) == target  # type: ignore[arg-type]
    assert target.read_text(encoding="utf-8") == "ümlaut"
    assert list(target.parent.iterdir()) == [target]


def test_the_file_is_synced_before_the_rename_and_the_folder_after_it(tmp_path: Path, synced: list[str]) -> None:
    write_atomic(tmp_path / "a", b"x")
    assert len(synced) == 2 and re.fullmatch(r"\.a\.[0-9a-f]{12}\.part", synced[0]) and synced[1] == tmp_path.name


def test_without_sync_nothing_is_synced(tmp_path: Path, synced: list[str]) -> None:
    write_atomic(tmp_path / "a", b"x", sync=False)
    assert synced == [] and (tmp_path / "a").read_bytes() == b"x"


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), ValueError("no JSON")])
def test_a_failed_write_keeps_the_old_content_and_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    target = write_atomic(tmp_path / "a", b"old")
    with pytest.raises(type(error)), replacing(target) as partial:
        partial.write_bytes(b"new, but not who")
        raise error
    assert target.read_bytes() == b"old" and list(tmp_path.iterdir()) == [target]


def test_a_failed_sync_keeps_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = write_atomic(tmp_path / "a", b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomic(target, b"new")
    assert target.read_bytes() == b"old" and list(tmp_path.iterdir()) == [target]


def test_replacing_gives_a_path_that_a_library_can_write_to(tmp_path: Path) -> None:
    with replacing(tmp_path / "rows.csv") as partial:
        assert partial.parent == tmp_path and not (tmp_path / "rows.csv").exists()
        partial.write_text("a,b\n")
    assert (tmp_path / "rows.csv").read_text() == "a,b\n"
