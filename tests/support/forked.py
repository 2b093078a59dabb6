"""`mlids` in a process of its own whose imports are already made: a run costs a tenth of a fresh interpreter's."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["mlids.cli.__main__", "mlids.pipeline", "mlids.scoring.batch", "sklearn.ensemble"])


def run(
    args: Sequence[str], stdin: bytes | None = None, timeout: float = 120.0, file_bytes: int | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run `mlids ARGS` with the environment of now; no file can grow beyond `file_bytes`. Output, errors and exit code are those of the process."""
    with tempfile.TemporaryDirectory() as folder:
        streams = [Path(folder) / name for name in ("in", "out", "err")]
        streams[0].write_bytes(stdin or b"")
        process = _FORKS.Process(target=_mlids, args=(list(args), [str(p) for p in streams], dict(os.environ), file_bytes))
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(["mlids", *args], timeout)
        return subprocess.CompletedProcess(["mlids", *args], process.exitcode, streams[1].read_bytes(), streams[2].read_bytes())


def _mlids(args: list[str], streams: list[str], environment: dict[str, str], file_bytes: int | None) -> None:
    os.environ.clear()
    os.environ.update(environment)
    for number, (path, flags) in enumerate(zip(streams, (os.O_RDONLY, os.O_WRONLY | os.O_CREAT, os.O_WRONLY | os.O_CREAT), strict=True)):
        os.dup2(os.open(path, flags, 0o600), number)
    sys.stdin, sys.stdout, sys.stderr = open(0, closefd=False), open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
    sys.argv = ["mlids", *args]
    if file_bytes is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    from mlids.cli.__main__ import main

    main()
