"""Download speed of the pull against the `sftp` program, both from a real sshd on loopback."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import time
from datetime import date
from pathlib import Path

from tests.support.sshd import start_sshd

DAY = date(2026, 11, 4)


def speeds(folder: Path, size: int) -> list[tuple[str, float, str, float, str]]:
    """Return the ratio for one file of `size` bytes (rounded up to MiB); empty where sshd or sftp is missing."""
    sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if sshd is None or shutil.which("sftp") is None:
        print("skipped: sshd or sftp is missing (apt-get install openssh-server openssh-client)")
        return []
    work = folder / "sftp"
    day = work / "logs" / DAY.isoformat()
    day.mkdir(parents=True)
    with (day / "conn.00:00:00-01:00:00.log").open("wb") as out:
        for _ in range(-(-size >> 20)):
            out.write(os.urandom(1 << 20))
    server = start_sshd(work, sshd)
    try:
        ours, theirs = [], []
        for _ in range(3):
            theirs.append(_sftp(work, server.port, day))
            ours.append(_pull(work, server.port))
        return [
            (
                "sftp-pull-vs-openssh",
                max(ours) / max(theirs),
                "× MB/s",
                0.6,
                f"OpenSSH sftp (AES-GCM), {max(theirs):.0f} MB/s; ours {max(ours):.0f} MB/s, with digest",
            )
        ]
    finally:
        server.stop()


def _sftp(work: Path, port: int, day: Path) -> float:
    target = work / "got"
    command = ["sftp", "-q", "-P", str(port), "-i", work / "client", "-o", f"UserKnownHostsFile={work}/known_hosts", "-o", "Ciphers=aes128-gcm@openssh.com", "-b", "-", f"{getpass.getuser()}@127.0.0.1"]  # fmt: skip
    source = next(day.iterdir())
    size = source.stat().st_size
    began = time.perf_counter()
    subprocess.run([str(c) for c in command], input=f'get "{source}" "{target}"\n', text=True, check=True, capture_output=True)
    took = time.perf_counter() - began
    target.unlink()
    return size / took / 1e6


def _pull(work: Path, port: int) -> float:
    from mlids.ingest.archive import Archive
    from mlids.ingest.pull import pull_day
    from mlids.ingest.sftp import SftpStorage
    from mlids.settings import Sensor

    sensor = Sensor(name="bench", host="127.0.0.1", port=port, user=getpass.getuser(), key_file=work / "client", logs=str(work / "logs"))
    began = time.perf_counter()
    archive = Archive(sensor.name, sensor.logs, SftpStorage(sensor, work / "known_hosts"))
    done = pull_day(archive, DAY, work / "landing", ("conn",))
    archive.close()
    took = time.perf_counter() - began
    shutil.rmtree(work / "landing")
    return done.bytes / took / 1e6
