"""`make bench`: measures against peers and limits, prints one table and writes benchmarks/latest.json.

`python -m benchmarks score detect` runs some stages alone. `--rows` (or MLIDS_BENCH_FLOWS) lowers the size for a quick
check; latest.json is not written then.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

from benchmarks.measure import SYNTH, Cost, best, python, run

ROOT = Path(__file__).resolve().parent.parent
FULL_ROWS = 6_300_000  # a day of a large site
FOLDER_ROWS = 400_000  # a day with all logs, which takes some minutes
DAY = date(2026, 11, 4)
MLIDS = Path(sys.executable).with_name("mlids")


@dataclass(frozen=True)
class Result:
    """One measurement against its goal."""

    name: str
    value: float
    unit: str
    goal: float
    better: str
    ok: bool
    peer: str
    machine: str


def machine() -> str:
    """Return processor, memory, system and Python version."""
    cpu = next(
        (ln.split(":", 1)[1].strip() for ln in Path("/proc/cpuinfo").read_text().splitlines() if ln.startswith("model name")),
        platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores ({cpu}), {memory:.0f} GiB, {platform.system()} {platform.release().split('-')[0]}, Python {platform.python_version()}"


class Bench:
    """Collects results and prints each as it comes. `rows` is the number of conns of the synthetic day, `folder_rows` of the day with all logs."""

    def __init__(self, folder: Path, rows: int, folder_rows: int) -> None:
        self.folder, self.rows, self.folder_rows = folder, rows, folder_rows
        self.results: list[Result] = []
        self.where = machine()
        self._days: dict[str, tuple[Path, Cost]] = {}
        print(self.where, flush=True)

    def day(self, form: str) -> tuple[Path, Cost]:
        """Return the folder of a synthetic day as 24 hourly .log.gz, tsv or json, and the cost of writing it; written once."""
        if form not in self._days:
            logs = self.folder / form
            self._days[form] = logs / DAY.isoformat(), python(SYNTH, logs, DAY, self.rows, form)
        return self._days[form]

    def add(self, name: str, value: float, unit: str, goal: float, peer: str, better: str = "lower") -> None:
        ok = value <= goal if better == "lower" else value >= goal
        self.results.append(Result(name, round(value, 4), unit, goal, better, ok, peer, self.where))
        sign = "≤" if better == "lower" else "≥"
        print(f"{'ok  ' if ok else 'MISS'} {name:42} {value:12.3f} {unit:10} goal {sign} {goal:<10g} {peer}", flush=True)

    def save(self) -> None:
        """Write the results to latest.json; results of stages that did not run are kept."""
        path = ROOT / "benchmarks" / "latest.json"
        held = {r["name"]: r for r in json.loads(path.read_text())} if path.exists() else {}
        held |= {r.name: asdict(r) for r in self.results}
        path.write_text(json.dumps(list(held.values()), indent=1) + "\n")


_INGEST = "import sys; from pathlib import Path; from datetime import date; from mlids.ingest.lake import Lake; print(Lake(Path(sys.argv[1])).ingest('hq', date(2026, 11, 4), sorted(Path(sys.argv[2]).iterdir())).rows)"
_POLARS_CSV = """
import sys, polars as pl
from pathlib import Path
from mlids.zeek.types import CONN
files = sorted(Path(sys.argv[1]).iterdir())
types = {"time": pl.Float64, "interval": pl.Float64, "count": pl.UInt64, "port": pl.UInt32}
schema = {c.name: types.get(c.zeek_type, pl.String) for c in CONN}
pl.scan_csv(files, separator="\\t", has_header=False, comment_prefix="#", schema=schema, null_values="-", quote_char=None).sink_parquet(sys.argv[2], compression="zstd", compression_level=1)
"""
_POLARS_JSON = """
import sys, polars as pl
from pathlib import Path
pl.scan_ndjson(sorted(Path(sys.argv[1]).iterdir())).sink_parquet(sys.argv[2], compression="zstd", compression_level=1)
"""


def ingest(bench: Bench) -> None:
    """Hourly files to the lake, against polars alone on the same files."""
    for form, peer_code, limit, word in (("tsv", _POLARS_CSV, 1.3, "scan_csv"), ("json", _POLARS_JSON, 1.5, "scan_ndjson")):
        day, written = bench.day(form)
        rows = int(written.output.split()[-1])
        if form == "tsv":
            bench.add(
                "synth-rows-per-second", rows / written.wall_s, "rows/s", 300_000, "a limit; generated and written as 24 .log.gz", "higher"
            )
        ours, theirs = [], []
        for _ in range(2):
            theirs.append(python(peer_code, day, bench.folder / "peer.parquet"))
            shutil.rmtree(bench.folder / "lake", ignore_errors=True)
            ours.append(python(_INGEST, bench.folder / "lake", day))
            assert int(ours[-1].output.split()[-1]) == rows, "rows were lost"
        bench.add(
            f"ingest-{form}-vs-polars",
            best(ours).wall_s / best(theirs).wall_s,
            "× wall",
            limit,
            f"polars {word} → sink_parquet, {best(theirs).wall_s:.1f} s",
        )
        bench.add(f"ingest-{form}-peak-rss", max(c.peak_mb for c in ours), "MB", 600, f"a limit; {rows:,} rows")
        if form == "tsv":
            big = bench.folder / "four"
            big.mkdir()
            for copy in range(4):
                for path in day.iterdir():
                    os.link(path, big / path.name.replace("conn.", f"conn.{copy}", 1))
            shutil.rmtree(bench.folder / "lake")
            four = python(_INGEST, bench.folder / "lake", big)
            assert int(four.output.split()[-1]) == 4 * rows
            bench.add("ingest-tsv-peak-rss-four-times-as-large", four.peak_mb, "MB", 600, f"a limit; {4 * rows:,} rows")
            shutil.rmtree(big)
        shutil.rmtree(bench.folder / "lake", ignore_errors=True)


def peer_python() -> Path:
    """Return the interpreter of the peer's own environment (ZAT and PyOD from the package index)."""
    venv = ROOT / ".peer-venv"
    interpreter = venv / "bin" / "python"
    if not (venv / "ready").exists():
        uv = ROOT / ".tools" / "uv" / "bin" / "uv"
        subprocess.run([uv, "venv", "-q", "--clear", "--python", sys.executable, venv], check=True)
        subprocess.run([uv, "pip", "install", "-q", "--compile-bytecode", "--python", interpreter, "zat>=0.4.7", "pyod>=2.0"], check=True)
        (venv / "ready").touch()
    return interpreter


