"""A real Elasticsearch node for tests, without Docker: the published integration test distribution of the server.

Maven downloads it once into `.cache/`, where its SHA-256 is checked. The node listens on loopback only.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.conftest import ROOT, free_port, missing, need_program

VERSION = "8.19.21"  # runs on JDK 17, which Debian and Ubuntu have
SHA256 = "215d5f3dbf0609a149f6218a9e47b6ae2df34ebbff3c5754e35f15a5e5393c8a"
CACHE = ROOT / ".cache"
_NOBODY = 65534


def java_home() -> str:
    """Return a JDK or JRE of 17 or newer, preferring 17."""
    for pattern in ("*17*", "*21*"):
        for found in sorted(Path("/usr/lib/jvm").glob(pattern)):
            if (found / "bin" / "java").exists():
                return str(found)
    missing("Java 17", "sudo apt-get install -y openjdk-17-jre-headless")
    raise AssertionError


def fetch() -> Path:
    """Return the folder of the unpacked server; download it when it is not there."""
    home = CACHE / f"elasticsearch-{VERSION}"
    if (home / "bin" / "elasticsearch").exists():
        return home
    CACHE.mkdir(exist_ok=True)
    goal = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
    artifact = f"org.elasticsearch.distribution.integ-test-zip:elasticsearch:{VERSION}:zip"
    # `java_home` may be a JRE; Maven runs on the default Java.
    subprocess.run(
        [need_program("mvn", "maven"), "-B", "-q", goal, f"-Dartifact={artifact}", f"-DoutputDirectory={CACHE}", "-Dmdep.useBaseVersion=true"],
        check=True, timeout=600, cwd=CACHE,
    )  # fmt: skip
    archive = CACHE / f"elasticsearch-{VERSION}.zip"
    with archive.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != SHA256:
        archive.unlink()
        raise RuntimeError(f"{archive.name}: sha256 is {digest}, expected {SHA256}; the file was removed")
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        zipfile.ZipFile(archive).extractall(folder)
        for program in Path(folder, home.name, "bin").iterdir():
            program.chmod(0o755)
        Path(folder, home.name).rename(home)
    archive.unlink()
    return home


class ElasticsearchNode:
    """One node on a free loopback port.

    With `users`, security is on: a user for each name, with these cluster privileges and privileges on `mlids-*`
    (a name's two lists), whose password is its name; and the superuser `admin`.
    """

    def __init__(self, users: Mapping[str, tuple[list[str], list[str]]] | None = None) -> None:
        self.port = free_port()
        self._users = users
        self.url = self.url_of("admin") if users is not None else f"http://127.0.0.1:{self.port}"
        self.work = Path(tempfile.mkdtemp(prefix="mlids-es-", dir="/tmp"))

    def url_of(self, user: str) -> str:
        """Return the URL that signs in as a user."""
        return f"http://{user}:{user}@127.0.0.1:{self.port}"

    def start(self) -> ElasticsearchNode:
        """Start the server and wait until it answers."""
        home = fetch()
        self.work.chmod(0o755)
        config = self.work / "config"
        shutil.copytree(home / "config", config)
        for name in ("data", "logs", "tmp"):
            (self.work / name).mkdir()
        (config / "elasticsearch.yml").write_text(
            f"cluster.name: mlids-test\nnode.name: n1\npath.data: {self.work}/data\npath.logs: {self.work}/logs\nhttp.host: 127.0.0.1\n"
            f"http.port: {self.port}\ntransport.host: 127.0.0.1\ntransport.port: {free_port()}\ndiscovery.type: single-node\n"
            f"xpack.security.enabled: {str(self._users is not None).lower()}\ncluster.routing.allocation.disk.threshold_enabled: false\n"
        )
        self._write_users(config)
        (config / "jvm.options.d").mkdir(exist_ok=True)
        (config / "jvm.options.d" / "test.options").write_text("-Xms384m\n-Xmx384m\n-XX:TieredStopAtLevel=1\n")
        kept = [ln for ln in (config / "jvm.options").read_text().splitlines() if not ln.lstrip("0123456789-:").startswith("-Xlog")]
        (config / "jvm.options").write_text(
            "\n".join(ln for ln in kept if "Xlog:gc" not in ln and "HeapDump" not in ln and "ErrorFile" not in ln) + "\n"
        )
        env = {
            "PATH": os.environ["PATH"],
            "ES_JAVA_HOME": java_home(),
            "ES_PATH_CONF": str(config),
            "ES_TMPDIR": str(self.work / "tmp"),
            "HOME": str(self.work),
        }
        as_user: dict[str, Any] = {}
        if os.geteuid() == 0:  # the server does not run as root
            as_user = {"user": _NOBODY, "group": _NOBODY}
            subprocess.run(["chown", "-R", f"{_NOBODY}:{_NOBODY}", str(self.work)], check=True)
            home = self._readable(home)
        with (self.work / "stdout.log").open("wb") as out:
            self.process = subprocess.Popen(
                [str(home / "bin" / "elasticsearch")], cwd=self.work, env=env, stdout=out, stderr=out, stdin=subprocess.DEVNULL,
                start_new_session=True, **as_user,
            )  # fmt: skip
        end = time.monotonic() + 120
        while True:
            try:
                self.ask("GET", "/_cluster/health?wait_for_status=yellow&timeout=5s")
                return self
            except OSError:
                if self.process.poll() is not None or time.monotonic() > end:
                    log = (self.work / "stdout.log").read_text(errors="replace")[-3_000:]
                    self.stop()
                    raise RuntimeError(f"Elasticsearch did not start:\n{log}") from None
                time.sleep(0.3)

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """Return the answer to a request of the superuser. Raises OSError when it is refused."""
        headers = {"Content-Type": "application/json"}
        if self._users is not None:
            headers["Authorization"] = "Basic " + base64.b64encode(b"admin:admin").decode()
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)

    def _write_users(self, config: Path) -> None:
        """Write the files of the server's file realm: its own index of users needs a module that this distribution lacks."""
        if self._users is None:
            return
        names = ["admin", *self._users]
        hashed = [f"{n}:{{SHA}}{base64.b64encode(hashlib.sha1(n.encode()).digest()).decode()}\n" for n in names]
        (config / "users").write_text("".join(hashed))
        (config / "users_roles").write_text("superuser:admin\n" + "".join(f"{n}:{n}\n" for n in self._users))
        roles = [
            f"{name}:\n  cluster: {json.dumps(cluster)}\n  indices:\n    - names: ['mlids-*']\n      privileges: {json.dumps(privileges)}\n"
            for name, (cluster, privileges) in self._users.items()
        ]
        (config / "roles.yml").write_text("".join(roles))

    def _readable(self, home: Path) -> Path:
        """Return the server, copied to a readable folder when the user cannot read the checkout."""
        probe = ["setpriv", f"--reuid={_NOBODY}", "--clear-groups", "test", "-r", str(home / "bin" / "elasticsearch")]
        if subprocess.run(probe, check=False).returncode == 0:
            return home
        return Path(shutil.copytree(home, self.work / "server"))

    def stop(self) -> None:
        """End the server and remove its files."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        shutil.rmtree(self.work, ignore_errors=True)
