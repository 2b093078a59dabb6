"""`python -m mlids.pipeline.registry_watch URI NAME FOLDER SECONDS`: asks the registry again and again, and fetches what is new.

Started by `mlids.scoring.live_model`, whose end it does not outlive.
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
from mlids.scoring.live_model import ALIAS, ModelPointer, keep
from mlids.training.registry import Registry


def watch_command(uri: str, name: str) -> tuple[str, ...]:
    """Return the command of the process that watches a registry; the folder and the seconds between two looks follow it."""
    return (sys.executable, "-m", "mlids.pipeline.registry_watch", uri, name)


def watch(uri: str, name: str, folder: Path, seconds: float) -> None:
    """Write `production.json` whenever what the registry says has changed, and once at the start."""
    registry: Registry | None = None
    fetched = told = None
    while True:
        try:
            registry = registry or Registry(uri, name)
            found = registry.version(ALIAS)
            version = found.version if found is not None else None
            if version is None:
                fetched = ModelPointer()
            elif fetched is None or fetched.version != version:
                fetched = keep(folder, version, registry.download(version))
            answer = fetched
        except MlidsError as error:
            answer = ModelPointer(error=str(error))
        except Exception as error:  # noqa: BLE001  the watch must outlive whatever a registry answers
            answer = ModelPointer(error=f"MLflow at {uri}: {type(error).__name__}: {str(error)[:200]}")
        if answer != told:
            try:
                write_atomic(folder / "production.json", json.dumps(asdict(answer)))
                told = answer
            except OSError:
                pass  # a full disk: the next look tries again
        time.sleep(seconds)


def _end_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 1_024):
        pass
    os._exit(0)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # A server that is down must be known to be so within seconds.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    watch(sys.argv[1], sys.argv[2], Path(sys.argv[3]), float(sys.argv[4]))
