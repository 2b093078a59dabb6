"""`python -m mlids.pipeline.registry_watch URI NAME FOLDER SECONDS`: polls the registry and downloads new versions.

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
from mlids.scoring.live_model import ALIAS, ModelPointer, store_model
from mlids.training.registry import Registry


def watch_command(uri: str, name: str) -> tuple[str, ...]:
    """Return the command that watches a registry; the caller appends the folder and the poll interval in seconds."""
    return (sys.executable, "-m", "mlids.pipeline.registry_watch", uri, name)


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
            pointer = ModelPointer(error=f"MLflow at {uri}: {type(error).__name__}: {str(error)[:200]}")
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
    watch(sys.argv[1], sys.argv[2], Path(sys.argv[3]), float(sys.argv[4]))