def join_logs(paths: Sequence[Path], plain: Path) -> None:
    """Write compressed logs as one plain log with the header of the first."""
    with plain.open("wb") as out:
        for number, path in enumerate(paths):
            lines = subprocess.run(["zcat", path], check=True, capture_output=True).stdout
            out.write(lines if number == 0 else b"".join(ln + b"\n" for ln in lines.split(b"\n") if ln and not ln.startswith(b"#")))


def score(bench: Bench) -> None:
    """`mlids score` against ZAT and PyOD's PCA, on a day and on a thousand rows."""
    peer, script = peer_python(), ROOT / "benchmarks" / "peer_zat_pyod.py"
    day, _ = bench.day("tsv")
    plain = bench.folder / "conn.log"
    join_logs(sorted(day.iterdir()), plain)
    small = bench.folder / "small.log"
    with plain.open("rb") as whole, small.open("wb") as out:
        out.writelines(whole.readline() for _ in range(1_008))
    run([MLIDS, "score", day / "conn.03:00:00-04:00:00.log.gz"])  # the kernel is compiled once per installation
    ours = run([MLIDS, "score", plain])
    theirs = run([peer, script, plain])
    bench.add(
        "score-day-vs-zat-pyod",
        ours.wall_s / theirs.wall_s,
        "× wall",
        0.5,
        f"ZAT + PyOD PCA, {theirs.wall_s:.0f} s, {theirs.peak_mb:,.0f} MB",
    )
    bench.add("score-day-peak-rss", ours.peak_mb, "MB", 1_500, f"a limit; took {ours.wall_s:.0f} s")

    def least(command: list[str | Path], times: int = 5) -> Cost:
        return best([run(command) for _ in range(times)])

    small_ours = least([MLIDS, "score", small])
    bare = least([sys.executable, "-c", "import polars, sklearn.ensemble"])
    small_peer = least([peer, script, small], 3)
    bench.add(
        "score-1000-rows-vs-bare-import",
        small_ours.wall_s / bare.wall_s,
        "× wall",
        1.5,
        f"import polars, sklearn.ensemble, {bare.wall_s:.2f} s",
    )
    bench.add(
        "score-1000-rows-vs-zat-pyod", small_ours.wall_s / small_peer.wall_s, "× wall", 0.6, f"ZAT + PyOD PCA, {small_peer.wall_s:.2f} s"
    )
    plain.unlink()


