"""Pulls one day of a sensor's logs into the landing folder: beside the target, resumed, checked, then renamed."""

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
from mlids.ingest.archive import Archive, RemoteFile, is_wanted, safe_name
from mlids.zeek.bytestream import ByteStream
from mlids.zeek.prefetch import prefetch

_PIECE = 1 << 18


@dataclass(frozen=True)
class Landed:
    """One file in the landing folder, as its manifest knows it."""

    name: str
    size: int
    mtime: int
    sha256: str
    pulled_at: str
    problem: str | None = None  # a gzip that breaks off: usable up to there, pulled again when it changes


@dataclass
class Pulled:
    """What a pull did. `problems` are files that could not be had; the others are there all the same."""

    sensor: str
    day: date
    folder: Path
    files: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)
    bytes: int = 0
    problems: list[str] = field(default_factory=list)


def day_folder(landing: Path, sensor: str, day: date) -> Path:
    """Return where a day of a sensor lands."""
    return landing / safe_name(sensor, "sensor name") / day.isoformat()


def read_manifest(folder: Path) -> dict[str, Landed]:
    """Return the manifest of a landed day by file name; empty when there is none or it cannot be read."""
    try:
        held = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        return {name: Landed(**entry) for name, entry in held["files"].items()}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def pull_day(
    archive: Archive, day: date, landing: Path, types: tuple[str, ...], progress: Callable[[str], None] = lambda _: None
) -> Pulled:
    """Bring the wanted logs of a day into landing; files that are there unchanged are left alone.

    A file is pulled again when its size or time on the sensor changed, so late hours and rewritten files
    are picked up by the next run. Raises SourceError when the day does not exist, nothing could be pulled
    at all, or this machine's disk is full.
    """
    result = Pulled(archive.name, day, day_folder(landing, archive.name, day))
    manifest = read_manifest(result.folder)
    listed = archive.list_day(day)
    result.folder.mkdir(parents=True, exist_ok=True)
    for remote in listed:
        if not is_wanted(remote.name, types):
            continue
        try:
            safe_name(remote.name, f"sensor {archive.name} {day}")
            held = manifest.get(remote.name)
            target = result.folder / remote.name
            if not (held and held.size == remote.size and held.mtime == remote.mtime and _is_whole(target, held)):
                progress(f"{archive.name} {day}: {remote.name}")
                manifest[remote.name] = _pull(archive, day, remote, target)
                result.new.append(remote.name)
                result.bytes += remote.size
                _save(result.folder, archive.name, day, manifest)
            problem = manifest[remote.name].problem
            if problem:
                result.problems.append(f"{remote.name}: {problem}")
            result.files.append(remote.name)
        except MlidsError as error:
            result.problems.append(str(error))
        except OSError as error:
            raise _local_fault(error, result.folder) from error
    if result.problems and not result.files:
        raise SourceError(f"nothing of {day} could be pulled from {archive.name}: {result.problems[0]}")
    _save(result.folder, archive.name, day, manifest)
    return result


def _is_whole(target: Path, held: Landed) -> bool:
    try:
        return target.stat().st_size == held.size
    except FileNotFoundError:
        return False


def _save(folder: Path, sensor: str, day: date, manifest: dict[str, Landed]) -> None:
    held = {"sensor": sensor, "day": day.isoformat(), "files": {n: asdict(e) for n, e in sorted(manifest.items())}}
    write_atomic(folder / "manifest.json", json.dumps(held, indent=1))


def _pull(archive: Archive, day: date, remote: RemoteFile, target: Path) -> Landed:
    part = target.with_name(f".{target.name}.part")
    mark = target.with_name(f".{target.name}.from")
    same = f"{remote.size} {remote.mtime}"
    # A part goes on only where it came from this very version of the file.
    offset = part.stat().st_size if part.exists() and mark.exists() and mark.read_text() == same else 0
    if offset > remote.size:
        offset = 0
    mark.write_text(same)
    digest = hashlib.sha256()
    with part.open("r+b" if offset else "wb") as out:
        if offset:
            while piece := out.read(_PIECE):
                digest.update(piece)
        source = archive.open(day, remote.name, offset)
        try:
            for piece in prefetch(iter(partial(source.read, _PIECE), b""), 4):  # hashed and written while the next ones come
                digest.update(piece)
                out.write(piece)
        except (EOFError, TimeoutError) as error:
            raise SourceError(
                f"sensor {archive.name}: {remote.name}: cut after {out.tell():,} bytes; the next run goes on from there"
            ) from error
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            raise SourceError(f"sensor {archive.name}: {remote.name}: {error}; the next run goes on from there") from error
        finally:
            source.close()
        out.flush()
        os.fsync(out.fileno())
        size = out.tell()
    now = archive.stat(day, remote.name)
    if size != now.size or now.size != remote.size:
        raise SourceError(
            f"sensor {archive.name}: {remote.name}: {size:,} bytes came, the sensor now has {now.size:,}; it is still being written, the next run takes it"
        )
    problem = _check_end(part) if target.suffix in {".gz", ".zst"} else None
    part.replace(target)
    mark.unlink(missing_ok=True)
    pulled_at = datetime.now(UTC).isoformat(timespec="seconds")
    return Landed(remote.name, size, remote.mtime, digest.hexdigest(), pulled_at, problem)


def _check_end(path: Path) -> str | None:
    """Read a compressed file to its end; return what is wrong with it."""
    stream = ByteStream(path)
    for _ in stream:
        pass
    return stream.problem.reason if stream.problem else None


def _local_fault(error: OSError, folder: Path) -> SourceError:
    if error.errno == errno.ENOSPC:
        return SourceError(f"{folder}: the disk is full; free some space or set MLIDS_HOME elsewhere, then run again: it goes on from here")
    if error.errno == errno.EDQUOT:
        return SourceError(f"{folder}: the disk quota is used up; raise it or clean landing, then run again: it goes on from here")
    return SourceError(f"{folder}: {error.strerror or error}")
