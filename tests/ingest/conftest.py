"""A real OpenSSH server on loopback, started and stopped by the fixture; storage here and there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mlids.ingest.local import LocalStorage
from mlids.ingest.sftp import SftpStorage
from mlids.ingest.storage import LogStorage
from tests.conftest import need_program
from tests.support.sshd import Sshd, start_sshd


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    program = need_program("sshd", "openssh-server")
    keygen = need_program("ssh-keygen", "openssh-client")
    server = start_sshd(tmp_path_factory.mktemp("sshd"), program, keygen)
    yield server
    server.stop()


@pytest.fixture(params=["local", "sftp"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> LogStorage:
    if request.param == "local":
        return LocalStorage()
    sshd: Sshd = request.getfixturevalue("sshd")
    return SftpStorage(sshd.sensor(tmp_path), sshd.known_hosts)
