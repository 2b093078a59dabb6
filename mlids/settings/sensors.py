"""Sensors, and the file that lists them: `sensors.toml`, read with the file and line of what is wrong."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from mlids.errors import SettingsError, os_fault
from mlids.window import zone

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]


_CREDENTIALS = {"key_file", "private_key", "password"}


class Sensor(BaseModel):
    """One Zeek machine, or a folder that holds its logs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name = Field(description="Name of the sensor; part of every path and alert.")
    kind: Literal["sftp", "folder"] = Field("sftp", description="Pull over SFTP, or read a local or mounted folder.")
    host: str = Field("", description="Host name, address, or a Host of ~/.ssh/config (sftp).")
    port: int = Field(22, ge=1, le=65535, description="SSH port.")
    user: str = Field("zeek", description="Account on the sensor; read access to the logs is enough.")
    key_file: Path | None = Field(None, description="Private key; without one the SSH agent is tried, then the password.")
    private_key: SecretStr | None = Field(
        None, description="The private key itself instead of a file, unencrypted; as an Airflow connection holds it."
    )
    password: SecretStr | None = Field(None, description="Password, used when no key is accepted.")
    logs: str = Field("/opt/zeek/logs", description="Folder with one sub-folder per day (zeekctl's archive).")
    current: str = Field("", description="Folder of the growing logs; default: `logs`/current.")
    zone: str = Field("UTC", description="Time zone of the sensor's folders and file names.")
    types: tuple[str, ...] = Field(
        (
            "conn",
            "dns",
            "http",
            "ssl",
            "x509",
            "ssh",
            "files",
            "pe",
            "notice",
            "weird",
            "intel",
            "rdp",
            "smb_*",
            "dce_rpc",
            "kerberos",
            "ntlm",
        ),
        description="Log types to pull, as globs.",
    )
    max_file_gib: int = Field(64, ge=1, le=1 << 20, description="GiB; a larger file is not pulled, but named as a problem.")
    timeout_s: float = Field(20.0, gt=0, le=600, description="Seconds to wait for the sensor.")

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            zone(name)
        except SettingsError as error:
            raise ValueError(str(error)) from None
        return name

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.kind == "sftp" and not self.host:
            raise ValueError("an sftp sensor needs `host`")
        return self

    @property
    def current_folder(self) -> str:
        """Folder of the growing logs."""
        return self.current or f"{self.logs.rstrip('/')}/current"


def read_toml(path: Path) -> tuple[dict[str, Any], str]:
    """Return what a TOML file holds, and its text. Raises FileNotFoundError, and SettingsError when it cannot be read or is not TOML."""
    try:
        text = path.read_text(encoding="utf-8")
        return tomllib.loads(text), text
    except FileNotFoundError:
        raise
    except OSError as error:
        raise SettingsError(os_fault(error, path)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: not TOML: {error}") from error


def read_sensors(path: Path, connected: Mapping[str, Mapping[str, Any]] | None = None) -> list[Sensor]:
    """Return the sensors of a file; fields in `connected`, by the sensor's name, go before those of the file.

    Raises FileNotFoundError, and SettingsError with the file and line of the first fault.
    """
    content, text = read_toml(path)
    entries = _entries(content, text, path)
    sensors: list[Sensor] = []
    for number, entry in enumerate(entries):
        given = (connected or {}).get(str(entry.get("name")), {})
        sensor = _sensor({**_without_credentials(entry, given), **given}, number, text, path)
        if sensor.name in {s.name for s in sensors}:
            raise SettingsError(
                f"{path}:{_line(text, 'name', number)}: two sensors share the name {sensor.name!r}; give one of them another"
            )
        sensors.append(sensor)
    return sensors


def names_in(path: Path) -> list[str]:
    """Return the names in a file of sensors, also of those that lack what a connection has; none when it cannot be read."""
    try:
        content, _ = read_toml(path)
    except (FileNotFoundError, SettingsError):
        return []
    entries = content.get("sensor", [])
    return [str(e["name"]) for e in entries if isinstance(e, dict) and "name" in e] if isinstance(entries, list) else []


def _without_credentials(entry: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry without its key and password when others are given: those of the file are for another account."""
    gone = _CREDENTIALS if _CREDENTIALS & set(given) else set()
    return {key: value for key, value in entry.items() if key not in gone}


def _entries(content: Mapping[str, Any], text: str, path: Path) -> list[Mapping[str, Any]]:
    for key in content:
        if key != "sensor":
            raise SettingsError(f"{path}:{line_of(text, key)}: {unknown('key', key, ['sensor'])}; begin each sensor with [[sensor]]")
    entries = content.get("sensor", [])
    if isinstance(entries, dict):
        where = f"{path}:{line_of(text, 'sensor')}"
        raise SettingsError(f"{where}: [sensor] is one table; begin each sensor with [[sensor]], in double brackets")
    if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
        raise SettingsError(f"{path}:{line_of(text, 'sensor')}: `sensor` is not a list of tables; begin each sensor with [[sensor]]")
    return entries


def _sensor(entry: Mapping[str, Any], number: int, text: str, path: Path) -> Sensor:
    for key in entry:
        if key not in Sensor.model_fields:
            raise SettingsError(f"{path}:{_line(text, key, number)}: {unknown('key', key, Sensor.model_fields)}")
    try:
        return Sensor.model_validate({key: value for key, value in entry.items() if value != ""})
    except ValidationError as error:
        key = str(next(iter(error.errors()[0]["loc"]), ""))
        raise SettingsError(f"{path}:{_line(text, key, number)}: sensor {entry.get('name', number + 1)}: {first_fault(error)}") from error


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """Return the sentence about a name that is not known: the nearest known one, and all of them."""
    known = list(known)
    by_text = {k.lower().removeprefix("mlids_"): k for k in known}
    near = [by_text[n] for n in get_close_matches(name.lower().removeprefix("mlids_"), by_text, n=1, cutoff=0.6)]
    meant = f"; did you mean {near[0]}?" if near else "."
    return f"unknown {what} {name!r}{meant} Allowed: {', '.join(known)}"


def first_fault(error: ValidationError) -> str:
    """Return the first fault of a validation as `field: what`."""
    return fault(error.errors(include_input=False, include_url=False)[0])


def fault(found: ErrorDetails) -> str:
    """Return one fault of a validation as `field: what`."""
    where = ".".join(str(part) for part in found["loc"])
    text = str(found["msg"]).removeprefix("Value error, ")
    return f"{where}: {text}" if where else text


def line_of(text: str, key: str, start: int = 1, end: int | None = None) -> int:
    """Return the number of the first line, of those from `start` up to, not including, `end`, that sets a key or begins its table; else `start`."""
    wanted = re.compile(rf"\s*(?:\[+\s*)?[\"']?{re.escape(key)}[\"']?\s*[\].=]")
    lines = text.split("\n")
    for number, line in enumerate(lines[start - 1 : end - 1 if end else None], start):
        if key and wanted.match(line):
            return number
    return start


def _line(text: str, key: str, number: int) -> int:
    """Return the line of a key in the table of the sensor with that number, counted from 0; else of the table."""
    begins = [n for n, line in enumerate(text.split("\n"), 1) if re.match(r"\s*\[\[\s*[\"']?sensor[\"']?\s*\]\]", line)]
    if number >= len(begins):
        return 1
    return line_of(text, key, begins[number], begins[number + 1] if number + 1 < len(begins) else None)