def score_folder(bench: Bench) -> None:
    """`mlids score` on a day with all logs (cases, records), against ZAT and PyOD's PCA on its conn.log alone."""
    from mlids.synth.archive import write_days
    from mlids.synth.site import Site

    ((_, rows, _),) = write_days(bench.folder / "all", Site(7), [DAY], flows=bench.folder_rows, intrusions_per_day=2.0)
    day, plain = bench.folder / "all" / DAY.isoformat(), bench.folder / "all-conn.log"
    join_logs(sorted(day.glob("conn.*")), plain)
    run([MLIDS, "score", day / "conn.03:00:00-04:00:00.log.gz"])  # the kernel is compiled once per installation
    ours, theirs = run([MLIDS, "score", day]), run([peer_python(), ROOT / "benchmarks" / "peer_zat_pyod.py", plain])
    peer = f"ZAT + PyOD PCA on conn alone, {theirs.wall_s:.0f} s, {theirs.cpu_s:.0f} CPU s, {theirs.peak_mb:,.0f} MB"
    bench.add("score-folder-vs-zat-pyod", ours.wall_s / theirs.wall_s, "× wall", 0.8, peer)
    bench.add(
        "score-folder-peak-rss",
        ours.peak_mb,
        "MB",
        1_200,
        f"a limit; {rows:,} conns and all other logs, {ours.wall_s:.0f} s, {ours.cpu_s:.0f} CPU s",
    )
    shutil.rmtree(bench.folder / "all")
    plain.unlink()


def evidence(bench: Bench) -> None:
    """The collectors of evidence of each log, in a process of their own."""
    code = "import json, sys; from pathlib import Path; from benchmarks.evidence import speeds; print(json.dumps(speeds(Path(sys.argv[1]), int(sys.argv[2]))))"
    for row in json.loads(python(code, bench.folder, min(bench.rows, bench.folder_rows)).output.splitlines()[-1]):
        bench.add(*row)


def download(bench: Bench) -> None:
    """A pull over loopback against OpenSSH's sftp."""
    from benchmarks.sftp import speeds

    for name, value, unit, goal, peer in speeds(bench.folder, min(bench.rows * 64, 400 << 20)):
        bench.add(name, value, unit, goal, peer, "higher")


def detect(bench: Bench) -> None:
    """Features and models against their limits, in a process of their own."""
    code = "import json, sys; from benchmarks.detect import speeds; print(json.dumps(speeds(int(sys.argv[1]))))"
    for row in json.loads(python(code, min(bench.rows, 2_000_000)).output.splitlines()[-1]):
        bench.add(*row)


def training(bench: Bench) -> None:
    """A week of big days, from the lake to a registered version."""
    from benchmarks.training import speeds

    for row in speeds(bench.folder, bench.rows):
        bench.add(*row)


def live(bench: Bench) -> None:
    """Live scoring over a real sshd: rate, latency, CPU."""
    from benchmarks.live import speeds

    for row in speeds(bench.folder, min(bench.rows, 600_000), seconds=150 if bench.rows >= FULL_ROWS else 15):
        bench.add(*row)


def live_logs(bench: Bench) -> None:
    """Live scoring of five growing logs: rate, memory, latency, CPU."""
    from benchmarks.live_logs import speeds

    for row in speeds(bench.folder, min(bench.rows, bench.folder_rows), seconds=150 if bench.rows >= FULL_ROWS else 15):
        bench.add(*row)


def soak(bench: Bench) -> None:
    """Half an hour at twice the rate that the scorer can sustain."""
    from benchmarks.live import soak as run

    for row in run(bench.folder, float(os.environ.get("MLIDS_SOAK_MINUTES", "30"))):
        bench.add(*row)


STAGES: dict[str, Callable[[Bench], None]] = {
    f.__name__: f for f in (ingest, score, score_folder, evidence, detect, training, download, live, live_logs, soak)
}
DEFAULT = ("ingest", "score", "score_folder", "evidence", "detect", "training", "download", "live", "live_logs")


def main() -> None:
    """Run the stages; exit code 1 when a goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure against peers and limits.")
    parser.add_argument("stages", nargs="*", help=f"default: {' '.join(DEFAULT)}")
    parser.add_argument(
        "--rows", type=int, default=int(os.environ.get("MLIDS_BENCH_FLOWS", str(FULL_ROWS))), help="conns of the synthetic day"
    )
    parser.add_argument("--folder-rows", type=int, default=FOLDER_ROWS, help="conns of the synthetic day with all logs")
    asked = parser.parse_args()
    if unknown := set(asked.stages) - set(STAGES):
        parser.error(f"no stage is called {', '.join(sorted(unknown))}; use {', '.join(STAGES)}")
    with tempfile.TemporaryDirectory(prefix="mlids-bench-") as folder:
        bench = Bench(Path(folder), asked.rows, asked.folder_rows)
        for stage in asked.stages or DEFAULT:
            STAGES[stage](bench)
        if asked.rows == FULL_ROWS and asked.folder_rows == FOLDER_ROWS:
            bench.save()
        else:
            print(f"latest.json is not written: {asked.rows:,} rows instead of {FULL_ROWS:,}")
    sys.exit(not all(r.ok for r in bench.results))


main()
