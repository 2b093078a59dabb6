"""Runs a program in a child and measures its time and its own memory peak."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_PEAK = """
import atexit, json, sys
def _peak():
    # VmHWM is this program's own peak; ru_maxrss begins with that of the process that started it.
    peak = next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))
    print("\\n" + json.dumps({"peak": peak}), file=sys.stderr)
atexit.register(_peak)
"""
_MLIDS = "import sys\nsys.argv[0] = 'mlids'\nfrom mlids.cli.__main__ import main\nmain()"


@dataclass(frozen=True)
class Measured:
    """What a child printed, its exit code, its memory peak in bytes, and its seconds of processor time and by the clock."""

    out: str
    err: str
    code: int
    peak: int
    seconds: float

    def says(self) -> str:
        """Return time and memory in words, for the table of attacks."""
        return f"{self.seconds:.0f} s, {self.peak >> 20} MB"


def run_measured(program: str, args: Sequence[str] = (), env: Mapping[str, str] | None = None, timeout: float = 60) -> Measured:
    """Return what Python does with `program`. Raises TimeoutExpired."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", _PEAK + program, *args],
        capture_output=True, text=True, timeout=timeout, env=None if env is None else dict(env),
    )  # fmt: skip
    took = time.monotonic() - began
    err, _, last = done.stderr.rstrip().rpartition("\n")
    measured: dict[str, Any] = json.loads(last) if last.startswith("{") else {"peak": 0}
    return Measured(done.stdout, err.strip() if last.startswith("{") else done.stderr, done.returncode, measured["peak"], took)


def mlids_measured(args: Sequence[str], timeout: float = 60) -> Measured:
    """Return what the command line does with these arguments and the environment of now."""
    return run_measured(_MLIDS, args, timeout=timeout)
