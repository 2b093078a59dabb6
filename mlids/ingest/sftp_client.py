"""paramiko's SFTP client with limits on what a server's answers may cost: their size, the entries of a folder, the reads in flight.

paramiko requests every block up to the size that the server states, and keeps the list of these requests: 8 GB for a file
said to have 4 TB. It believes counts in answers, too: an attribute list said to have 4 billion items is read for hours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from stat import S_ISREG

import paramiko
from paramiko import sftp
from paramiko.message import Message

from mlids.ingest.storage import MAX_ENTRIES, TOO_MANY_ENTRIES

# OpenSSH's answers have at most 256 KiB.
MAX_ANSWER_BYTES = 512 << 10
# Reads that wait for their answer: 16 MB with OpenSSH, 2 MB with a server that gives 32 KiB at a time.
READS_IN_FLIGHT = 64
_ACCESS_AND_CHANGE_TIME = paramiko.SFTPAttributes.FLAG_AMTIME


@dataclass(frozen=True)
class Attributes:
    """What a server says of a file: its size in bytes, when it changed in seconds since 1970, and its mode; None where it does not say."""

    size: int | None
    mtime: int | None
    mode: int | None

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file, as far as the server says."""
        return self.mode is None or S_ISREG(self.mode)


class SftpClient(paramiko.SFTPClient):
    """An SFTP client whose memory and time do not depend on what the server states. Every method may raise OSError or SSHException."""

    def attributes(self, path: str) -> Attributes:
        """Return the attributes of the file that has this path."""
        return _attributes(self._answer(sftp.CMD_ATTRS, sftp.CMD_STAT, path))

    def open_attributes(self, log: paramiko.SFTPFile) -> Attributes:
        """Return the attributes of an open file."""
        return _attributes(self._answer(sftp.CMD_ATTRS, sftp.CMD_FSTAT, log.handle))

    def entries(self, folder: str) -> Iterator[tuple[str, Attributes]]:
        """Yield name and attributes of each entry of a folder, in the server's order. Raises OSError after MAX_ENTRIES of them."""
        handle = self._answer(sftp.CMD_HANDLE, sftp.CMD_OPENDIR, folder).get_string()
        found = 0
        try:
            while True:
                answer = self._answer(sftp.CMD_NAME, sftp.CMD_READDIR, handle)
                for _ in range(answer.get_int()):
                    if _is_read(answer):
                        raise paramiko.SSHException("the server's list of files ends early")
                    # A name that is not UTF-8 is no log's: it must not end the listing.
                    name = answer.get_string().decode("utf-8", errors="replace")
                    answer.get_string()  # the line of `ls -l`
                    found += 1
                    if found > MAX_ENTRIES:
                        raise OSError(TOO_MANY_ENTRIES)
                    entry = _attributes(answer)
                    if name not in {".", ".."}:
                        yield name, entry
        except EOFError:
            return
        finally:
            self._async_request(type(None), sftp.CMD_CLOSE, handle)

    def _answer(self, expected: int, request: int, *args: object) -> Message:
        kind, answer = self._request(request, *args)
        if kind != expected:
            raise paramiko.SSHException(f"the server answers a {sftp.CMD_NAMES[request]} with message {kind}")
        return answer

    def _read_packet(self) -> tuple[int, bytes]:
        size = int.from_bytes(self._read_all(4), "big")
        if not 0 < size <= MAX_ANSWER_BYTES:
            self.sock.close()  # what follows cannot be told from an answer
            raise paramiko.SSHException(f"the server's answer has {size:,} bytes; from 1 to {MAX_ANSWER_BYTES:,} are read")
        data = self._read_all(size)
        return data[0], data[1:]


def _is_read(answer: Message) -> bool:
    return answer.packet.tell() >= answer.packet.getbuffer().nbytes


def _attributes(answer: Message) -> Attributes:
    flags = answer.get_int()
    size = answer.get_int64() if flags & paramiko.SFTPAttributes.FLAG_SIZE else None
    if flags & paramiko.SFTPAttributes.FLAG_UIDGID:
        answer.get_int64()
    mode = answer.get_int() if flags & paramiko.SFTPAttributes.FLAG_PERMISSIONS else None
    times = answer.get_int64() if flags & _ACCESS_AND_CHANGE_TIME else None
    if flags & paramiko.SFTPAttributes.FLAG_EXTENDED:
        for _ in range(answer.get_int()):
            if _is_read(answer):
                raise paramiko.SSHException("the server's list of attributes ends early")
            answer.get_string(), answer.get_string()
    return Attributes(size, None if times is None else times & 0xFFFFFFFF, mode)


class PipelinedFile:
    """An open file that is read from `offset` to its end, with up to READS_IN_FLIGHT reads waiting for their answer.

    `size` is what the server states: reads beyond it are requested one at a time.
    """

    def __init__(self, client: SftpClient, log: paramiko.SFTPFile, offset: int, size: int) -> None:
        self._client, self._log, self._size = client, log, size
        self._given = self._requested = offset  # up to where bytes were returned, and requested
        self._waiting: dict[int, tuple[int, int]] = {}  # request → offset and length
        self._ready: dict[int, bytes] = {}  # by offset
        self._end: int | None = None
        self._fault: Exception | None = None

    def read(self, size: int) -> bytes:
        """Return the next bytes, at most `size`; empty at the end of the file. Raises OSError or SSHException."""
        data = self._ready.pop(self._given, None)
        while data is None:
            if self._end is not None and self._given >= self._end:
                return b""
            self._request()
            self._client._read_response()
            if self._fault is not None:
                raise self._fault
            data = self._ready.pop(self._given, None)
        if len(data) > size:
            self._ready[self._given + size] = data[size:]
            data = data[:size]
        self._given += len(data)
        return data

    def __enter__(self) -> PipelinedFile:
        """Return the file."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self.close()

    def close(self) -> None:
        """Close the file; answers that are still under way are dropped."""
        self._log.close()

    def _request(self) -> None:
        ahead = max(self._size, self._given + 1)
        while len(self._waiting) + len(self._ready) < READS_IN_FLIGHT and self._requested < ahead and self._end is None:
            left = self._size - self._requested
            length = min(self._log.MAX_REQUEST_SIZE, left) if left > 0 else self._log.MAX_REQUEST_SIZE
            self._ask(self._requested, length)
            self._requested += length

    def _ask(self, offset: int, length: int) -> None:
        number = self._client._async_request(self, sftp.CMD_READ, self._log.handle, sftp.int64(offset), length)
        self._waiting[number] = offset, length

    def _async_response(self, kind: int, answer: Message, number: int) -> None:
        """Keep an answer; paramiko's client calls this by this name."""
        offset, length = self._waiting.pop(number)
        if kind == sftp.CMD_STATUS:
            try:
                self._client._convert_status(answer)
            except EOFError:
                self._end = offset if self._end is None else min(offset, self._end)
            except OSError as error:
                self._fault = error
            return
        data = answer.get_string()
        if kind != sftp.CMD_DATA or not 0 < len(data) <= length:
            self._fault = paramiko.SSHException(f"the server answers a read of {length:,} bytes with {len(data):,}")
            return
        self._ready[offset] = data
        if len(data) < length:  # the server gives less than asked: ask for the rest
            self._ask(offset + len(data), length - len(data))
