"""Addresses and secrets from connections that a scheduler keeps: `mlids_sensor_NAME`, `mlids_elastic`, `mlids_mlflow`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from pydantic import SecretStr

from mlids.errors import SettingsError
from mlids.settings import load_settings
from mlids.settings.connections import Connected, use
from mlids.settings.sensors import names_in

_PASSWORD = re.compile(r"[a-z0-9+]+://[^/:@]*:(.*)@", re.IGNORECASE)
# What a connection of a sensor may have in its extra, and the field that takes it.
_EXTRA = {"key_file": "key_file", "private_key": "private_key"}


def use_connections(find: Callable[[str], Mapping[str, Any] | None]) -> list[str]:
    """Let this process take addresses and secrets from connections first; return the names of those that there are.

    `find` returns `host`, `port`, `login`, `password`, `schema` and `extra` of the connection with a name, or None. Raises
    SettingsError for one that names no server.
    """
    use(Connected())  # what is asked for are the names in the file, whatever an earlier call has set
    names = [*(f"mlids_sensor_{name}" for name in names_in(load_settings().sensors_path)), "mlids_elastic", "mlids_mlflow"]
    found = {name: held for name in names if (held := find(name)) is not None}
    settings: dict[str, Any] = {}
    if "mlids_elastic" in found:
        settings |= _elastic(found["mlids_elastic"])
    if "mlids_mlflow" in found:
        held = found["mlids_mlflow"]
        settings["mlflow_tracking_uri"] = _url("mlids_mlflow", held, held.get("login"), held.get("password"))
    sensors = {n.removeprefix("mlids_sensor_"): _sensor(held) for n, held in found.items() if n.startswith("mlids_sensor_")}
    use(Connected(settings, sensors))
    return list(found)


def secrets_in_use() -> list[str]:
    """Return the secrets of the settings and sensors, and the passwords of URLs as they are and as they are written, to be masked in logs."""
    settings = load_settings()
    held = [getattr(settings, name) for name in type(settings).model_fields]
    held += [value for sensor in settings.sensors() for value in (sensor.password, sensor.private_key)]
    found = {value.get_secret_value() for value in held if isinstance(value, SecretStr)}
    for url in (settings.mlflow_tracking_uri, settings.database_url, settings.elastic_url):
        written = _PASSWORD.match(url)
        if written is not None:
            found |= {written[1], unquote(written[1])}
    return sorted(found - {""})


def _sensor(held: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a sensor that a connection of type ssh or sftp sets."""
    extra = held.get("extra") or {}
    fields = {"host": held.get("host"), "port": held.get("port"), "user": held.get("login"), "password": held.get("password")}
    fields |= {field: extra.get(name) for name, field in _EXTRA.items()}
    return {name: value for name, value in fields.items() if value}


def _elastic(held: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that `mlids_elastic` sets: its password is the API key; the certificate may be in its extra."""
    extra = held.get("extra") or {}
    values = {
        "elastic_url": _url("mlids_elastic", held), "elastic_api_key": held.get("password"),
        "elastic_ca_file": extra.get("ca_file"), "elastic_fingerprint": extra.get("fingerprint"),
    }  # fmt: skip
    return {name: value for name, value in values.items() if value}


def _url(name: str, held: Mapping[str, Any], login: str | None = None, password: str | None = None) -> str:
    """Return the URL of a server, with login and password when there are any."""
    host = str(held.get("host") or "")
    host = host if "://" in host else f"{held.get('schema') or 'https'}://{host}"
    try:
        parts = urlsplit(host)
        port = parts.port or held.get("port")
    except ValueError:
        raise SettingsError(f"the connection {name}: its host or port is no address of a server") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise SettingsError(f"the connection {name} names no server: give its host, and http or https as its schema")
    user = f"{quote(login, safe='')}:{quote(password or '', safe='')}@" if login else ""
    shown = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{user}{shown}{f':{port}' if port else ''}{parts.path}"
