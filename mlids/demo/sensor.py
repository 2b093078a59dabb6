"""The demo's sensor: the archive of a synthetic site, live logs with ordinary traffic, and attacks on request."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np

from mlids.demo.simulated_sensor import SimulatedSensor
from mlids.files import write_atomic
from mlids.synth.archive import ImplantedAttack, attack_logs, attack_rows, load_labels, save_labels, write_days
from mlids.synth.growing import GrowingLogs
from mlids.synth.live import LiveTraffic, owned
from mlids.synth.ordinary.day import OTHER_LOGS, logs_of, stamped
from mlids.synth.site import Site
from mlids.window import Window

NAME = "hq"
LOGS = ("conn", *OTHER_LOGS)
_TICK_S = 0.25  # between looks at which rows are due


class DemoSensor:
    """A synthetic site behind an SSH server, below `home/sensor`; labels of the implanted attacks in `home/sensor-labels.jsonl`."""

    def __init__(self, home: Path, *, flows: int, seed: int) -> None:
        self._home, self._flows = home, flows
        self._site = Site(seed, name=NAME)
        self._logs = home / "sensor" / "logs"
        self.labels = home / "sensor-labels.jsonl"
        self._server: SimulatedSensor | None = None
        self._live: LiveTraffic | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def has(self, days: Sequence[date]) -> bool:
        """Return whether an earlier run has written these days."""
        return all((self._logs / d.isoformat()).is_dir() for d in days) and self.labels.exists()

    def write(self, days: Sequence[date]) -> int:
        """Write the archive of whole days with attacks and intrusions; return the number of conns."""
        self.labels.unlink(missing_ok=True)
        total = 0
        for _, rows, implanted in write_days(self._logs, self._site, days, flows=self._flows, attacks_per_day=1.3, intrusions_per_day=0.4):
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
            f'key_file = {json.dumps(str(folder / "client_key"))}\nlogs = "/"\ncurrent = "/current"\ntypes = {json.dumps(LOGS)}\n'
        )
        write_atomic(self._home / "sensors.toml", entry)
        self._live = LiveTraffic(GrowingLogs(self._logs))
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
        """Rotate the live logs into the archive; return the day of its archive folder."""
        assert self._live is not None
        return self._live.rotate()

    def _trickle(self, today: date) -> None:
        """Let eight conns of ordinary traffic begin every second, with current timestamps."""
        assert self._live is not None
        day = self._site.day(today, self._flows).sort("ts", maintain_order=True)
        others = owned(day, logs_of(self._site, day, {}, today.toordinal()))
        at, due = 0, time.monotonic()
        while not self._stop.wait(_TICK_S):
            now = datetime.now(UTC)
            if time.monotonic() >= due:
                self._live.start(day[np.arange(at, at + 8) % day.height], others, now, 1.0)
                at, due = at + 8, due + 1.0
            self._live.write(now)

    def attack(self, names: Sequence[str], seconds: float, steps: int = 25) -> Iterator[tuple[ImplantedAttack, int, bool]]:
        """Let attacks happen now, one after another over `seconds` in all; `names` are classes or intrusions.

        Yields at each step the attack, its number of conns, and whether this is its first step.
        """
        assert self._live is not None
        now = datetime.now(UTC)
        seed = int(now.timestamp())
        step_s = seconds / len(names) / steps
        for frame, what in attack_rows(self._site, names, Window(now, now + timedelta(hours=6)), np.random.default_rng(seed)):
            implanted = replace(what, start=now.isoformat(timespec="seconds"))
            rows = {log: stamped(log, part) for log, part in attack_logs(frame, [what], seed).items()}
            others = owned(frame, rows)
            for part in range(steps):
                yield implanted, frame.height, part == 0
                some = frame[part * frame.height // steps : (part + 1) * frame.height // steps]
                if some.height:
                    self._live.start(some, others, datetime.now(UTC), step_s)
                time.sleep(step_s)
