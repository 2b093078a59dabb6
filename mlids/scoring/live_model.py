"""The model in production as the live scorers see it: watched, checked, swapped between two batches, kept on disk.

MLflow's client is as large as all the rest of a scorer, and may wait for minutes on a server that is down. So a
process of its own asks the registry and fetches what is new; the scorers look at the files that it leaves.
"""

from __future__ import annotations

import hashlib
import json
import logging
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from mlids.detectors.bundle import Bundle
from mlids.errors import MlidsError, ModelError, StoreError
from mlids.files import write_atomic

log = logging.getLogger(__name__)

ALIAS = "production"
POLL_S = 2.0
_LOOK_S = 0.25
_FIRST_ANSWER_S = 20.0
_RESTART_S = 5.0
NONE_YET = "there is no model in production yet; run train_weekly"


@dataclass(frozen=True)
class ModelPointer:
    """What a note beside the graphs says: which version, in which file, and what went wrong with the asking."""

    version: str | None = None
    file: str = ""
    sha256: str = ""
    error: str | None = None


class ProductionModel:
    """Follows the alias `production` of a registry; all scorers of a process share one.

    The last good bundle lies in `folder`: a scorer starts with it at once, and goes on with it while MLflow is
    down. A version that is damaged, of other features, or fails its own test is refused, and `error` says so.
    """

    def __init__(self, watch_command: Sequence[str], folder: Path, *, poll_s: float = POLL_S) -> None:
        self._command, self._folder, self._poll_s = tuple(watch_command), folder, poll_s
        self._model: Bundle | None = None
        self._seen: tuple[int, int] | None = None
        self._helper: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="production-model", daemon=True)
        self.error: str | None = None

    def __enter__(self) -> ProductionModel:
        """Take up the last good bundle and begin to watch; without one, wait for the registry's first answer."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._take(_read(self._folder / "last-good.json"))
        self._seen = self._stamp()
        self._start_helper()
        end = time.monotonic() + _FIRST_ANSWER_S
        while self._model is None and time.monotonic() < end:
            if self._look():
                break
            time.sleep(_LOOK_S)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End the watch."""
        self._stop.set()
        self._thread.join(timeout=5)
        if self._helper is not None:
            self._helper.kill()
            self._helper.wait()
            assert self._helper.stdin is not None
            self._helper.stdin.close()

    def current(self) -> Bundle | None:
        """Return the model to score with; None while there is none."""
        return self._model

    def _watch(self) -> None:
        while not self._stop.wait(_LOOK_S):
            try:
                self._look()
            except Exception as error:
                self.error = f"watching the model failed: {type(error).__name__}: {error}"
                log.exception("watching the model in production")

    def _start_helper(self) -> None:
        """Start the process that asks; it ends by itself when its standard input does."""
        self._started = time.monotonic()
        command = [*self._command, str(self._folder), str(self._poll_s)]
        self._helper = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def _look(self) -> bool:
        """Take up what the helper has left since the last look; say whether there was anything."""
        assert self._helper is not None
        if self._helper.poll() is not None and time.monotonic() - self._started > _RESTART_S:
            log.warning("the process that watches the registry ended with %s; it is started again", self._helper.returncode)
            self._start_helper()
        stamp = self._stamp()
        if stamp is None or stamp == self._seen:
            return False
        self._seen = stamp
        self._take(_read(self._folder / "production.json"))
        return True

    def _take(self, kept: ModelPointer) -> None:
        if kept.error is not None:
            self.error = kept.error
            return
        if kept.version is None:
            self.error = None if self._model is not None else NONE_YET
            return
        if self._model is not None and self._model.version == kept.version and self._model.digest == kept.sha256:
            self.error = None
            return
        before = self._model.version if self._model is not None else None
        try:
            self._model = self._open(kept)
            self.error = None
            write_atomic(self._folder / "last-good.json", json.dumps(asdict(kept)))
            log.info("model version %s scores from now on; before: %s", kept.version, before)
        except MlidsError as error:
            self.error = f"version {kept.version} is refused: {error}" + (f"; version {before} goes on" if before else "")
            log.warning("%s", self.error)
        except OSError as error:
            log.warning("the last good model could not be noted: %s", error)

    def _open(self, kept: ModelPointer) -> Bundle:
        try:
            graph = (self._folder / kept.file).read_bytes()
        except OSError as error:
            raise ModelError(f"{self._folder / kept.file}: {error.strerror}") from error
        if hashlib.sha256(graph).hexdigest() != kept.sha256:
            raise ModelError(f"{self._folder / kept.file} is not what was fetched")
        return Bundle(graph, kept.version)

    def _stamp(self) -> tuple[int, int] | None:
        try:
            found = (self._folder / "production.json").stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns


def _read(path: Path) -> ModelPointer:
    try:
        return ModelPointer(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return ModelPointer()
    except (OSError, ValueError, TypeError) as error:
        return ModelPointer(error=f"{path}: {error}")


def keep(folder: Path, version: str, graph: bytes) -> ModelPointer:
    """Lay a version's graph into the folder; graphs that no note names are removed after a day.

    Raises StoreError when the disk refuses.
    """
    digest = hashlib.sha256(graph).hexdigest()
    kept = ModelPointer(version, f"model-{digest[:16]}.onnx", digest)
    try:
        write_atomic(folder / kept.file, graph)
        named = {kept.file, _read(folder / "last-good.json").file}
        yesterday = datetime.now(UTC).timestamp() - 86_400
        for old in folder.glob("model-*.onnx"):
            if old.name not in named and old.stat().st_mtime < yesterday:
                old.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"the model could not be kept in {folder}: {error.strerror or error}") from error
    return kept
