"""A verified SSH connection to a sensor, also through bastions: known host keys only, authentication by key, agent or password, tuned for throughput."""

from __future__ import annotations

import io
import logging
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm
from paramiko.hostkeys import HostKeyEntry, InvalidHostKey

from mlids.errors import AuthError, HostKeyError, SourceError, os_fault
from mlids.ingest.sftp_client import SftpClient
from mlids.ingest.ssh_config import Endpoint, endpoint
from mlids.settings import Sensor

# With TCP_NODELAY and AES-GCM paramiko is as fast as OpenSSH's client; without TCP_NODELAY it has a fiftieth of that speed.
_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes192-ctr", "aes256-ctr")
# paramiko copies the rest of its buffer at every read: a window of 64 MB made a pull fifty times slower.
WINDOW_BYTES = 1 << 20
# SHA-1 and MD5 are off, whatever the server offers; GCM ciphers need no MAC. Host keys and signatures of paramiko 4 and later use neither.
_MACS = ("hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com", "hmac-sha2-256", "hmac-sha2-512")
_WEAK = re.compile(r"sha1$|sha1-|md5|group1-|group-exchange-sha1|^ssh-rsa$|^ssh-dss$|cbc$|arcfour|3des")
PACKET_BYTES = 1 << 17
log = logging.getLogger(__name__)


def largest_read(server_version: str) -> int:
    """Return the bytes one SFTP read may ask of a server, from its SSH version line.

    A server may answer with fewer bytes than requested; prefetch then falls back to one read per round trip.
    OpenSSH gives 255 KiB since 8.6 (its limits@openssh.com), 64 KiB before; the protocol's
    draft (filexfer-02) promises 32 KiB.
    """
    found = re.search(r"OpenSSH_(\d+)\.(\d+)", server_version)
    if found is None:
        return 32 << 10
    return 255 << 10 if (int(found[1]), int(found[2])) >= (8, 6) else 64 << 10


def _known(end: Endpoint, known_hosts: Path) -> dict[str, paramiko.PKey]:
    keys = paramiko.HostKeys()
    for path in (known_hosts, Path("~/.ssh/known_hosts").expanduser()):
        if path.is_file():
            _load_known(keys, path)
    found = next((f for entry in end.entries if (f := keys.lookup(entry))), None)
    return dict(found) if found else {}


