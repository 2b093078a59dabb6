"""`mlids config`: what is set and where, what is wrong with it, and files to begin with."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr

from mlids.errors import SettingsError, StoreError, os_fault
from mlids.files import open_private
from mlids.pipeline.stores import open_sinks
from mlids.settings import SETTINGS_FILE, Settings, load_settings, settings_faults, source_of
from mlids.settings.variables import ZEEK, fields_of, threshold_note, variables_of
from mlids.text import redact

HIDDEN = "(hidden)"
_SENSORS_HEAD = """\
# The sensors that mlids reads: one [[sensor]] table for each Zeek machine, or folder of logs. Remove the # before a name to set it.
# `mlids config check` names what is wrong, with the line.

#[[sensor]]
"""
_SETTINGS_HEAD = """\
# Settings of this home, with their defaults. Remove the # before a name to set it; "" means the default.
# Variables (MLIDS_...) and files of MLIDS_SECRETS_DIR go before this file. `mlids config show` says what is set, and where.

"""
# What the example of a sensor has instead of nothing.
_EXAMPLES = {"name": "hq", "host": "zeek.example", "key_file": "/etc/mlids/sensor_key", "password": ""}


def configuration() -> dict[str, Any]:
    """Return `home`, `settings` (name, value, source), `sensors` and `notes`; secrets are hidden, passwords of URLs removed.

    Raises SettingsError when the settings are invalid.
    """
    settings = load_settings()
    sensors = settings.sensors()
    path = settings.sensors_path
    source = str(path) if path.exists() else "environment (ZEEK_HOST)"
    return {
        "home": str(settings.home.absolute()),
        "settings": [
            {"name": n, "variable": variables_of(Settings, n)[0], "value": _shown(getattr(settings, n)), "source": source_of(n, settings)}
            for n, _ in fields_of(Settings)
        ],
        "sensors": [{n: _shown(getattr(s, n)) for n in type(s).model_fields} | {"source": source} for s in sensors],
        "notes": _notes(settings),
    }


def _shown(value: Any) -> Any:
    """Return a value as JSON holds it."""
    if isinstance(value, SecretStr):
        return HIDDEN if value.get_secret_value() else ""
    if isinstance(value, tuple):
        return [_shown(v) for v in value]
    return redact(str(value)) if isinstance(value, (str, Path)) else value


def _notes(settings: Settings) -> list[str]:
    """Return what a person may not expect of the settings that are in force."""
    notes = [note] if (note := threshold_note()) is not None else []
    if os.environ.get("ZEEK_HOST") and settings.sensors_path.exists():
        notes.append(f"{', '.join(n for n in ZEEK if os.environ.get(n))} are not used, as {settings.sensors_path} is there")
    if "elasticsearch" in settings.sinks and source_of("sinks", settings) == "default":
        notes.append("alerts also go to Elasticsearch, as ES_URL and ES_API_KEY are set; MLIDS_SINKS decides otherwise")
    return notes


def check_configuration() -> list[str]:
    """Return a sentence for each fault of the settings, the sensors and the files that they name; nothing is connected to."""
    found = list(settings_faults())
    if found:
        return found
    settings = load_settings()
    found += _faults_of_files(settings)
    try:
        for sink in open_sinks(settings):
            sink.close()
    except (SettingsError, StoreError) as error:
        found.append(str(error))
    return found


def _faults_of_files(settings: Settings) -> Iterator[str]:
    if settings.sensors_file is not None and not settings.sensors_file.is_file():
        yield f"{source_of('sensors_file', settings)}: sensors_file: {settings.sensors_file} does not exist"
    if settings.bundle_key_file is not None and not settings.bundle_key_file.is_file():
        yield f"{source_of('bundle_key_file', settings)}: bundle_key_file: {settings.bundle_key_file} does not exist"
    for sensor in settings.sensors():
        if sensor.key_file is not None and not sensor.key_file.is_file():
            yield f"{settings.sensors_path}: sensor {sensor.name}: key_file: {sensor.key_file} does not exist"
        if sensor.kind == "folder" and not Path(sensor.logs).is_dir():
            yield f"{settings.sensors_path}: sensor {sensor.name}: logs: there is no folder {sensor.logs}"


def write_configuration() -> list[dict[str, Any]]:
    """Write `sensors.toml` and `settings.toml` with comments into home; return `file` and `written` of each. A file that is there stays.

    Only their owner reads them: both may hold passwords. Raises SettingsError when a file cannot be written.
    """
    from mlids.settings import Sensor

    settings = load_settings()
    left_out = {"home", "secrets_dir"}
    texts = {
        settings.sensors_path: _SENSORS_HEAD + "\n".join(_lines(Sensor, set(), _EXAMPLES)),
        settings.home / SETTINGS_FILE: _SETTINGS_HEAD + "\n".join(_lines(Settings, left_out, {})),
    }
    return [{"file": str(path.absolute()), "written": _write_new(path, text + "\n")} for path, text in texts.items()]


def _write_new(path: Path, text: str) -> bool:
    """Write a file unless it is there; return whether it was written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(open_private(str(path), os.O_WRONLY | os.O_CREAT | os.O_EXCL), "w", encoding="utf-8") as out:
            out.write(text)
    except FileExistsError:
        if not path.is_file():
            raise SettingsError(f"{path}: it is not a file; move it away") from None
        return False
    except OSError as error:
        raise SettingsError(os_fault(error, path)) from error
    return True


def _lines(model: type[BaseModel], left_out: set[str], examples: dict[str, str]) -> Iterator[str]:
    """Yield two lines for each field: what it means, and its example or default, commented out."""
    for name, field in fields_of(model):
        if name in left_out:
            continue
        value = examples.get(name, field.default)
        plain = "" if value is None else list(value) if isinstance(value, tuple) else value
        shown = json.dumps(str(plain) if isinstance(plain, Path) else plain)
        yield f"# {field.description}\n#{name} = {shown}"
