"""Files that list captures: where each is, of which laboratory, and what is known of it."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from ipaddress import ip_address
from itertools import takewhile
from pathlib import Path
from typing import Any

from mlids.errors import InputError
from mlids.training.cross_capture.truth import Rule, Truth
from mlids.zeek.log_types import NOT_LOGS, is_log_type, log_type_of
from mlids.zeek.reader import find_logs

# Groups of attacks that metrics are given for apart.
GROUPS = ("c2", "scans", "others")
_KEYS = {
    "name",
    "path",
    "laboratory",
    "networks",
    "labels",
    "rest",
    "start",
    "end",
    "groups",
    "attack",
    "background",
    "logs",
    "hosts",
    "note",
}
_WILD = set("*?[")
_RULE_KEYS = {"name", "source", "destination", "port"}


@dataclass(frozen=True)
class ListedCapture:
    """A capture before it is read. Captures of one laboratory are left out of training together."""

    path: Path
    name: str
    laboratory: str
    networks: tuple[str, ...] = ()  # inside, as CIDR; default: private addresses
    groups: Mapping[str, str] = field(default_factory=dict)  # attack's name → one of GROUPS
    truth: Truth = field(default_factory=Truth)
    logs: tuple[Path, ...] = ()  # other logs of the same traffic
    hosts: tuple[str, ...] = ()  # infected, attacking or attacked ones, where the labels of conns do not say it well


def read_listing(path: Path, data: Path | None = None) -> list[ListedCapture]:
    """Return the captures that a TOML or JSON file lists; their paths are relative to `data`, by default the file's own folder.

    Raises InputError for a file that cannot be read, an unknown key, a name twice, a path that is not there, a host that is
    no address, or globs of `logs` that are absolute, have `..` in them, or begin with a folder (or are a file) that is not there.
    """
    try:
        text = path.read_text(encoding="utf-8")
        found = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a list of captures: {error}") from error
    entries = found.get("capture", []) if isinstance(found, dict) else []
    if not entries:
        raise InputError(f"{path}: no [[capture]] in it")
    listed = [_listed(entry, path, data or path.parent) for entry in entries]
    names = [c.name for c in listed]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{path}: two captures are named {name!r}")
    return listed


def _listed(entry: Mapping[str, Any], listing: Path, data: Path) -> ListedCapture:
    where = f"{listing}: capture {entry.get('name', '?')!r}"
    if not {"name", "path"} <= set(entry) <= _KEYS:
        raise InputError(f"{where}: it needs `name` and `path`, and may have {', '.join(sorted(_KEYS - {'name', 'path'}))}")
    rules = entry.get("attack", [])
    doubtful = entry.get("background", [])
    if any(not {"name"} < {"name", *r} <= _RULE_KEYS for r in doubtful):
        raise InputError(f"{where}: `background` has at least one of `source`, `destination` and `port`, which are lists")
    if any(not {"name"} < set(r) <= _RULE_KEYS for r in rules):
        raise InputError(f"{where}: an attack has `name`, and at least one of `source`, `destination` and `port`, which are lists")
    if entry.get("rest") not in (None, "benign") or not set(entry.get("groups", {}).values()) <= set(GROUPS):
        raise InputError(f'{where}: `rest` is "benign" or left out; `groups` gives attacks one of {", ".join(GROUPS)}')
    truth = Truth(
        labels=_there(data / entry["labels"], where) if "labels" in entry else None,
        attacks=tuple(_rule(r) for r in rules),
        background=tuple(_rule({"name": "background"} | r) for r in doubtful),
        rest=entry.get("rest"), start=_time(entry.get("start"), where), end=_time(entry.get("end"), where),
    )  # fmt: skip
    name = str(entry["name"])
    return ListedCapture(
        _there(data / entry["path"], where), name, str(entry.get("laboratory", name)), tuple(entry.get("networks", ())),
        dict(entry.get("groups", {})), truth, _logs(entry.get("logs", []), data, where), _hosts(entry.get("hosts", []), where),
    )  # fmt: skip


def _logs(globs: object, data: Path, where: str) -> tuple[Path, ...]:
    """Return the files below `data` that globs name, in order, without logs of conns and files that are no log.

    A glob whose folder is there may match nothing: not every folder has every log.
    """
    if not isinstance(globs, list) or not all(isinstance(g, str) and g for g in globs):
        raise InputError(f'{where}: `logs` is a list of globs, for example ["folder/*.log.gz"]')
    found: set[Path] = set()
    for glob in globs:
        parts = Path(glob).parts
        if Path(glob).is_absolute() or ".." in parts:
            raise InputError(f"{where}: {glob!r} leads out of the folder that it is relative to")
        fixed = takewhile(lambda part: not _WILD & set(part), parts)
        _there(data.joinpath(*fixed), where)
        found.update(p for p in data.glob(glob) if p.is_file())
    return tuple(sorted(p for p in found if _is_other_log(p.name)))


def _is_other_log(name: str) -> bool:
    log = log_type_of(name)
    return log is not None and log not in NOT_LOGS and not is_log_type(log, "conn")


def _hosts(hosts: object, where: str) -> tuple[str, ...]:
    if not isinstance(hosts, list):
        raise InputError(f"{where}: `hosts` is a list of addresses")
    try:
        return tuple(str(ip_address(str(h))) for h in hosts)
    except ValueError as error:
        raise InputError(f"{where}: `hosts`: {error}") from error


def _rule(entry: Mapping[str, Any]) -> Rule:
    return Rule(entry["name"], *(tuple(entry.get(key, ())) for key in ("source", "destination", "port")))


def _there(path: Path, where: str) -> Path:
    if not path.exists():
        raise InputError(f"{where}: {path} is not there; give the folder that its path is relative to")
    return path


def _time(value: object, where: str) -> datetime | None:
    if value is None:
        return None
    try:
        when = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError as error:
        raise InputError(f"{where}: {value!r} is no time; write it as 2026-11-04T08:00:00Z") from error
    return when if when.tzinfo is not None else when.replace(tzinfo=UTC)


def by_pattern(paths: Sequence[Path], laboratories: Sequence[str]) -> list[ListedCapture]:
    """Return paths as captures; `laboratories` are texts NAME=PATTERN, and the first pattern that a path matches gives its laboratory.

    A path that none matches is a laboratory of its own; a folder's other logs are those of its conns. Raises InputError for a text without `=`.
    """
    pairs = [text.partition("=") for text in laboratories]
    for text, (name, sign, pattern) in zip(laboratories, pairs, strict=True):
        if not (name and sign and pattern):
            raise InputError(f"--laboratory {text}: write NAME=PATTERN, for example iot='*/iot23/*'")
    out = []
    for path in paths:
        laboratory = next((name for name, _, pattern in pairs if fnmatchcase(str(path), pattern)), str(path))
        logs = tuple(p for p in find_logs(path) if _is_other_log(p.name)) if path.is_dir() else ()
        out.append(ListedCapture(path, str(path), laboratory, logs=logs))
    return out