def _load_known(keys: paramiko.HostKeys, path: Path) -> None:
    """Add the keys of a file; a line that is no host key is named in the log and left out, as OpenSSH does."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise SourceError(os_fault(error, path)) from error
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            entry = HostKeyEntry.from_line(line.strip(), number)
            is_bad = entry is None and len(line.split()) < 3  # None also for kinds of keys that paramiko does not know
        except (paramiko.SSHException, InvalidHostKey, ValueError, TypeError, UnsupportedAlgorithm):
            entry, is_bad = None, True
        if is_bad:
            log.warning("%s line %d is not a host key and is left out; correct or remove it", path, number)
        for host in entry.hostnames if entry is not None else ():
            held = keys.lookup(host)
            if held is None or entry.key.get_name() not in held:  # the first of two is the one that counts
                keys.add(host, entry.key.get_name(), entry.key)


class _Through:
    """A channel through a bastion, as the socket of a transport; the connection to the bastion ends with it."""

    def __init__(self, channel: paramiko.Channel, bastion: paramiko.Transport) -> None:
        self._channel, self._bastion = channel, bastion

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)

    def close(self) -> None:
        """Close the channel and the connection that it runs through."""
        with suppress(Exception):
            self._channel.close()
        self._bastion.close()


def _socket(end: Endpoint) -> socket.socket:
    try:
        raw = socket.create_connection((end.host, end.port), timeout=end.timeout_s)
    except socket.gaierror as error:
        raise SourceError(f"{end.label}: the host name {end.host!r} is not known: {error.strerror}; check `host`") from error
    except TimeoutError as error:
        raise SourceError(f"{end.label}: no answer from {end.host}:{end.port} in {end.timeout_s:g} s; is a firewall between?") from error
    except OSError as error:
        raise SourceError(f"{end.label}: {end.host}:{end.port}: {error.strerror}; is sshd running there?") from error
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return raw


def _channel(end: Endpoint, bastion: paramiko.Transport) -> _Through:
    try:
        channel = bastion.open_channel("direct-tcpip", (end.host, end.port), ("127.0.0.1", 0), timeout=end.timeout_s)
    except (paramiko.SSHException, EOFError, OSError) as error:
        bastion.close()
        raise SourceError(
            f"{end.label}: the bastion does not reach {end.host}:{end.port}: {error}; is sshd running there, and AllowTcpForwarding on at the bastion?"
        ) from error
    return _Through(channel, bastion)


def _transport(end: Endpoint, prefer: list[str], bastion: paramiko.Transport | None) -> paramiko.Transport:
    raw = _socket(end) if bastion is None else _channel(end, bastion)
    transport = paramiko.Transport(raw, default_window_size=WINDOW_BYTES, default_max_packet_size=PACKET_BYTES)
    options = transport.get_security_options()
    options.ciphers = [c for c in _CIPHERS if c in options.ciphers]
    options.digests = [m for m in _MACS if m in options.digests]
    options.kex = [k for k in options.kex if not _WEAK.search(k)]
    options.key_types = [k for k in options.key_types if not _WEAK.search(k)]
    if prefer:  # request the type of key that is known
        options.key_types = [*(k for k in prefer if k in options.key_types), *(k for k in options.key_types if k not in prefer)]
    transport.banner_timeout = transport.handshake_timeout = transport.auth_timeout = end.timeout_s  # type: ignore[attr-defined]
    try:
        transport.start_client(timeout=end.timeout_s)
        transport.get_remote_server_key()  # start_client returns without an error at its time limit
    except (paramiko.SSHException, EOFError, OSError) as error:
        transport.close()
        where = f"{end.label}: the SSH handshake with {end.host}:{end.port} failed: {error}"
        if isinstance(error, paramiko.ssh_exception.IncompatiblePeer):
            where += "; it offers only algorithms that are out of date (SHA-1, MD5, CBC): update its OpenSSH, or remove Ciphers, MACs and KexAlgorithms there"
        raise SourceError(where) from error
    return transport


def connect(sensor: Sensor, known_hosts: Path) -> paramiko.Transport:
    """Return an authenticated transport, through the bastions that `~/.ssh/config` names; they are verified as the sensor is.

    Raises HostKeyError for an unknown or changed host key, AuthError when every credential was rejected,
    SourceError when the sensor or a bastion cannot be reached, SettingsError when `~/.ssh/config` cannot be used.
    """
    transport = None
    for end in endpoint(sensor).way():
        transport = _connect(sensor, end, known_hosts, transport)
    assert transport is not None
    return transport


def _connect(sensor: Sensor, end: Endpoint, known_hosts: Path, bastion: paramiko.Transport | None) -> paramiko.Transport:
    known = _known(end, known_hosts)
    transport = _transport(end, _algorithms(known), bastion)
    try:
        _verify(sensor, end, transport.get_remote_server_key(), known, known_hosts)
        _authenticate(end, transport)
    except Exception:
        transport.close()
        raise
    transport.set_keepalive(15)
    return transport


def open_sftp(sensor: Sensor, known_hosts: Path) -> tuple[paramiko.Transport, SftpClient]:
    """Return an authenticated transport and an SFTP client on it; each answer may take `timeout_s`.

    Raises what `connect` does, and SourceError when the server offers no SFTP.
    """
    transport = connect(sensor, known_hosts)
    try:
        client = SftpClient.from_transport(transport, window_size=WINDOW_BYTES, max_packet_size=PACKET_BYTES)
    except (paramiko.SSHException, paramiko.SFTPError, EOFError, OSError) as error:
        transport.close()
        raise SourceError(f"sensor {sensor.name}: it offers no SFTP: {error}; is the sftp subsystem enabled in sshd?") from error
    assert client is not None
    channel = client.get_channel()
    assert channel is not None
    channel.settimeout(sensor.timeout_s)
    return transport, client


def _algorithms(known: dict[str, paramiko.PKey]) -> list[str]:
    names: list[str] = []
    for kind in known:
        names += ["rsa-sha2-512", "rsa-sha2-256"] if kind == "ssh-rsa" else [kind]
    return names


def _verify(sensor: Sensor, end: Endpoint, key: paramiko.PKey, known: dict[str, paramiko.PKey], known_hosts: Path) -> None:
    shown = key.fingerprint
    if not known:
        raise HostKeyError(
            f"{end.label}: the host key of {end.host}:{end.port} is not known: {key.get_name()} {shown}. "
            f"Compare it with the output of `ssh-keygen -lf /etc/ssh/ssh_host_{_kind(key)}_key.pub` "
            f"on {'the sensor' if end.label == f'sensor {sensor.name}' else 'that host'}, then run: mlids trust {sensor.name} --fingerprint {shown}"
        )
    expected = known.get(key.get_name())
    if expected is None or expected.asbytes() != key.asbytes():
        stored = ", ".join(k.fingerprint for k in known.values())
        raise HostKeyError(
            f"{end.label}: the host key of {end.host}:{end.port} HAS CHANGED: it shows {shown}, known is {stored}. "
            f"This may be an attack (man in the middle). If that host was reinstalled, remove its line from {known_hosts} and compare the new key"
        )


def _kind(key: paramiko.PKey) -> str:
    name = key.get_name()
    return "ecdsa" if name.startswith("ecdsa") else name.removeprefix("ssh-")


def trust(sensor: Sensor, known_hosts: Path, expected: str) -> str:
    """Add the sensor's host key to `known_hosts` when its fingerprint is the expected one; return it.

    The key of a bastion comes first, while it is not known. Raises HostKeyError when the host shows another key, and what `connect` does.
    """
    *bastions, last = endpoint(sensor).way()
    transport = None
    for end in bastions:
        if not _known(end, known_hosts):
            last = end
            break
        transport = _connect(sensor, end, known_hosts, transport)
    transport = _transport(last, [], transport)
    try:
        key = transport.get_remote_server_key()
    finally:
        transport.close()
    if key.fingerprint != expected.strip():
        raise HostKeyError(f"{last.label} shows {key.fingerprint}, not {expected}; nothing was added")
    known_hosts.parent.mkdir(parents=True, exist_ok=True)
    with known_hosts.open("a", encoding="utf-8") as out:
        out.write(f"{last.entries[0]} {key.get_name()} {key.get_base64()}\n")
    return key.fingerprint


def _authenticate(end: Endpoint, transport: paramiko.Transport) -> None:
    tried = []
    for name, attempt in _attempts(end, transport):
        tried.append(name)
        try:
            attempt()
        except paramiko.AuthenticationException:
            continue
        except paramiko.SSHException as error:
            raise AuthError(f"{end.label}: {error}") from error
        if transport.is_authenticated():
            return
    offered = ", ".join(tried) or "nothing: set key_file, start an agent or set password"
    raise AuthError(
        f"{end.label}: {end.user}@{end.host} was refused (offered: {offered}); is the public key in ~/.ssh/authorized_keys there?"
    )


def _attempts(end: Endpoint, transport: paramiko.Transport) -> Iterator[tuple[str, Callable[[], object]]]:
    for name, key in _keys(end):
        yield name, partial(transport.auth_publickey, end.user, key)
    if end.password is not None:
        yield "the password", partial(transport.auth_password, end.user, end.password.get_secret_value())


def _keys(end: Endpoint) -> Iterator[tuple[str, paramiko.PKey]]:
    if end.private_key is not None:
        yield "the private key of its connection", _key_of_text(end)
    for path in [end.key_file.expanduser()] if end.key_file is not None else [p for p in end.key_files if p.exists()]:
        try:
            yield f"the key {path}", paramiko.PKey.from_path(path)
        except FileNotFoundError as error:
            raise AuthError(f"{end.label}: key_file {path} does not exist") from error
        except (OSError, ValueError, paramiko.SSHException) as error:
            raise AuthError(f"{end.label}: key_file {path} cannot be used: {error} (is it encrypted? use an agent)") from error
    for key in paramiko.Agent().get_keys() if end.has_agent else ():
        yield "a key of the agent", key


def _key_of_text(end: Endpoint) -> paramiko.PKey:
    assert end.private_key is not None
    for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
        with suppress(paramiko.SSHException, ValueError, UnsupportedAlgorithm, IndexError):
            return kind.from_private_key(io.StringIO(end.private_key.get_secret_value()))
    raise AuthError(f"{end.label}: its private_key is not an unencrypted private key (Ed25519, ECDSA or RSA)")
