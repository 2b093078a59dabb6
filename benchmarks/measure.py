"""Runs commands and code in a process of their own and measures time and memory."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# A synthetic day as hourly .log.gz files; prints its conns. Arguments: folder, day, flows, tsv or json.
SYNTH = """
import sys
from datetime import date
from pathlib import Path
from mlids.synth.archive import write_days
from mlids.synth.site import Site
folder, day, flows, form = sys.argv[1:]
for _, rows, _ in write_days(Path(folder), Site(7), [date.fromisoformat(day)], flows=int(flows), form=form, logs=(), suffix=".log.gz"):
    print(rows)
"""


@dataclass(frozen=True)
class Cost:
    """Wall and CPU seconds, and peak resident memory in MB, of one process and its children."""

    wall_s: float
    cpu_s: float
    peak_mb: float
    output: str


def run(command: Sequence[str | Path], cwd: Path | None = None, env: dict[str, str] | None = None) -> Cost:
    """Run a command to its end and return its cost, as counted by the kernel. Raises RuntimeError when it fails."""
    began = time.perf_counter()
    out = Path(f"/tmp/mlids-bench-{os.getpid()}.out")
    with out.open("wb") as held:
        process = subprocess.Popen([str(c) for c in command], cwd=cwd, stdout=held, stderr=subprocess.STDOUT, env=env)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - began
    text = out.read_text(errors="replace")
    out.unlink()
    if process.returncode:
        raise RuntimeError(f"{command[0]} failed:\n{text[-3_000:]}")
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, text)


def python(code: str, *args: object, interpreter: str | Path = sys.executable) -> Cost:
    """Run Python code in a fresh interpreter."""
    return run([interpreter, "-c", code, *map(str, args)])


def best(costs: Sequence[Cost]) -> Cost:
    """Return the fastest of several runs: the one that other work on the machine delayed least."""
    return min(costs, key=lambda c: c.wall_s)
