"""`~/.ssh/config`: a sensor behind a bastion, with two real OpenSSH servers; what is set elsewhere goes first."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlids.errors import AuthError, HostKeyError, SettingsError, SourceError
from mlids.ingest import ssh
from mlids.ingest.ssh_config import endpoint
from mlids.settings import Sensor
from tests.conftest import need_program
from tests.support.sshd import Sshd, start_sshd


@pytest.fixture(scope="module")
def bastion(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """A second server, whose log names what is forwarded."""
    server = start_sshd(tmp_path_factory.mktemp("bastion"), need_program("sshd", "openssh-server"), extra="LogLevel DEBUG1\n")
    yield server
    server.stop()


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty `~/.ssh/config` of a home of its own, without an agent."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    path = tmp_path / ".ssh" / "config"
    path.parent.mkdir()
    path.touch(mode=0o600)
    return path


def behind(config: Path, sshd: Sshd, bastion: Sshd, **changes: str) -> None:
    """Write a configuration in which `inside` is reached through `gate`, and the keys of both into known_hosts."""
    of_gate = {"Port": str(bastion.port), "IdentityFile": str(bastion.key)} | changes
    config.write_text(
        f"Host inside\n  HostName 127.0.0.1\n  Port {sshd.port}\n  IdentityFile {sshd.key}\n  ProxyJump gate\n"
        "Host gate\n  HostName 127.0.0.1\n" + "".join(f"  {k} {v}\n" for k, v in of_gate.items()) + f"Host *\n  User {getpass.getuser()}\n"
    )


def known(tmp_path: Path, *servers: Sshd) -> Path:
    path = tmp_path / "known"
    path.write_text("".join(s.known_hosts.read_text() for s in servers))
    return path


def test_a_sensor_behind_a_bastion_is_read_by_its_alias(config: Path, sshd: Sshd, bastion: Sshd, tmp_path: Path) -> None:
    behind(config, sshd, bastion)
    transport, client = ssh.open_sftp(Sensor(name="hq", host="inside"), known(tmp_path, sshd, bastion))
    (tmp_path / "conn.log").write_text("a row\n")
    assert client.open(str(tmp_path / "conn.log")).read() == b"a row\n"
    assert f"127.0.0.1 port {sshd.port}" in (bastion.key.parent / "log").read_text(), "it did not go through the bastion"
    outer = transport.sock._bastion
    transport.close()
    transport.join(10)
    assert not outer.is_active(), "the connection to the bastion was left open"


def test_both_keys_are_verified_and_trusted_one_after_the_other(config: Path, sshd: Sshd, bastion: Sshd, tmp_path: Path) -> None:
    behind(config, sshd, bastion)
    sensor, path = Sensor(name="hq", host="inside"), tmp_path / "new"
    for where in ("the bastion gate: the host key", "sensor hq: the host key"):
        with pytest.raises(HostKeyError, match=where) as refused:
            ssh.connect(sensor, path)
        shown = str(refused.value).rpartition(" ")[2]
        with pytest.raises(HostKeyError, match="nothing was added"):
            ssh.trust(sensor, path, "SHA256:another")
        assert ssh.trust(sensor, path, shown) == shown
    ssh.connect(sensor, path).close()
    swapped = known(tmp_path, sshd, bastion).read_text().replace(str(sshd.port), "0").replace(str(bastion.port), str(sshd.port))
    path.write_text(swapped + bastion.known_hosts.read_text())
    with pytest.raises(HostKeyError, match=r"sensor hq: .* HAS CHANGED"):
        ssh.connect(sensor, path)


def test_what_fails_names_the_host_that_fails(config: Path, sshd: Sshd, bastion: Sshd, tmp_path: Path) -> None:
    sensor, path = Sensor(name="hq", host="inside"), known(tmp_path, sshd, bastion)
    behind(config, sshd, bastion, IdentityFile=str(sshd.key))
    with pytest.raises(AuthError, match="the bastion gate: "):
        ssh.connect(sensor, path)
    behind(config, sshd, bastion, Port="1")
    with pytest.raises(SourceError, match=r"the bastion gate: 127\.0\.0\.1:1"):
        ssh.connect(sensor, path)
    behind(config, sshd, bastion)
    config.write_text(config.read_text().replace(f"Port {sshd.port}", "Port 1"))
    with pytest.raises(SourceError, match=r"sensor hq: the bastion does not reach 127\.0\.0\.1:1"):
        ssh.connect(sensor, path)


def test_settings_of_the_sensor_go_before_the_file(config: Path) -> None:
    config.write_text(
        "Host zeek1\n HostName 192.0.2.1\n Port 2222\n User ids\n IdentityFile ~/.ssh/zeek\n HostKeyAlias z\nHost *\n Port 3\n"
    )
    found = endpoint(Sensor(name="hq", host="zeek1"))
    assert (found.host, found.port, found.user) == ("192.0.2.1", 2222, "ids")
    assert found.key_files == (config.parent / "zeek",) and found.entries == ("[z]:2222", "[zeek1]:2222")
    given = endpoint(Sensor(name="hq", host="zeek1", port=22, user="zeek", key_file=Path("/k")))
    assert (given.host, given.port, given.user, given.key_file, given.key_files) == ("192.0.2.1", 22, "zeek", Path("/k"), ())
    config.write_text("Host a,b\n ProxyJump none\n")
    assert endpoint(Sensor(name="hq", host="a")).jump is None
    config.write_text("Host *\n ProxyJump b\n")
    assert [e.host for e in endpoint(Sensor(name="hq", host="a")).way()] == ["b", "a"]
    config.write_text("Host a\n ProxyJump u@first:21,[2001:db8::1]\n")
    way = list(endpoint(Sensor(name="hq", host="a", user="zeek")).way())
    assert [(e.host, e.port, e.user) for e in way] == [("first", 21, "u"), ("2001:db8::1", 22, "zeek"), ("a", 22, "zeek")]
    assert all(e.password is None for e in list(endpoint(Sensor(name="hq", host="a", password="secret")).way())[:-1]), "a bastion got it"


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        ("Host a\n", 0o666, "chmod go-w"),
        ("Host a\n Port many\n", 0o600, "'many' is no port"),
        ("Host a\n ProxyJump b c\n", 0o600, "not \\[user@\\]host"),
        ("Host a\n ProxyJump b\nHost b\n ProxyJump a\n", 0o600, "in a circle"),
        ("nonsense\n", 0o600, "config: "),
    ],
)
def test_a_file_that_cannot_be_used_is_named(config: Path, text: str, mode: int, said: str) -> None:
    config.write_text(text)
    config.chmod(mode)
    with pytest.raises(SettingsError, match=said):
        endpoint(Sensor(name="hq", host="a"))


def test_what_is_not_honoured_is_in_the_log(config: Path, caplog: pytest.LogCaptureFixture) -> None:
    config.write_text("Include other\nHost a\n  ProxyCommand nc %h %p\n")
    endpoint(Sensor(name="hq", host="a"))
    assert "include is not honoured" in caplog.text and "proxycommand is not honoured" in caplog.text


def test_a_private_key_may_be_given_itself(config: Path, sshd: Sshd, tmp_path: Path) -> None:
    sensor = sshd.sensor(tmp_path, key_file=None, private_key=sshd.key.read_text())
    ssh.connect(sensor, sshd.known_hosts).close()
    with pytest.raises(AuthError, match="not an unencrypted private key") as refused:
        ssh.connect(sshd.sensor(tmp_path, key_file=None, private_key="no key"), sshd.known_hosts)
    assert "no key" not in str(refused.value).replace("no key of", "")
