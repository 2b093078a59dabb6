"""The demo's sensor: the archive of a synthetic site, a live log with ordinary traffic, and attacks on request."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from mlids.demo.simulated_sensor import SimulatedSensor
from mlids.files import write_atomic
from mlids.synth.archive import ImplantedAttack, attack_rows, load_labels, save_labels, write_days
from mlids.synth.growing import GrowingLog
from mlids.synth.site import Site
from mlids.window import Window

NAME = "hq"


class DemoSensor:
    """A synthetic site behind an SSH server, below `home/sensor`; labels of the implanted attacks in `home/sensor-labels.jsonl`."""

    def __init__(self, home: Path, *, flows: int, seed: int) -> None:
        self._home, self._flows = home, flows
        self._site = Site(seed, name=NAME)
        self._logs = home / "sensor" / "logs"
        self.labels = home / "sensor-labels.jsonl"
        self._server: SimulatedSensor | None = None
        self._log: GrowingLog | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._busy = threading.Lock()

    def has(self, days: Sequence[date]) -> bool:
        """Return whether an earlier run has written these days."""
        return all((self._logs / d.isoformat()).is_dir() for d in days) and self.labels.exists()

    def write(self, days: Sequence[date]) -> int:
        """Write the archive of whole days with attacks; return the number of conns."""
        self.labels.unlink(missing_ok=True)
        total = 0
        for _, rows, implanted in write_days(self._logs, self._site, days, flows=self._flows, attacks_per_day=1.3):
            save_labels(self.labels, implanted)
            total += rows
        return total

    def implanted(self) -> list[ImplantedAttack]:
        """Return the attacks implanted in the archive."""
        return load_labels(self.labels)

    def start(self, today: date) -> None:
        """Serve the logs over SFTP, write `sensors.toml`, and start today's traffic."""
        folder = self._home / "sensor"
        self._server = SimulatedSensor(self._logs, folder / "client_key", folder / "host_key").start()
        (self._home / "known_hosts").write_text(self._server.known_hosts_line() + "\n", encoding="utf-8")
        entry = (
            f'[[sensor]]\nname = "{NAME}"\nkind = "sftp"\nhost = "127.0.0.1"\nport = {self._server.port}\nuser = "zeek"\n'
            f'key_file = {json.dumps(str(folder / "client_key"))}\nlogs = "/"\ncurrent = "/current"\ntypes = ["conn", "dns"]\n'
        )
        write_atomic(self._home / "sensors.toml", entry)
        self._log = GrowingLog(self._logs).open()
        self._thread = threading.Thread(target=self._trickle, args=(today,), name="live-log", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop writing and serving."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=5)
        if self._server is not None:
            self._server.stop()

    def disconnect(self) -> None:
        """Close every connection, as a network failure does."""
        assert self._server is not None
        self._server.disconnect()

    def rotate(self) -> str:
        """Rotate the live log into the archive; return the day of its archive folder."""
        assert self._log is not None
        with self._busy:
            return self._log.rotate().parent.name

    def _trickle(self, today: date) -> None:
        """Write eight conns of ordinary traffic every second, with current timestamps."""
        day = self._site.day(today, self._flows)
        at = 0
        while not self._stop.wait(1.0):
            self._append(day[np.arange(at, at + 8) % day.height])
            at += 8

    def _append(self, rows: pl.DataFrame) -> None:
        """Append rows as if they had just ended."""
        assert self._log is not None
        span = rows["duration"].fill_null(0.0).clip(0.0, 30.0)
        now = datetime.now(UTC)
        stamped = rows.with_columns(
            ts=pl.lit(now).dt.cast_time_unit("us") - pl.Series((span * 1e6).cast(pl.Int64)).cast(pl.Duration("us")),
            duration=pl.when(pl.col("duration").is_not_null()).then(span),
        )
        with self._busy:
            self._log.append(stamped)

    def attack(self, names: Sequence[str], seconds: float, steps: int = 25) -> Iterator[tuple[ImplantedAttack, int, bool]]:
        """Write attacks to the live log, one after another over `seconds` in all.

        Yields at each step the attack, its number of conns, and whether this is its first step.
        """
        now = datetime.now(UTC)
        rng = np.random.default_rng(int(now.timestamp()))
        for frame, what in attack_rows(self._site, names, Window(now, now + timedelta(hours=6)), rng):
            implanted = ImplantedAttack(what.attack, now.isoformat(timespec="seconds"), what.sources, what.uids)
            for part in range(steps):
                yield implanted, frame.height, part == 0
                some = frame[part * frame.height // steps : (part + 1) * frame.height // steps]
                if some.height:
                    self._append(some)
                time.sleep(seconds / len(names) / steps)
