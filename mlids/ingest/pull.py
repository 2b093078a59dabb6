"""Pulls one day of a sensor's logs into the landing folder; an interrupted file is resumed, each is checked and then renamed."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import BinaryIO

from mlids.errors import MlidsError, SourceError, os_fault
from mlids.ingest.archive import Archive, is_wanted, safe_name
from mlids.ingest.landing import SMALLER, Landed, LandedDay, check_end, day_folder, read_landed
from mlids.ingest.storage import LogFile
from mlids.locks import locked
from mlids.zeek.prefetch import prefetch

_PIECE_BYTES = 1 << 18
_PREFETCHED_PIECES = 4
MAX_FILE_BYTES = 64 << 30


@dataclass(frozen=True)
class PullOptions:
    """Limits of a pull, and what is called with a text before each file."""

    max_file_bytes: int = MAX_FILE_BYTES  # a file said to be larger is a problem of the pull
    progress: Callable[[str], None] = lambda _: None


@dataclass
class Pulled:
    """The result of a pull: all files of the day that have landed, those that are new, and the problems of the others."""

    sensor: str
    day: date
    folder: Path
    files: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)
    bytes: int = 0
    problems: list[str] = field(default_factory=list)


def pull_day(archive: Archive, day: date, landing: Path, types: tuple[str, ...], options: PullOptions | None = None) -> Pulled:
    """Copy the logs of these types from a day of the archive into landing; files that have landed unchanged are skipped.

    A file is pulled again when its size or time on the sensor has changed, so that late hours and rewritten files
    arrive with the next run; one with less in it than the one that landed lies beside it as `NAME.smaller`. Raises
    SourceError when the day does not exist, no file at all could be pulled, or this machine's disk is full.
    """
    options = options or PullOptions()
    folder = day_folder(landing, archive.sensor, day)
    listed = [remote for remote in archive.list_day(day) if is_wanted(remote.name, types)]
    _make(folder)
    with locked(folder):  # another pull of this day goes first, whichever container it runs in
        return _update_all(archive, read_landed(landing, archive.sensor, day), listed, types, options)


def _update_all(archive: Archive, landed: LandedDay, listed: list[LogFile], types: tuple[str, ...], options: PullOptions) -> Pulled:
    result = Pulled(archive.sensor, landed.day, landed.folder)
    for remote in listed:
        try:
            _update(archive, landed, remote, result, options)
        except MlidsError as error:
            result.problems.append(str(error))
        except OSError as error:
            raise _local_fault(error, landed.folder) from error
    if result.problems and not result.files:
        raise SourceError(f"nothing of {landed.day} could be pulled from {archive.sensor}: {result.problems[0]}")
    gone = {name for name in landed.files if is_wanted(name, types)} - {remote.name for remote in listed}
    result.problems += [f"{name}: no longer on sensor {archive.sensor}; what landed stays" for name in sorted(gone)]
    landed.save()
    result.problems += landed.problems()
    return result


def _update(archive: Archive, landed: LandedDay, remote: LogFile, result: Pulled, options: PullOptions) -> None:
    """Pull one file unless the one that landed, or the smaller one beside it, is of this size and time."""
    name = safe_name(remote.name, f"sensor {archive.sensor} {landed.day}")
    if _is_same(landed.folder / name, landed.files.get(name), remote):
        landed.forget_smaller(name)
    elif not _is_same(landed.folder / f"{name}{SMALLER}", landed.smaller.get(name), remote):
        options.progress(f"{archive.sensor} {landed.day}: {name}")
        _check_size(remote, landed.folder, options.max_file_bytes)
        part, entry = _pull(archive, landed, remote)
        landed.put(part, entry)
        if name not in landed.smaller:
            result.new.append(name)
        result.bytes += remote.size
        landed.save()
    problem = landed.files[name].problem
    if problem:
        result.problems.append(f"{name}: {problem}")
    result.files.append(name)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _local_fault(error, folder) from error


def _check_size(remote: LogFile, folder: Path, limit: int) -> None:
    """Raise SourceError for a file that is said to be larger than the limit, or than the free space: it may be sparse."""
    if remote.size > limit:
        raise SourceError(
            f"{remote.name}: the sensor states {remote.size:,} bytes; at most {limit:,} are pulled: "
            "is it a sparse file? (`max_file_gib` in sensors.toml raises the limit)"
        )
    part = folder / f".{remote.name}.part"
    free = shutil.disk_usage(folder).free
    if remote.size > free + (part.stat().st_size if part.exists() else 0):
        raise SourceError(
            f"{remote.name}: the disk is full: {remote.size:,} bytes are needed, {folder} has {free:,} free; free some space, then run again"
        )


def _is_same(path: Path, entry: Landed | None, remote: LogFile) -> bool:
    if entry is None or (entry.size, entry.mtime) != (remote.size, remote.mtime_s):
        return False
    try:
        return path.stat().st_size == entry.size
    except FileNotFoundError:
        return False


def _pull(archive: Archive, landed: LandedDay, remote: LogFile) -> tuple[Path, Landed]:
    """Pull one file into its `.part`, resuming an earlier attempt, and check it; return the part and its entry of the manifest."""
    day = landed.day
    part = landed.folder / f".{remote.name}.part"
    mark = landed.folder / f".{remote.name}.from"
    version = f"{remote.size} {remote.mtime_s}"
    # A part is resumed only when it came from this very version of the file.
    offset = part.stat().st_size if part.exists() and mark.exists() and mark.read_text() == version else 0
    if offset > remote.size:
        offset = 0
    mark.write_text(version)
    size, sha256 = _copy(archive, day, remote, part, offset)
    now = archive.stat(day, remote.name)
    if size != now.size or now.size != remote.size:
        raise SourceError(
            f"sensor {archive.sensor}: {remote.name}: {size:,} bytes were received, the sensor now has {now.size:,}; "
            "the file is still being written, the next run pulls it"
        )
    plain_size, problem = check_end(part, remote.name)
    mark.unlink(missing_ok=True)
    pulled_at = datetime.now(UTC).isoformat(timespec="seconds")
    return part, Landed(remote.name, size, remote.mtime_s, sha256, pulled_at, problem, plain_size)


def _copy(archive: Archive, day: date, remote: LogFile, part: Path, offset: int) -> tuple[int, str]:
    """Append the file from `offset` on to `part` and sync it; return the size of the part and its SHA-256.

    Ends soon after the size that was listed: a server may send without end.
    """
    digest = hashlib.sha256()
    with part.open("r+b" if offset else "wb") as out:
        if offset:
            while piece := out.read(_PIECE_BYTES):
                digest.update(piece)
        source = archive.open(day, remote.name, offset)
        try:
            # Hashed and written while the next pieces arrive.
            for piece in prefetch(_received(archive, source, remote.name, offset), _PREFETCHED_PIECES):
                digest.update(piece)
                out.write(piece)
                if out.tell() > remote.size:
                    break
        finally:
            source.close()
        out.flush()
        os.fsync(out.fileno())
        return out.tell(), digest.hexdigest()


def _received(archive: Archive, source: BinaryIO, name: str, offset: int) -> Iterator[bytes]:
    """Yield the pieces of a file. Raises SourceError for every fault of the sensor or the connection."""
    try:
        while piece := source.read(_PIECE_BYTES):
            offset += len(piece)
            yield piece
    except (EOFError, TimeoutError) as error:
        raise SourceError(
            f"sensor {archive.sensor}: {name}: the connection was cut after {offset:,} bytes; the next run resumes there"
        ) from error
    except archive.faults as error:
        raise SourceError(f"sensor {archive.sensor}: {name}: {error}; the next run resumes the file") from error


def _local_fault(error: OSError, folder: Path) -> SourceError:
    return SourceError(f"{os_fault(error, folder)}: the pull resumes")
