"""Faults of the machine and foreign files end every command with one sentence: what, where, what to do; never "please report it"."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mlids.ingest.lake import Lake
from mlids.pipeline.views import statuses
from mlids.settings import load_settings
from mlids.window import parse_day
from tests.conftest import CONN_HEADER, conn_line, missing, need_program
from tests.support import forked

DAY = "2026-11-02"
MIDNIGHT = 1793577600  # of DAY
SNAPSHOT = ["snapshot", "--start", DAY, "--end", "2026-11-03"]
RECONCILE = ["reconcile", "hq", DAY]  # reads the lake as a snapshot does, in a tenth of the time
_RIGHTS = "-dac_override,-dac_read_search"
MLIDS = "import sys; sys.argv[0] = 'mlids'; from mlids.cli.__main__ import main; main()"

pytestmark = pytest.mark.attack(
    row=17,
    attack="a full disk, a damaged or foreign file, wrong rights, a bad line in a file that mlids reads",
    held="exit code and one sentence: what, where, what to do (`os_fault` in `mlids/errors.py`); what was there stays",
)


@dataclass
class Machine:
    """A home with a day in the lake, a log, and the command line."""

    home: Path
    log: Path

    @property
    def part(self) -> Path:
        return self.home / "lake" / "conn" / "sensor=hq" / f"date={DAY}" / "part-00000.parquet"

    @property
    def lake(self) -> Path:
        return self.home / "lake" / "conn"

    def run(self, *args: str, fsize: int | None = None, rights: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command; with `fsize` no file may grow beyond it, without `rights` root obeys permissions as others do."""
        if rights:
            ran = forked.run(args, file_bytes=fsize)
            done = subprocess.CompletedProcess(ran.args, ran.returncode, ran.stdout.decode(), ran.stderr.decode())
        else:
            bare = [need_program("setpriv", "util-linux"), f"--bounding-set={_RIGHTS}", f"--inh-caps={_RIGHTS}"] if not os.geteuid() else []
            done = subprocess.run([*bare, sys.executable, "-c", MLIDS, *args], capture_output=True, text=True, timeout=120)
        assert "report it" not in done.stderr and "Traceback" not in done.stderr, done.stderr
        return done

    def says(self, *args: str, fsize: int | None = None, rights: bool = True) -> str:
        """Run a command that must fail; return its one sentence."""
        done = self.run(*args, fsize=fsize, rights=rights)
        assert done.returncode in {2, 3, 4}, (done.returncode, done.stdout, done.stderr)
        return done.stderr.splitlines()[-1]

    def ingest(self, *, fsize: int | None = None, rights: bool = True) -> str:
        return self.says("ingest", "hq", DAY, str(self.log), fsize=fsize, rights=rights)


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    folder = tmp_path_factory.mktemp("ingested")
    log = folder / "conn.log"
    log.write_text(CONN_HEADER + "".join(conn_line(f"C{n}", ts=f"{MIDNIGHT + n}.0") for n in range(2_000)))
    found = Machine(folder / "home", log)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLIDS_HOME", str(found.home))
        assert found.run("ingest", "hq", DAY, str(log)).returncode == 0
    return found


@pytest.fixture
def machine(ingested: Machine, home: Path) -> Machine:
    shutil.copytree(ingested.home, home)
    return Machine(home, ingested.log)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        missing("the right to mount a small file system", "run this test as root")
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", folder], check=False, capture_output=True).returncode:
        missing("the right to mount a small file system", "allow it to this container")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_at_ingest_keeps_the_day(
    machine: Machine, small_disk: Path, monkeypatch: pytest.MonkeyPatch, happened: Callable[[str], None]
) -> None:
    lake = small_disk / "lake"
    shutil.move(machine.home / "lake", lake)
    (machine.home / "lake").symlink_to(lake)
    before = machine.part.read_bytes()
    (small_disk / "filler").write_bytes(bytes(shutil.disk_usage(small_disk).free - 8_192))
    said = machine.ingest()
    assert (
        said
        == f"mlids: hq {DAY} was not ingested and stays as it was: {machine.home}/lake: the disk is full; free some space, then run again"
    )
    assert machine.part.read_bytes() == before
    (small_disk / "filler").unlink()
    assert machine.run("ingest", "hq", DAY, str(machine.log)).returncode == 0
    happened("a full disk at ingest: the day stays, the sentence says to free space")


