"""A sensor whose sshd offers only algorithms that are out of date is refused, with a sentence that says what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlids.errors import SourceError
from mlids.ingest import ssh
from tests.conftest import need_program
from tests.support.sshd import Sshd, start_sshd

WEAK = {
    "MD5": "Ciphers aes128-ctr\nMACs hmac-md5,hmac-md5-96,hmac-md5-etm@openssh.com\n",
    "SHA-1": "Ciphers aes128-ctr\nMACs hmac-sha1,hmac-sha1-96,hmac-sha1-etm@openssh.com\n",
    "CBC": "Ciphers aes128-cbc,3des-cbc\n",
    "SHA-1 in the key exchange": "KexAlgorithms diffie-hellman-group14-sha1,diffie-hellman-group-exchange-sha1,diffie-hellman-group1-sha1\n",
    "64-bit MACs": "Ciphers aes128-ctr\nMACs umac-64@openssh.com\n",
}

pytestmark = pytest.mark.attack(
    row=17,
    attack="a sensor, or who is between, offers only MD5, SHA-1 or CBC in SSH",
    held="SHA-2 MACs or GCM, CTR ciphers, key exchanges with SHA-2 (`mlids/ingest/ssh.py`)",
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Callable[[str], Sshd]]:
    started: list[Sshd] = []

    def start(extra: str) -> Sshd:
        program, keygen = need_program("sshd", "openssh-server"), need_program("ssh-keygen", "openssh-client")
        started.append(start_sshd(tmp_path, program, keygen, extra=extra))
        return started[-1]

    yield start
    for one in started:
        one.stop()


@pytest.mark.parametrize("kind", WEAK)
def test_a_server_of_weak_algorithms_is_refused(
    kind: str, server: Callable[[str], Sshd], tmp_path: Path, happened: Callable[[str], None]
) -> None:
    sshd = server(WEAK[kind])
    with pytest.raises(SourceError, match=r"offers only algorithms that are out of date .* update its OpenSSH"):
        ssh.connect(sshd.sensor(tmp_path), sshd.known_hosts)
    happened(f"a server of {kind} alone is refused")


@pytest.mark.parametrize("mac", ["hmac-sha2-256", "hmac-sha2-512-etm@openssh.com"])
def test_a_server_of_one_strong_mac_is_accepted(mac: str, server: Callable[[str], Sshd], tmp_path: Path) -> None:
    sshd = server(f"Ciphers aes256-ctr\nMACs {mac},hmac-sha1,hmac-md5\n")
    transport = ssh.connect(sshd.sensor(tmp_path), sshd.known_hosts)
    assert transport.local_mac == transport.remote_mac == mac
    transport.close()
