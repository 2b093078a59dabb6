"""Pulls one day of a sensor's logs into the landing folder; an interrupted file is resumed, each is checked and then renamed."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path

from mlids.errors import MlidsError, SourceError
from mlids.files import write_atomic
from mlids.ingest.archive import Archive, is_wanted, safe_name
from mlids.ingest.storage import LogFile
from mlids.zeek.bytestream import ByteStream
from mlids.zeek.prefetch import prefetch

_PIECE_BYTES = 1 << 18
_PREFETCHED_PIECES = 4


@dataclass(frozen=True)
class Landed:
    """One file in the landing folder, as the manifest records it; `mtime` is the sensor's, in whole seconds since 1970."""

    name: str
    size: int
    mtime: int
    sha256: str
    pulled_at: str
    problem: str | None = None  # a truncated gzip: usable up to there, pulled again when it changes


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


def day_folder(landing: Path, sensor: str, day: date) -> Path:
    """Return the landing folder of a sensor's day. Raises UnsafeNameError for a sensor name that is no file name."""
    return landing / safe_name(sensor, "sensor name") / day.isoformat()


def read_manifest(folder: Path) -> dict[str, Landed]:
    """Return the manifest of a landed day by file name; empty when there is none or it cannot be read."""
    try:
        stored = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        return {name: Landed(**entry) for name, entry in stored["files"].items()}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def pull_day(
    archive: Archive, day: date, landing: Path, types: tuple[str, ...], progress: Callable[[str], None] = lambda _: None
) -> Pulled:
    """Copy the logs of these types from a day of the archive into landing; files that have landed unchanged are skipped.

    A file is pulled again when its size or time on the sensor has changed, so that late hours and rewritten files
    arrive with the next run. Raises SourceError when the day does not exist, no file at all could be pulled, or
    this machine's disk is full.
    """
    result = Pulled(archive.sensor, day, day_folder(landing, archive.sensor, day))
    manifest = read_manifest(result.folder)
    listed = archive.list_day(day)
    result.folder.mkdir(parents=True, exist_ok=True)
    for remote in listed:
        if not is_wanted(remote.name, types):
            continue
        try:
            safe_name(remote.name, f"sensor {archive.sensor} {day}")
            target = result.folder / remote.name
            if not _has_landed(target, manifest.get(remote.name), remote):
                progress(f"{archive.sensor} {day}: {remote.name}")
                manifest[remote.name] = _pull(archive, day, remote, target)
                result.new.append(remote.name)
                result.bytes += remote.size
                _save(result.folder, archive.sensor, day, manifest)
            problem = manifest[remote.name].problem
            if problem:
                result.problems.append(f"{remote.name}: {problem}")
            result.files.append(remote.name)
        except MlidsError as error:
            result.problems.append(str(error))
        except OSError as error:
            raise _local_fault(error, result.folder) from error
    if result.problems and not result.files:
        raise SourceError(f"nothing of {day} could be pulled from {archive.sensor}: {result.problems[0]}")
    _save(result.folder, archive.sensor, day, manifest)
    return result


def _has_landed(target: Path, entry: Landed | None, remote: LogFile) -> bool:
    if entry is None or (entry.size, entry.mtime) != (remote.size, remote.mtime_s):
        return False
    try:
        return target.stat().st_size == entry.size
    except FileNotFoundError:
        return False


def _save(folder: Path, sensor: str, day: date, manifest: dict[str, Landed]) -> None:
    stored = {"sensor": sensor, "day": day.isoformat(), "files": {n: asdict(e) for n, e in sorted(manifest.items())}}
    write_atomic(folder / "manifest.json", json.dumps(stored, indent=1))


def _pull(archive: Archive, day: date, remote: LogFile, target: Path) -> Landed:
    """Pull one file into its `.part`, resuming an earlier attempt; check it and rename it to `target`."""
    part = target.with_name(f".{target.name}.part")
    mark = target.with_name(f".{target.name}.from")
    version = f"{remote.size} {remote.mtime_s}"
    # A part is resumed only when it came from this very version of the file.
    offset = part.stat().st_size if part.exists() and mark.exists() and mark.read_text() == version else 0
    if offset > remote.size:
        offset = 0
    mark.write_text(version)
    size, sha256 = _copy(archive, day, remote.name, part, offset)
    now = archive.stat(day, remote.name)
    if size != now.size or now.size != remote.size:
        raise SourceError(
            f"sensor {archive.sensor}: {remote.name}: {size:,} bytes were received, the sensor now has {now.size:,}; "
            "the file is still being written, the next run pulls it"
        )
    problem = _check_end(part) if target.suffix in {".gz", ".zst"} else None
    part.replace(target)
    mark.unlink(missing_ok=True)
    pulled_at = datetime.now(UTC).isoformat(timespec="seconds")
    return Landed(remote.name, size, remote.mtime_s, sha256, pulled_at, problem)


def _copy(archive: Archive, day: date, name: str, part: Path, offset: int) -> tuple[int, str]:
    """Append the file from `offset` on to `part` and sync it; return the size of the part and its SHA-256."""
    digest = hashlib.sha256()
    with part.open("r+b" if offset else "wb") as out:
        if offset:
            while piece := out.read(_PIECE_BYTES):
                digest.update(piece)
        source = archive.open(day, name, offset)
        try:
            # Hashed and written while the next pieces arrive.
            for piece in prefetch(iter(partial(source.read, _PIECE_BYTES), b""), _PREFETCHED_PIECES):
                digest.update(piece)
                out.write(piece)
        except (EOFError, TimeoutError) as error:
            raise SourceError(
                f"sensor {archive.sensor}: {name}: the connection was cut after {out.tell():,} bytes; the next run resumes there"
            ) from error
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            raise SourceError(f"sensor {archive.sensor}: {name}: {error}; the next run resumes the file") from error
        finally:
            source.close()
        out.flush()
        os.fsync(out.fileno())
        return out.tell(), digest.hexdigest()


def _check_end(path: Path) -> str | None:
    """Return what is wrong with a compressed file; None when it can be read to its end."""
    stream = ByteStream(path)
    for _ in stream:
        pass
    return stream.problem.reason if stream.problem else None


def _local_fault(error: OSError, folder: Path) -> SourceError:
    if error.errno == errno.ENOSPC:
        return SourceError(f"{folder}: the disk is full; free some space or set MLIDS_HOME elsewhere, then run again: the pull resumes")
    if error.errno == errno.EDQUOT:
        return SourceError(f"{folder}: the disk quota is used up; raise it or clean landing, then run again: the pull resumes")
    return SourceError(f"{folder}: {error.strerror or error}")
