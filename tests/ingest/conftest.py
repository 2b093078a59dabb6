"""A real OpenSSH server on loopback, started and stopped by the fixture."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import need_program
from tests.support.sshd import Sshd, start_sshd


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    program = need_program("sshd", "openssh-server")
    keygen = need_program("ssh-keygen", "openssh-client")
    server = start_sshd(tmp_path_factory.mktemp("sshd"), program, keygen)
    yield server
    server.stop()
