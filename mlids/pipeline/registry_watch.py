"""`python -m mlids.pipeline.registry_watch NAME FOLDER SECONDS`: polls registry and audit, downloads new versions.

The tracking URI, which may hold a password, comes in MLIDS_MLFLOW_TRACKING_URI: arguments are seen by all users of a machine.

A version is handed on when its seal fits and the audit has it; when the alias points elsewhere, the audit's version stays.
`mlids.scoring.live_model` starts it; it ends with the process that started it.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path

from mlids.alerts.stores.audit import AuditStore
from mlids.errors import MlidsError, ModelError
from mlids.files import write_atomic
from mlids.pipeline.production import Production, find_production
from mlids.pipeline.stores import open_registry, open_stores
from mlids.scoring.live_model import ModelPointer, WatchCommand, store_model
from mlids.settings import Settings, load_settings
from mlids.text import short
from mlids.training.registry import Registry

_REFUSED_AGAIN_S = 20.0  # a version that was refused is downloaded again after this long: a person may have accepted it


def watch_command(uri: str, name: str) -> WatchCommand:
    """Return the command that watches a registry; the caller appends the folder and the poll interval in seconds."""
    return WatchCommand((sys.executable, "-m", "mlids.pipeline.registry_watch", name), {"MLIDS_MLFLOW_TRACKING_URI": uri})


class _Watch:
    """What a watch knows: the registry, the audit, and the version that was downloaded last."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._settings, self._folder = settings, folder
        self._registry: Registry | None = None
        self._audit: AuditStore | None = None
        self._downloaded: ModelPointer | None = None
        self._refused: tuple[Production, ModelPointer, float] | None = None  # with the time from which it is looked at again

    def look(self) -> ModelPointer:
        """Return the pointer to the model in production, or to none and why. Raises MlidsError."""
        self._registry = self._registry or open_registry(self._settings)
        self._audit = self._audit or open_stores(self._settings).audit
        found = find_production(self._registry, self._audit)
        if found.version is None:
            return ModelPointer(error=found.fault)
        held = self._downloaded
        if held is not None and held.version == found.version and found.sha256 in (None, held.sha256):
            return replace(held, error=found.fault)
        if self._refused is not None and self._refused[0] == found and time.monotonic() < self._refused[2]:
            return self._refused[1]
        try:
            graph = self._registry.download(found.version, found.sha256)
        except ModelError as error:
            pointer = ModelPointer(error=f"version {found.version} is refused: {error}")
            self._refused = found, pointer, time.monotonic() + _REFUSED_AGAIN_S
            return pointer
        self._downloaded = store_model(self._folder, found.version, graph)
        return replace(self._downloaded, error=found.fault)


def watch(settings: Settings, folder: Path, seconds: float) -> None:
    """Write `production.json` at the start, and whenever the answer of registry and audit changes. Does not return."""
    looking = _Watch(settings, folder)
    written: ModelPointer | None = None
    while True:
        try:
            pointer = looking.look()
        except MlidsError as error:
            pointer = ModelPointer(error=str(error))
        except Exception as error:  # noqa: BLE001  the watch must survive any answer of a registry
            pointer = ModelPointer(error=short(f"MLflow at {settings.tracking_uri}: {type(error).__name__}: {error}", 300))
        if pointer != written:
            try:
                write_atomic(folder / "production.json", json.dumps(asdict(pointer)))
                written = pointer
            except OSError:
                pass  # a full disk: the next poll tries again
        time.sleep(seconds)


def _end_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 1_024):
        pass
    os._exit(0)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # A server that is down must be detected within seconds.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    watch(load_settings(model_name=sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]))
