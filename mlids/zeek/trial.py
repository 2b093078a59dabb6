"""Reads pieces of a log in a process that may die, and isolates the lines that end it.

A fault of native code (a stack that overflows, a wild pointer, memory without end) ends the process that reads. Where
that has happened, a piece is first read on trial: `mlids.zeek.trial_process` forks a process for each piece.
Memory is a few dozen MB while it runs. Nothing is tried while nothing has died.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

# A trial takes about 20 ms and a line about 20 trials. After this many deaths of one piece, what kills is put aside unsplit.
TRIAL_DEATHS = 256


@dataclass(frozen=True)
class Chunk:
    """Whole lines of a log; `reason` says why they are put aside without being parsed, None for those to parse."""

    data: bytes
    reason: str | None = None

    @property
    def lines(self) -> int:
        """How many lines these are."""
        return self.data.count(b"\n") + (not self.data.endswith(b"\n"))


class Trials:
    """Tries lines of one log in another process, which runs from the first trial until `close`."""

    def __init__(self, name: str, log: str | None) -> None:
        self._name, self._log = name, log
        self._server: subprocess.Popen[bytes] | None = None

    def sieve(self, data: bytes, form: dict[str, Any]) -> Iterator[Chunk]:
        """Yield whole lines in chunks that can be parsed, each in one go, and those that cannot, as small as possible.

        `form` is the format of rows at this position, as LogReader.form returns it.
        """
        waiting, deaths = [data], 0
        while waiting:
            part = waiting.pop()
            after, reason = self._try(part, form)
            if reason is None:
                form = after
                yield Chunk(part)
                continue
            deaths += 1
            middle = part.find(b"\n", len(part) // 2 - 1) + 1
            if not 0 < middle < len(part):
                middle = part.find(b"\n") + 1
            if deaths > TRIAL_DEATHS or not 0 < middle < len(part):
                yield Chunk(part, reason)
            else:
                waiting += [part[middle:], part[:middle]]

    def close(self) -> None:
        """End the other process."""
        if self._server is not None:
            for pipe in (self._server.stdin, self._server.stdout):
                with suppress(OSError):
                    pipe.close()  # type: ignore[union-attr]
            self._server.kill()
            self._server.wait()
            self._server = None

    def _try(self, data: bytes, form: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
        """Return the format after these lines and None, or the reason why they cannot be read."""
        if self._server is None:
            self._server = subprocess.Popen(
                [sys.executable, "-m", "mlids.zeek.trial_process"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                env={**os.environ, "POLARS_MAX_THREADS": "1"},
            )  # fmt: skip
        out, answer = self._server.stdin, b""
        assert out is not None and self._server.stdout is not None
        with suppress(OSError):
            out.write(json.dumps({"name": self._name, "log": self._log, "form": form, "bytes": len(data)}).encode() + b"\n" + data)
            out.flush()
            answer = self._server.stdout.readline()
        if not answer:  # the system ended both of them, short of memory
            self.close()
            return form, "reading it ended the reader (SIGKILL)"
        found = json.loads(answer)
        return (found["form"], None) if found["reason"] is None else (form, found["reason"])


def signal_name(code: int) -> str:
    """Return what ended a process, by its exit code: the name of a signal, or the code."""
    with suppress(ValueError):
        return signal.Signals(-code).name
    return f"exit code {code}"
