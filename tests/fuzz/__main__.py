"""`make fuzz`: runs every target for FUZZ_SECONDS in a process of its own; exit code 1 when one finds a fault.

`python -m tests.fuzz reader` runs one target, `python -m tests.fuzz --seeds` writes the seeds that our writers make. An input
that shows a fault is kept in seeds/, where `make test` replays it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz import SEEDS, TARGETS, load

SECONDS = 150  # ten minutes for the four targets
LONGEST_INPUT, SLOWEST_S, MEMORY_MB = 16_384, 20, 3_000


def write_seeds() -> None:
    """Write the seeds of every target."""
    for name in TARGETS:
        (SEEDS / name).mkdir(parents=True, exist_ok=True)
        for title, data in load(name).seeds().items():
            (SEEDS / name / title).write_bytes(data)


def fuzz(name: str, seconds: int) -> bool:
    """Run one target; return whether it found nothing. Prints its executions, and what it found with its end of output."""
    with tempfile.TemporaryDirectory(prefix="mlids-fuzz-") as work:
        found, corpus = Path(work) / "found", Path(work) / "corpus"
        for folder in (found, corpus):
            folder.mkdir()
        options = [f"-max_total_time={seconds}", f"-max_len={LONGEST_INPUT}", f"-timeout={SLOWEST_S}", f"-rss_limit_mb={MEMORY_MB}"]
        words = [sys.executable, "-m", "tests.fuzz.child", name, *options, "-print_final_stats=1", f"-artifact_prefix={found}/"]
        done = subprocess.run([*words, str(corpus), str(SEEDS / name)], check=False, capture_output=True, text=True, errors="replace")
        numbers = re.findall(r"stat::number_of_executed_units:\s*(\d+)|^#(\d+)", done.stderr, re.MULTILINE)
        executions = max((int(a or b) for a, b in numbers), default=0)
        findings = [p for p in sorted(found.iterdir()) if not p.name.startswith("slow-unit")]
        print(
            f"{name}: {executions:,} executions in {seconds} s, {len(findings)} findings, {len(list(corpus.iterdir()))} new inputs",
            flush=True,
        )
        for path in findings:
            kept = shutil.copy(path, SEEDS / name / f"found-{path.name.partition('-')[2][:12]}")
            print(f"{name}: kept as {kept}", flush=True)
        if done.returncode or findings or not executions:
            print(done.stdout[-2_000:] + done.stderr[-4_000:], flush=True)
            return False
        return True


if __name__ == "__main__":
    if sys.argv[1:] == ["--seeds"]:
        write_seeds()
        sys.exit(0)
    seconds = int(os.environ.get("FUZZ_SECONDS") or SECONDS)
    well = [fuzz(name, seconds) for name in sys.argv[1:] or TARGETS]
    sys.exit(0 if all(well) else 1)
