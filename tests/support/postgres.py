"""A private PostgreSQL server on loopback, from the system's packages; its files are removed when it stops."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.conftest import free_port, missing


def programs() -> Path:
    """Return the folder with `initdb` and `postgres` of the newest installed version, or skip."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parent.parent.name))
    on_path = shutil.which("initdb")
    if not found and on_path is None:
        missing("PostgreSQL", "sudo apt-get install -y postgresql")
    return found[-1].parent if found else Path(str(on_path)).resolve().parent


class PostgresServer:
    """One server on a free port; `url` gives the SQLAlchemy URL of a new, empty database."""

    def __init__(self) -> None:
        self._bin = programs()
        self.port = free_port()
        self.work = Path(tempfile.mkdtemp(prefix="mlids-pg-", dir="/tmp"))
        self._as_user: dict[str, Any] = {}
        self._count = 0

    def start(self) -> PostgresServer:
        """Make a cluster, start the server and wait until it answers."""
        if os.geteuid() == 0:  # initdb and postgres refuse to run as root
            nobody = pwd.getpwnam("nobody")
            self._as_user = {"user": nobody.pw_uid, "group": nobody.pw_gid}
            os.chown(self.work, nobody.pw_uid, nobody.pw_gid)
        data = self.work / "data"
        made = self._run("initdb", "-D", data, "-U", "mlids", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")
        assert made.returncode == 0, made.stdout
        options = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off", "port": self.port}
        arguments = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        with (self.work / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [self._bin / "postgres", "-D", data, *arguments],
                stdout=log,
                stderr=log,
                cwd="/tmp",
                start_new_session=True,
                **self._as_user,
            )
        end = time.monotonic() + 60
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > end:
                text = (self.work / "log").read_text(errors="replace")[-3_000:]
                self.stop()
                raise RuntimeError(f"PostgreSQL did not start:\n{text}")
            time.sleep(0.05)
        return self

    def url(self) -> str:
        """Return the URL of a new database."""
        self._count += 1
        name = f"test_{self._count}"
        made = self._run("createdb", "-h", "127.0.0.1", "-p", self.port, "-U", "mlids", name)
        assert made.returncode == 0, made.stdout
        return f"postgresql+psycopg2://mlids@127.0.0.1:{self.port}/{name}"

    def stop(self) -> None:
        """End the server (fast shutdown) and remove its files."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.process.send_signal(signal.SIGQUIT)
                self.process.wait()
        shutil.rmtree(self.work, ignore_errors=True)

    def _answers(self) -> bool:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", self.port)) != 0:
                return False
        return self._run("pg_isready", "-h", "127.0.0.1", "-p", self.port).returncode == 0

    def _run(self, program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        words = [str(self._bin / program), *(str(a) for a in arguments)]
        return subprocess.run(
            words, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, cwd="/tmp", **self._as_user
        )
