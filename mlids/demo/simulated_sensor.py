"""A simulated sensor for demo and tests: an SSH server with SFTP on loopback, with a host key and a folder of logs."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import paramiko

_FLAGS = os.O_RDONLY


class _Server(paramiko.ServerInterface):
    def __init__(self, keys: list[bytes]) -> None:
        self._keys = keys

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.OPEN_SUCCEEDED if kind == "session" else paramiko.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        return paramiko.AUTH_SUCCESSFUL if key.asbytes() in self._keys else paramiko.AUTH_FAILED

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"


class _Handle(paramiko.SFTPHandle):
    def __init__(self, path: Path, faults: Faults) -> None:
        super().__init__(_FLAGS)
        self._faults = faults
        self.readfile = path.open("rb")  # paramiko's own names: it reads and closes it

    def stat(self) -> paramiko.SFTPAttributes:
        return paramiko.SFTPAttributes.from_stat(os.fstat(self.readfile.fileno()))

    def read(self, offset: int, length: int) -> bytes | int:
        self._faults.flow.wait()
        if self._faults.bytes_per_s:
            length = min(length, 4_096)
            time.sleep(length / self._faults.bytes_per_s)
        return super().read(offset, length)


@dataclass
class Faults:
    """Faults of the sensor that are in effect."""

    denied: set[str] = field(default_factory=set)  # file names that may not be read
    bytes_per_s: float = 0.0  # of a slow link; 0: no limit
    flow: threading.Event = field(default_factory=threading.Event)  # cleared: reads are not answered


class _Files(paramiko.SFTPServerInterface):
    """Read-only view of a folder; paths above it are refused."""

    root: Path
    faults: Faults

    def _real(self, path: str) -> Path:
        found = (self.root / self.canonicalize(path).lstrip("/")).resolve()
        if not found.is_relative_to(self.root):
            raise PermissionError(13, "outside of the tree")
        if found.name in self.faults.denied:
            raise PermissionError(13, "no longer readable")
        return found

    def list_folder(self, path: str) -> list[paramiko.SFTPAttributes] | int:
        try:
            entries = sorted(os.scandir(self._real(path)), key=lambda e: e.name)
            return [paramiko.SFTPAttributes.from_stat(e.stat(), e.name) for e in entries]
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno or 5)

    def stat(self, path: str) -> paramiko.SFTPAttributes | int:
        try:
            return paramiko.SFTPAttributes.from_stat(self._real(path).stat())
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno or 5)

    lstat = stat

    def open(self, path: str, flags: int, attr: paramiko.SFTPAttributes) -> _Handle | int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC):
            return paramiko.SFTP_PERMISSION_DENIED
        try:
            return _Handle(self._real(path), self.faults)
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno or 5)


class SimulatedSensor:
    """Serves `root` as `/` over SFTP on 127.0.0.1, for `client_key` only."""

    def __init__(self, root: Path, client_key: Path, host_key: Path, port: int = 0) -> None:
        self.root = root.resolve()
        self._host_key = _key(host_key)
        self._client = _key(client_key).asbytes()
        self.faults = Faults()
        self.faults.flow.set()
        self._transports: list[paramiko.Transport] = []
        self._listen(port)

    def _listen(self, port: int) -> None:
        self._socket = socket.create_server(("127.0.0.1", port))
        self.port: int = self._socket.getsockname()[1]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._accept, name="simulated-sensor", daemon=True)

    def start(self) -> SimulatedSensor:
        """Start accepting connections."""
        self._thread.start()
        return self

    def reboot(self, down_s: float, host_key: Path | None = None) -> None:
        """Stop for `down_s` seconds and start again on the same port; with another host key if one is given."""
        self.stop()
        time.sleep(down_s)
        if host_key is not None:
            self._host_key = _key(host_key)
        self._listen(self.port)
        self.start()

    def known_hosts_line(self) -> str:
        """Return the line of known_hosts for this server."""
        return f"[127.0.0.1]:{self.port} {self._host_key.get_name()} {self._host_key.get_base64()}"

    def disconnect(self) -> None:
        """Close every connection, as a network failure does."""
        for transport in self._transports:
            transport.close()
        self._transports.clear()

    def stop(self) -> None:
        """Stop listening and close every connection."""
        self._stop.set()
        self.faults.flow.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # ends the blocking accept
        self._socket.close()
        self.disconnect()
        self._thread.join(timeout=5)

    def _accept(self) -> None:
        files = type("_Rooted", (_Files,), {"root": self.root, "faults": self.faults})
        while not self._stop.is_set():
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            transport = paramiko.Transport(client, default_window_size=16 << 20)
            transport.add_server_key(self._host_key)
            transport.set_subsystem_handler("sftp", paramiko.SFTPServer, files)
            with contextlib.suppress(paramiko.SSHException, EOFError, OSError):
                transport.start_server(server=_Server([self._client]), event=threading.Event())
            self._transports = [t for t in self._transports if t.is_active()] + [transport]


def _key(path: Path) -> paramiko.PKey:
    """Return the ECDSA key stored at `path`; it is created when missing, readable by its owner only."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        old = os.umask(0o077)
        try:
            paramiko.ECDSAKey.generate().write_private_key_file(str(path))
        finally:
            os.umask(old)
    return paramiko.ECDSAKey.from_private_key_file(str(path))
