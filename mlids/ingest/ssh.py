"""A verified SSH connection to a sensor: known host keys only, authentication by key, agent or password, tuned for throughput."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import paramiko

from mlids.errors import AuthError, HostKeyError, SourceError
from mlids.ingest.sftp_client import SftpClient
from mlids.settings import Sensor

# With TCP_NODELAY and AES-GCM paramiko is as fast as OpenSSH's client; without TCP_NODELAY it has a fiftieth of that speed.
_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes192-ctr", "aes256-ctr")
# paramiko copies the rest of its buffer at every read: a window of 64 MB made a pull fifty times slower.
WINDOW_BYTES = 1 << 20
PACKET_BYTES = 1 << 17


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


def _host_entry(sensor: Sensor) -> str:
    return sensor.host if sensor.port == 22 else f"[{sensor.host}]:{sensor.port}"


def _known(sensor: Sensor, known_hosts: Path) -> dict[str, paramiko.PKey]:
    keys = paramiko.HostKeys()
    for path in (known_hosts, Path("~/.ssh/known_hosts").expanduser()):
        if path.is_file():
            try:
                keys.load(str(path))
            except OSError as error:
                raise SourceError(f"{path}: cannot be read: {error.strerror}") from error
    found = keys.lookup(_host_entry(sensor))
    return dict(found) if found else {}


def _transport(sensor: Sensor, prefer: list[str]) -> paramiko.Transport:
    try:
        raw = socket.create_connection((sensor.host, sensor.port), timeout=sensor.timeout_s)
    except socket.gaierror as error:
        raise SourceError(f"sensor {sensor.name}: the host name {sensor.host!r} is not known: {error.strerror}; check `host`") from error
    except TimeoutError as error:
        raise SourceError(
            f"sensor {sensor.name}: no answer from {sensor.host}:{sensor.port} in {sensor.timeout_s:g} s; is a firewall between?"
        ) from error
    except OSError as error:
        raise SourceError(f"sensor {sensor.name}: {sensor.host}:{sensor.port}: {error.strerror}; is sshd running there?") from error
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    transport = paramiko.Transport(raw, default_window_size=WINDOW_BYTES, default_max_packet_size=PACKET_BYTES)
    options = transport.get_security_options()
    options.ciphers = [c for c in _CIPHERS if c in options.ciphers]
    if prefer:  # request the type of key that is known
        options.key_types = [*(k for k in prefer if k in options.key_types), *(k for k in options.key_types if k not in prefer)]
    transport.banner_timeout = transport.handshake_timeout = transport.auth_timeout = sensor.timeout_s  # type: ignore[attr-defined]
    try:
        transport.start_client(timeout=sensor.timeout_s)
        transport.get_remote_server_key()  # start_client returns without an error at its time limit
    except (paramiko.SSHException, EOFError, OSError) as error:
        transport.close()
        raise SourceError(f"sensor {sensor.name}: the SSH handshake with {sensor.host}:{sensor.port} failed: {error}") from error
    return transport


def connect(sensor: Sensor, known_hosts: Path) -> paramiko.Transport:
    """Return an authenticated transport.

    Raises HostKeyError for an unknown or changed host key, AuthError when every credential was rejected,
    SourceError when the sensor cannot be reached.
    """
    known = _known(sensor, known_hosts)
    transport = _transport(sensor, _algorithms(known))
    try:
        _verify(sensor, transport.get_remote_server_key(), known, known_hosts)
        _authenticate(sensor, transport)
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


def _verify(sensor: Sensor, key: paramiko.PKey, known: dict[str, paramiko.PKey], known_hosts: Path) -> None:
    shown = key.fingerprint
    if not known:
        raise HostKeyError(
            f"sensor {sensor.name}: the host key of {sensor.host}:{sensor.port} is not known: {key.get_name()} {shown}. "
            f"Compare it with the output of `ssh-keygen -lf /etc/ssh/ssh_host_{_kind(key)}_key.pub` "
            f"on the sensor, then run: mlids trust {sensor.name} --fingerprint {shown}"
        )
    expected = known.get(key.get_name())
    if expected is None or expected.asbytes() != key.asbytes():
        stored = ", ".join(k.fingerprint for k in known.values())
        raise HostKeyError(
            f"sensor {sensor.name}: the host key of {sensor.host}:{sensor.port} HAS CHANGED: it shows {shown}, known is {stored}. "
            f"This may be an attack (man in the middle). If the sensor was reinstalled, remove its line from {known_hosts} and compare the new key"
        )


def _kind(key: paramiko.PKey) -> str:
    name = key.get_name()
    return "ecdsa" if name.startswith("ecdsa") else name.removeprefix("ssh-")


def trust(sensor: Sensor, known_hosts: Path, expected: str) -> str:
    """Add the sensor's host key to `known_hosts` when its fingerprint is the expected one; return it.

    Raises HostKeyError when the sensor shows another key.
    """
    transport = _transport(sensor, [])
    try:
        key = transport.get_remote_server_key()
    finally:
        transport.close()
    if key.fingerprint != expected.strip():
        raise HostKeyError(f"sensor {sensor.name} shows {key.fingerprint}, not {expected}; nothing was added")
    known_hosts.parent.mkdir(parents=True, exist_ok=True)
    with known_hosts.open("a", encoding="utf-8") as out:
        out.write(f"{_host_entry(sensor)} {key.get_name()} {key.get_base64()}\n")
    return key.fingerprint


def _authenticate(sensor: Sensor, transport: paramiko.Transport) -> None:
    tried = []
    for name, attempt in _attempts(sensor, transport):
        tried.append(name)
        try:
            attempt()
        except paramiko.AuthenticationException:
            continue
        except paramiko.SSHException as error:
            raise AuthError(f"sensor {sensor.name}: {error}") from error
        if transport.is_authenticated():
            return
    offered = ", ".join(tried) or "nothing: set key_file, start an agent or set password"
    raise AuthError(
        f"sensor {sensor.name}: {sensor.user}@{sensor.host} was refused (offered: {offered}); "
        "is the public key in ~/.ssh/authorized_keys there?"
    )


def _attempts(sensor: Sensor, transport: paramiko.Transport) -> Iterator[tuple[str, Callable[[], object]]]:
    for name, key in _keys(sensor):
        yield name, partial(transport.auth_publickey, sensor.user, key)
    if sensor.password is not None:
        yield "the password", partial(transport.auth_password, sensor.user, sensor.password.get_secret_value())


def _keys(sensor: Sensor) -> Iterator[tuple[str, paramiko.PKey]]:
    if sensor.key_file is not None:
        path = sensor.key_file.expanduser()
        try:
            yield f"the key {path}", paramiko.PKey.from_path(path)
        except FileNotFoundError as error:
            raise AuthError(f"sensor {sensor.name}: key_file {path} does not exist") from error
        except (OSError, ValueError, paramiko.SSHException) as error:
            raise AuthError(f"sensor {sensor.name}: key_file {path} cannot be used: {error} (is it encrypted? use an agent)") from error
    for key in paramiko.Agent().get_keys():
        yield "a key of the agent", key
