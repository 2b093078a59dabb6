"""A real OpenSSH server on loopback, for tests and benchmarks."""

from __future__ import annotations

import getpass
import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paramiko

from mlids.ingest import ssh
from mlids.settings import Sensor
from tests.conftest import free_port


@dataclass
class Sshd:
    """A running sshd: its port, the client's key, and its host key."""

    port: int
    key: Path
    known_hosts: Path
    host_key: Path
    process: subprocess.Popen[bytes]

    def sensor(self, logs: Path, **changes: Any) -> Sensor:
        """Return the settings of a sensor on this server."""
        return Sensor(
            **{"name": "hq", "host": "127.0.0.1", "port": self.port, "user": getpass.getuser(), "key_file": self.key, "logs": str(logs)}
            | changes
        )

    def stop(self) -> None:
        """End the server."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=10)


def start_sshd(folder: Path, program: str = "/usr/sbin/sshd", keygen: str = "ssh-keygen", extra: str = "") -> Sshd:
    """Start a server with its keys and settings in `folder`, and `extra` lines of settings; return it once it answers."""
    for name in ("host", "client"):
        subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    (folder / "authorized").write_text((folder / "client.pub").read_text())
    (folder / "authorized").chmod(0o600)
    port = free_port()
    (folder / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\nStrictModes no\n"
        f"PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\nUsePAM no\nPidFile {folder}/pid\n"
        "Subsystem sftp internal-sftp\nMaxStartups 100\n" + extra
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd's privilege separation needs it
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, "-D", "-e", "-f", str(folder / "config")], stdout=log, stderr=log)
    host_key = paramiko.Ed25519Key.from_private_key_file(str(folder / "host"))
    known = folder / "known_hosts"
    known.write_text(f"[127.0.0.1]:{port} {host_key.get_name()} {host_key.get_base64()}\n")
    server = Sshd(port, folder / "client", known, folder / "host", process)
    for _ in range(600):
        try:
            if not extra:
                ssh.connect(server.sensor(folder), known).close()
            with socket.create_connection(("127.0.0.1", port)) as plain:
                assert plain.recv(4) == b"SSH-"
            return server
        except Exception:
            assert process.poll() is None, (folder / "log").read_text()
            time.sleep(0.05)
    server.stop()
    raise AssertionError("sshd did not answer")
