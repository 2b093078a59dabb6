"""Where a connection leads: a sensor's settings, then what `~/.ssh/config` says of its host, also the bastions before it.

What sensors.toml or an Airflow connection sets goes first. Of the file, HostName, Port, User, IdentityFile, IdentitiesOnly,
HostKeyAlias and ProxyJump are honoured, as OpenSSH does; ProxyCommand and Include are named in the log and left out.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paramiko
from pydantic import SecretStr

from mlids.errors import SettingsError, os_fault
from mlids.settings import Sensor

log = logging.getLogger(__name__)

_MOST_JUMPS = 8
_NOT_HONOURED = re.compile(r"^\s*(proxycommand|include)[\s=]", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True)
class Endpoint:
    """One SSH server: the sensor, or a bastion on the way to it."""

    label: str  # how messages name it
    host: str
    port: int
    user: str
    timeout_s: float
    known_as: tuple[str, ...]  # the names under which known_hosts may have its key; new ones are added under the first
    key_file: Path | None = None  # must exist
    key_files: tuple[Path, ...] = ()  # of ~/.ssh/config; those that do not exist are left out
    private_key: SecretStr | None = None
    password: SecretStr | None = None
    has_agent: bool = True
    jump: Endpoint | None = None  # the bastion that it is reached through

    @property
    def entries(self) -> tuple[str, ...]:
        """Its names in known_hosts, with the port unless that is 22."""
        return tuple(name if self.port == 22 else f"[{name}]:{self.port}" for name in self.known_as)

    def way(self) -> Iterator[Endpoint]:
        """Yield the bastions and then itself, in the order in which they are reached."""
        if self.jump is not None:
            yield from self.jump.way()
        yield self


def endpoint(sensor: Sensor) -> Endpoint:
    """Return where a sensor is reached. Raises SettingsError when `~/.ssh/config` cannot be used."""
    path = Path("~/.ssh/config").expanduser()
    config = _read(path)
    found, given = _lookup(config, sensor.host, path), sensor.model_fields_set
    host = found.get("hostname", sensor.host)
    return Endpoint(
        f"sensor {sensor.name}", host,
        sensor.port if "port" in given else _port(found.get("port", "22"), path), sensor.user if "user" in given else found.get("user", sensor.user),
        sensor.timeout_s, _names(found, host, sensor.host), sensor.key_file, () if sensor.key_file else _identities(found),
        sensor.private_key, sensor.password, found.get("identitiesonly", "no").lower() != "yes",
        _jump(config, found, sensor.host, sensor, path, _MOST_JUMPS),
    )  # fmt: skip


def _read(path: Path) -> paramiko.SSHConfig:
    """Return the parsed file; an empty one when it does not exist."""
    try:
        if not path.is_file():
            return paramiko.SSHConfig()
        facts = path.stat()
        if facts.st_uid not in (0, os.geteuid()) or facts.st_mode & 0o022:
            raise SettingsError(f"{path}: others may write it, so it is not used, as OpenSSH does; run: chmod go-w {path}")
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise SettingsError(os_fault(error, path)) from error
    for name in sorted({m.lower() for m in _NOT_HONOURED.findall(text)}):
        log.warning("%s: %s is not honoured; write the hosts of sensors into this file, with ProxyJump", path, name)
    try:
        return paramiko.SSHConfig.from_text(text)
    except (paramiko.SSHException, ValueError) as error:
        raise SettingsError(f"{path}: {error}") from error


def _lookup(config: paramiko.SSHConfig, host: str, path: Path) -> dict[str, Any]:
    try:
        return dict(config.lookup(host))
    except Exception as error:  # ImportError of Match exec, and paramiko's own
        raise SettingsError(f"{path}: what it says of {host} cannot be used: {error}") from error


def _identities(found: dict[str, Any]) -> tuple[Path, ...]:
    return tuple(Path(name).expanduser() for name in found.get("identityfile", []) if name.lower() != "none")


def _names(found: dict[str, Any], host: str, written: str) -> tuple[str, ...]:
    """Return the names to look a host's key up by: its alias for keys, or its HostName, then the name as it is written."""
    return tuple(dict.fromkeys((str(found.get("hostkeyalias", host)), written)))


def _port(text: str, path: Path) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65_536):
        raise SettingsError(f"{path}: {text!r} is no port")
    return int(text)


def _jump(config: paramiko.SSHConfig, found: dict[str, Any], of: str, sensor: Sensor, path: Path, most: int) -> Endpoint | None:
    """Return the last bastion before a host, with those before it."""
    text = str(found.get("proxyjump", "none"))
    if text.lower() == "none":
        return None
    if most == 0:
        raise SettingsError(f"{path}: ProxyJump of {sensor.host} leads through more than {_MOST_JUMPS} hosts; does it lead in a circle?")
    before: Endpoint | None = None
    for number, hop in enumerate(text.split(",")):
        parts = re.fullmatch(r"\s*(?:ssh://)?(?:(?P<user>[^@\s]+)@)?(?P<host>\[[^\]\s]+\]|[^@:\s]+)(?::(?P<port>\d+))?/?\s*", hop)
        if parts is None:
            raise SettingsError(f"{path}: ProxyJump: {hop.strip()!r} is not [user@]host[:port]")
        name = parts["host"].strip("[]")
        if name == of and number == 0:  # `Host *` with ProxyJump: the bastion itself is reached directly
            return None
        of_hop = _lookup(config, name, path)
        first = _jump(config, of_hop, name, sensor, path, most - 1) if number == 0 else before  # only the first may have one of its own
        host = str(of_hop.get("hostname", name))
        before = Endpoint(
            f"sensor {sensor.name}: the bastion {name}", host, _port(parts["port"] or str(of_hop.get("port", "22")), path),
            parts["user"] or str(of_hop.get("user", sensor.user)), sensor.timeout_s, _names(of_hop, host, name),
            key_files=_identities(of_hop), has_agent=str(of_hop.get("identitiesonly", "no")).lower() != "yes", jump=first,
        )  # fmt: skip
    return before
