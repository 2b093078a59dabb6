"""`python -m mlids.pipeline.registry_watch NAME FOLDER SECONDS`: polls the registry and downloads new versions.

The tracking URI, which may hold a password, comes in MLIDS_MLFLOW_TRACKING_URI: arguments are seen by all users of a machine.

`mlids.scoring.live_model` starts it; it ends with the process that started it.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path

from mlids.errors import MlidsError
from mlids.files import write_atomic
from mlids.scoring.live_model import ALIAS, ModelPointer, WatchCommand, store_model
from mlids.settings import load_settings
from mlids.text import short
from mlids.training.registry import Registry


def watch_command(uri: str, name: str) -> WatchCommand:
    """Return the command that watches a registry; the caller appends the folder and the poll interval in seconds."""
    return WatchCommand((sys.executable, "-m", "mlids.pipeline.registry_watch", name), {"MLIDS_MLFLOW_TRACKING_URI": uri})


def watch(uri: str, name: str, folder: Path, seconds: float) -> None:
    """Write `production.json` at the start, and whenever the registry's answer changes. Does not return."""
    registry: Registry | None = None
    downloaded: ModelPointer | None = None
    written: ModelPointer | None = None
    while True:
        try:
            registry = registry or Registry(uri, name)
            found = registry.version(ALIAS)
            version = found.version if found is not None else None
            if version is None:
                downloaded = ModelPointer()
            elif downloaded is None or downloaded.version != version:
                downloaded = store_model(folder, version, registry.download(version))
            pointer = downloaded
        except MlidsError as error:
            pointer = ModelPointer(error=str(error))
        except Exception as error:  # noqa: BLE001  the watch must survive any answer of a registry
            pointer = ModelPointer(error=short(f"MLflow at {uri}: {type(error).__name__}: {error}", 300))
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
    watch(load_settings().tracking_uri, sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]))
