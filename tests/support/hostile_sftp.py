"""An SFTP server on loopback whose answers lie: sizes, counts, names and lengths are what a test says."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import paramiko
from paramiko import sftp
from paramiko.message import Message

# Returns the kind and the body of the answer to a request (kind, body); None leaves it to `honest`.
Answer = Callable[[int, Message], "tuple[int, bytes] | None"]
SIZE_AND_MODE = 0x1 | 0x4
MODE_FILE, MODE_FOLDER = 0o100644, 0o040755


def text(value: bytes) -> bytes:
    """Return a string of the protocol."""
    return struct.pack(">I", len(value)) + value


def attributes(size: int, mode: int = MODE_FILE) -> bytes:
    """Return the attributes of a file."""
    return struct.pack(">IQI", SIZE_AND_MODE, size, mode)


def status(code: int, words: bytes = b"") -> tuple[int, bytes]:
    """Return a status answer."""
    return sftp.CMD_STATUS, struct.pack(">I", code) + text(words) + text(b"")


def names(*entries: tuple[bytes, bytes], count: int | None = None) -> tuple[int, bytes]:
    """Return an answer with names and attributes; `count` is how many it claims."""
    body = b"".join(text(name) + text(b"") + attribute for name, attribute in entries)
    return sftp.CMD_NAME, struct.pack(">I", len(entries) if count is None else count) + body


class _Subsystem(paramiko.SubsystemHandler):  # type: ignore[misc]
    def __init__(self, channel: paramiko.Channel, name: str, server: Any, answer: Answer) -> None:
        super().__init__(channel, name, server)
        self._answer = answer

    def start_subsystem(self, name: str, transport: paramiko.Transport, channel: paramiko.Channel) -> None:
        stream = channel.makefile("rb")
        while len(head := stream.read(5)) == 5:
            size, kind = struct.unpack(">IB", head)
            message = Message(stream.read(size - 1))
            if kind == sftp.CMD_INIT:
                channel.sendall(struct.pack(">IBI", 5, sftp.CMD_VERSION, 3))
                continue
            number = message.get_int()
            answered, body = self._answer(kind, message) or self._honest(kind)
            channel.sendall(struct.pack(">IBI", len(body) + 5, answered, number) + body)

    def _honest(self, kind: int) -> tuple[int, bytes]:
        if kind in {sftp.CMD_OPEN, sftp.CMD_OPENDIR}:
            return sftp.CMD_HANDLE, text(b"h")
        return status(sftp.SFTP_OK if kind == sftp.CMD_CLOSE else sftp.SFTP_EOF)


class _Everyone(paramiko.ServerInterface):
    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.OPEN_SUCCEEDED

    def check_auth_password(self, username: str, password: str) -> int:
        return paramiko.AUTH_SUCCESSFUL

    def get_allowed_auths(self, username: str) -> str:
        return "password"


class HostileSftp:
    """Serves while it is entered; `sensors_toml` describes it as the sensor `hq`, `known_hosts` has its key."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._key = paramiko.ECDSAKey.generate()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._transports: list[paramiko.Transport] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def configure(self, home: Path, extra: str = "") -> None:
        """Write `sensors.toml` and `known_hosts` of a home."""
        home.mkdir(parents=True, exist_ok=True)
        (home / "sensors.toml").write_text(
            f'[[sensor]]\nname = "hq"\nhost = "127.0.0.1"\nport = {self.port}\nuser = "zeek"\npassword = "x"\nlogs = "/logs"\ntimeout_s = 10\n{extra}\n'
        )
        (home / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {self._key.get_name()} {self._key.get_base64()}\n")

    def __enter__(self) -> HostileSftp:
        """Start."""
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for transport in self._transports:
            transport.close()
        self._thread.join(timeout=5)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            transport = paramiko.Transport(client)
            transport.add_server_key(self._key)
            transport.set_subsystem_handler("sftp", _Subsystem, self._answer)
            transport.start_server(server=_Everyone(), event=threading.Event())
            self._transports.append(transport)
