"""The model in production as live scoring sees it: watched, verified, replaced between two batches, kept on disk.

MLflow's client is as large as all the rest of a scorer, and may wait for minutes on a server that is down. So a
separate process (`mlids.pipeline.registry_watch`) polls the registry and downloads new versions; the scorers read the
files that it leaves.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from mlids.detectors.bundle import Bundle, Model
from mlids.detectors.reference import ReferenceModel, load_reference
from mlids.detectors.self_test import check_not_blind
from mlids.errors import MlidsError, ModelError, StoreError
from mlids.files import write_atomic
from mlids.training.seal import digest_of

log = logging.getLogger(__name__)

POLL_S = 2.0
_LOOK_S = 0.25
_FIRST_ANSWER_S = 60.0  # the rows wait: a busy machine takes half a minute to start MLflow's client
_RESTART_S = 5.0
NONE_YET = "there is no model in production yet; run train_weekly or `mlids train`"
_DAY_S = 86_400


@dataclass(frozen=True)
class ModelPointer:
    """A small JSON file beside the model files: which version is in which file, why there is none, or what is wrong with the alias.

    The watch has checked the seal of that file, and `sha256` is of what it checked; the folder is for its owner alone.
    """

    version: str | None = None
    file: str = ""
    sha256: str = ""
    error: str | None = None


@dataclass(frozen=True)
class WatchCommand:
    """How the registry watch is started: its arguments, and variables of its environment, which other users do not see."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str]


class RegistryWatch:
    """The process that polls the registry and leaves its answers in `folder`. It ends when its standard input is closed."""

    def __init__(self, command: WatchCommand, folder: Path, poll_s: float = POLL_S) -> None:
        self._command, self._folder, self._poll_s = command, folder, poll_s
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0

    def keep(self) -> None:
        """Start the process, or start it again when it has ended."""
        if self._process is not None:
            if self._process.poll() is None or time.monotonic() - self._started <= _RESTART_S:
                return
            log.warning("the registry watch ended with exit code %s; it is started again", self._process.returncode)
        self._started = time.monotonic()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._process = subprocess.Popen(
            [*self._command.arguments, str(self._folder), str(self._poll_s)], env={**os.environ, **self._command.environment},
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdin is not None
            self._process.stdin.close()


class ProductionModel:
    """Follows the alias `production` of a registry; all scorers of a process share one.

    Without a `watch_command` another process watches the registry and leaves its answers in `folder`.

    The last good bundle is kept in `folder`: a scorer starts with it at once, and uses it while MLflow is down. A version
    that is damaged, has other features, or fails its own test is refused, and `error` gives the reason. While there is no
    model of the site that can be used, the reference model scores, and `note` says so.
    """

    def __init__(self, watch_command: WatchCommand | None, folder: Path, *, poll_s: float = POLL_S) -> None:
        self._folder = folder
        self._watch = RegistryWatch(watch_command, folder, poll_s) if watch_command is not None else None
        self._model: Bundle | None = None
        self._reference: ReferenceModel | None = None
        self._answered = False  # by the registry
        self._seen: tuple[int, int] | None = None  # inode and mtime of the pointer that was read last
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look_on, name="production-model", daemon=True)
        self.error: str | None = None
        self.note: str | None = None

    def __enter__(self) -> ProductionModel:
        """Load the last good bundle and start watching; without one, wait for the registry's first answer, at most a minute."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._use(_read(self._folder / "last-good.json"))
        self._say()
        if self._watch is not None:  # which writes its answer anew, also the one that is there
            self._seen = self._stamp()
            self._watch.keep()
        end = time.monotonic() + _FIRST_ANSWER_S
        while self._model is None and time.monotonic() < end:
            if self._look():
                break
            time.sleep(_LOOK_S)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop watching."""
        self._stop.set()
        self._thread.join(timeout=5)
        if self._watch is not None:
            self._watch.stop()

    def current(self) -> Model | None:
        """Return the model to score with: that of the site, else the reference model; None when that is damaged too."""
        return self._model or self._reference

    def _look_on(self) -> None:
        while not self._stop.wait(_LOOK_S):
            try:
                self._look()
            except Exception as error:
                self.error = f"watching the model failed: {type(error).__name__}: {error}"
                log.exception("watching the model in production failed")

    def _look(self) -> bool:
        """Read the pointer when it has changed; return whether it had."""
        if self._watch is not None:
            self._watch.keep()
        stamp = self._stamp()
        if stamp is None or stamp == self._seen:
            return False
        self._seen, self._answered = stamp, True
        self._use(_read(self._folder / "production.json"))
        self._say()
        return True

    def _say(self) -> None:
        """Let the reference model score while there is no model of the site, and say so; NONE_YET is an error only without both."""
        before, self.note = self.note, None
        if self._model is not None:
            return
        why = "there is no model in production yet" if self._answered else "the registry has not answered yet"
        try:
            self._reference = self._reference or load_reference()
        except ModelError as error:
            self.error = f"{self.error or NONE_YET}; {error}"
            return
        scores = f"the reference model, {self._reference.version}, scores"
        self.note = f"{why}: {scores} until a model of this site is promoted" if self.error is None else f"{scores} meanwhile"
        if self.note != before:
            log.warning("live scoring: %s", self.note)
        if self.error is not None:
            self.error = f"{self.error}; {self.note}"

    def _use(self, pointer: ModelPointer) -> None:
        """Score with the model of a pointer from now on; keep the present one when the new one cannot be used."""
        if pointer.version is None:
            stays = f"; version {self._model.version} stays in use" if self._model is not None else ""
            self.error = f"{pointer.error}{stays}" if pointer.error else None
            return
        if self._model is not None and self._model.version == pointer.version and self._model.digest == pointer.sha256:
            self.error = pointer.error
            return
        before = self._model.version if self._model is not None else None
        try:
            self._model = self._load(pointer)
            self.error = pointer.error
            write_atomic(self._folder / "last-good.json", json.dumps(asdict(replace(pointer, error=None))))
            log.info("model version %s is in use; before: %s", pointer.version, before)
        except MlidsError as error:
            self.error = f"version {pointer.version} is refused: {error}" + (f"; version {before} stays in use" if before else "")
            log.warning("%s", self.error)
        except OSError as error:
            log.warning("the pointer to the last good model could not be written: %s", error)

    def _load(self, pointer: ModelPointer) -> Bundle:
        path = self._folder / pointer.file
        try:
            graph = path.read_bytes()
        except OSError as error:
            raise ModelError(f"{path}: {error.strerror}") from error
        if digest_of(graph) != pointer.sha256:
            raise ModelError(f"{path} has another SHA-256 than the version that was downloaded")
        bundle = Bundle(graph, pointer.version)
        check_not_blind(bundle)
        return bundle

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


def store_model(folder: Path, version: str, graph: bytes) -> ModelPointer:
    """Write a version's graph into the folder and return the pointer to it.

    Model files without a pointer are removed after a day. Raises StoreError when the disk does not take the file.
    """
    digest = digest_of(graph)
    pointer = ModelPointer(version, f"model-{digest[:16]}.onnx", digest)
    try:
        write_atomic(folder / pointer.file, graph)
        used = {pointer.file, _read(folder / "last-good.json").file}
        yesterday = datetime.now(UTC).timestamp() - _DAY_S
        for old in folder.glob("model-*.onnx"):
            if old.name not in used and old.stat().st_mtime < yesterday:
                old.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"the model could not be stored in {folder}: {error.strerror or error}; free some space") from error
    return pointer
