"""A real OpenSSH server on loopback, started and stopped by the fixture."""

from __future__ import annotations

import getpass
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import paramiko
import pytest

from mlids.settings import Sensor
from tests.conftest import free_port, need_program


@dataclass
class Sshd:
    """A running sshd: where it listens, the client's key, and the log tree it serves."""

    port: int
    key: Path
    known_hosts: Path
    host_key: Path
    process: subprocess.Popen[bytes]

    def sensor(self, logs: Path, **changes: object) -> Sensor:
        """Return a sensor that is this server."""
        return Sensor(
            **{"name": "hq", "host": "127.0.0.1", "port": self.port, "user": getpass.getuser(), "key_file": self.key, "logs": str(logs)}
            | changes
        )


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    program = need_program("sshd", "openssh-server")
    keygen = need_program("ssh-keygen", "openssh-client")
    folder = tmp_path_factory.mktemp("sshd")
    for name in ("host", "client"):
        subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    (folder / "authorized").write_text((folder / "client.pub").read_text())
    (folder / "authorized").chmod(0o600)
    port = free_port()
    (folder / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\nStrictModes no\n"
        f"PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\nUsePAM no\nPidFile {folder}/pid\n"
        "Subsystem sftp internal-sftp\nMaxStartups 100\n"
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd's privilege separation wants it
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, "-D", "-e", "-f", str(folder / "config")], stdout=log, stderr=log)
    host_key = paramiko.Ed25519Key.from_private_key_file(str(folder / "host"))
    known = folder / "known_hosts"
    known.write_text(f"[127.0.0.1]:{port} {host_key.get_name()} {host_key.get_base64()}\n")
    server = Sshd(port, folder / "client", known, folder / "host", process)
    from mlids.sources import ssh

    for _ in range(100):
        try:
            ssh.connect(server.sensor(folder), known).close()
            break
        except Exception:
            assert process.poll() is None, (folder / "log").read_text()
            time.sleep(0.05)
    yield server
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=10)