def test_a_full_disk_at_the_snapshot_leaves_none(machine: Machine, small_disk: Path) -> None:
    (machine.home / "snapshots").symlink_to(small_disk)
    said = machine.says(*SNAPSHOT)
    assert "the snapshot was not stored: " in said and said.endswith("the disk is full; free some space, then run again")
    assert not list(small_disk.rglob("*.parquet"))


@pytest.mark.parametrize("size", [1_000, 4_000, 30_000])
def test_a_limit_on_the_size_of_files_is_named(machine: Machine, size: int) -> None:
    said = machine.ingest(fsize=size)
    assert "the file would be larger than this account or file system allows" in said or "is the disk full" in said
    assert "is the disk full" in machine.says("alerts", fsize=size)


def truncated(data: bytes) -> bytes:
    return data[: len(data) // 2]


def scrambled(data: bytes) -> bytes:
    return bytes(b ^ 0xFF if 100 < n < len(data) - 2_000 and n % 37 == 0 else b for n, b in enumerate(data))


@pytest.mark.parametrize("harm", [truncated, scrambled, lambda data: bytes(len(data)), lambda data: b""])
def test_a_damaged_part_is_named(machine: Machine, harm: Callable[[bytes], bytes], happened: Callable[[str], None]) -> None:
    machine.part.write_bytes(harm(machine.part.read_bytes()))
    for command in (SNAPSHOT, RECONCILE) if harm is truncated else (RECONCILE,):
        said = machine.says(*command)
        assert str(machine.part) in said and "damaged" in said and "ingest this day again" in said
    happened("a damaged part of the lake is named")


@pytest.mark.parametrize("text", ['{"a": 1}', "[]", "\xff", "", '{"sources": [3]}'])
def test_a_damaged_manifest_is_named_and_the_day_can_be_ingested_again(machine: Machine, text: str) -> None:
    path = machine.part.with_name("_manifest.json")
    path.write_bytes(text.encode("latin-1"))
    assert f"{path}: damaged" in machine.says(*RECONCILE)
    assert machine.run("ingest", "hq", DAY, str(machine.log)).returncode == 0


def test_a_foreign_part_is_named(machine: Machine) -> None:
    path = machine.part.with_name("part-x.parquet")
    path.write_text("x")
    assert str(path) in machine.says(*RECONCILE)


@pytest.mark.parametrize("name", ["sensor=hq/date=backup", "sensor=hq/date=0001-01-01", "sensor=a b!/date=2026-11-02", "old"])
def test_a_foreign_folder_in_the_lake_is_left_out_and_named(
    machine: Machine, name: str, caplog: pytest.LogCaptureFixture, happened: Callable[[str], None]
) -> None:
    (machine.lake / name).mkdir(parents=True)
    (machine.lake / name / "_manifest.json").write_text("{}")
    lake = Lake(machine.lake.parent)
    assert lake.sensors() == ["hq"] and lake.days("conn", "hq") == [parse_day(DAY)]
    assert machine.run(*RECONCILE).returncode == 0
    assert ("was not made by mlids and is left out of the lake" in caplog.text) == name.startswith(("sensor=hq", "sensor=a"))
    happened("foreign folders in the lake are left out and named")


@pytest.mark.parametrize("name", ["sensor=zz", "sensor=hq/date=2026-11-03", "notes.txt"])
def test_a_foreign_file_in_the_lake_is_left_out(machine: Machine, name: str) -> None:
    (machine.lake / name).write_text("x")
    lake = Lake(machine.lake.parent)
    assert lake.sensors() == ["hq"] and lake.days("conn", "hq") == [parse_day(DAY)]
    assert machine.run(*RECONCILE).returncode == 0


def test_a_file_where_the_lake_belongs_is_named(machine: Machine) -> None:
    for folder in (machine.lake, machine.lake.parent):
        shutil.rmtree(folder, ignore_errors=True)
        folder.write_text("x")
        assert "a file is where a folder is needed; move the file away" in machine.ingest()
        folder.unlink()


def test_a_file_where_the_home_belongs_is_named(machine: Machine) -> None:
    shutil.rmtree(machine.home)
    machine.home.write_text("x")
    for command in (["ingest", "hq", DAY, str(machine.log)], RECONCILE, ["status"], ["alerts"]):
        assert "a file is where a folder is needed; move the file away" in machine.says(*command)
    assert "a file is where a folder is needed" in machine.says("doctor")


@pytest.mark.parametrize("name", ["snapshots", "landing"])
def test_a_file_where_a_folder_of_the_home_belongs_is_named(machine: Machine, name: str, tmp_path: Path) -> None:
    (machine.home / name).write_text("x")
    (tmp_path / "logs" / DAY).mkdir(parents=True)
    shutil.copy(machine.log, tmp_path / "logs" / DAY)
    (machine.home / "sensors.toml").write_text(f'[[sensor]]\nname = "hq"\nkind = "folder"\nlogs = "{tmp_path}/logs"\n')
    said = machine.says(*SNAPSHOT) if name == "snapshots" else machine.says("pull", "hq", DAY)
    assert f"{machine.home / name}" in said and "a file is where a folder is needed; move the file away" in said


def test_a_home_that_cannot_be_written_is_named(machine: Machine) -> None:
    subprocess.run(["chmod", "-R", "a-w", str(machine.home)], check=True)
    for command in (["ingest", "hq", DAY, str(machine.log)], RECONCILE, ["status"], ["alerts"]):
        said = machine.says(*command, rights=False)
        assert str(machine.home) in said and ("no permission; give it access" in said or "not writable" in said), said
    assert "report it" not in machine.run("doctor", rights=False).stdout


def test_a_file_that_cannot_be_read_is_named(machine: Machine, tmp_path: Path) -> None:
    secret = tmp_path / "secret.log"
    secret.write_text("x")
    secret.chmod(0)
    for command in (["score", str(secret)], ["ingest", "hq", DAY, str(secret)]):
        assert str(secret) in machine.run(*command, rights=False).stderr.replace("\n", "")
    (machine.home / "sensors.toml").write_text("")
    (machine.home / "sensors.toml").chmod(0)
    assert f"{machine.home}/sensors.toml: this account has no permission" in machine.says("pull", "hq", DAY, rights=False)


@pytest.mark.parametrize("text", ["sensor = 3", "sensor = [3]", "[sensor]\nname = 'hq'", "x = "])
def test_sensors_of_another_form_are_a_sentence(machine: Machine, text: str) -> None:
    (machine.home / "sensors.toml").write_text(text)
    assert f"{machine.home}/sensors.toml" in machine.says("pull", "hq", DAY)


@pytest.mark.parametrize(
    "line", [b"h ssh-ed25519 " + b"A" * 50, b"x ssh-rsa AAAAB3NzaC1yc2E=", b"\xff\xfe bad", b"a b", b"[127.0.0.1]:9 ssh-ed25519 AAAA!!!!"]
)
def test_a_bad_line_of_known_hosts_is_named_and_the_others_are_read(machine: Machine, line: bytes, happened: Callable[[str], None]) -> None:
    (machine.home / "sensors.toml").write_text('[[sensor]]\nname = "hq"\nhost = "127.0.0.1"\nport = 9\n')
    (machine.home / "known_hosts").write_bytes(b"# keys\n" + line + b"\n")
    done = machine.run("pull", "hq", DAY)
    assert done.returncode == 3 and "127.0.0.1:9: Connection refused" in done.stderr
    assert f"{machine.home}/known_hosts line 2 is not a host key and is left out; correct or remove it" in done.stderr
    happened("a bad line of known_hosts is named and left out")


def test_a_database_that_is_none_is_a_sentence(machine: Machine) -> None:
    for left in machine.home.glob("mlids.db*"):
        left.unlink()
    (machine.home / "mlids.db").write_bytes(b"not a database" * 1_000)
    assert "file is not a database" in machine.says("alerts")
    (machine.home / "mlids.db").unlink()
    (machine.home / "mlids.db").mkdir()
    assert f"{machine.home}/mlids.db: a folder is where a file is needed" in machine.says("alerts").replace(
        str(machine.home.resolve()), str(machine.home)
    )


@pytest.mark.parametrize("text", ["[]", "3", '{"state": 1}', "{}"])
def test_a_status_file_of_another_form_is_left_out(machine: Machine, text: str) -> None:
    (machine.home / "state" / "hq").mkdir(parents=True, exist_ok=True)
    (machine.home / "state" / "hq" / "status.json").write_text(text)
    assert statuses(load_settings()) == []
    if text == "[]":
        done = machine.run("status", "--json")
        assert done.returncode == 0 and json.loads(done.stdout)["scorers"] == [], done.stderr
