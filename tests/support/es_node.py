"""A real Elasticsearch node for tests, without Docker: the published integration test distribution of the server.

Maven downloads it once into `.cache/`, where its SHA-256 is checked. The node listens on loopback only. The plugin in
`es_plugin/` adds what that distribution leaves out: the names of analyzers that the server's own index of roles and API keys
needs, and lifecycle policies, which the server's own parser checks, but which are never executed.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import signal
import ssl
import subprocess
import tempfile
import time
import urllib.request
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from tests.conftest import ROOT, free_port, missing, need_program

VERSION = "8.19.21"  # runs on JDK 17, which Debian and Ubuntu have
SHA256 = "215d5f3dbf0609a149f6218a9e47b6ae2df34ebbff3c5754e35f15a5e5393c8a"
CACHE = ROOT / ".cache"
PLUGIN = Path(__file__).with_name("es_plugin")
_NOBODY = 65534


def java_home() -> str:
    """Return a JDK of 17 or newer, preferring 17."""
    for pattern in ("*17*", "*21*"):
        for found in sorted(Path("/usr/lib/jvm").glob(pattern)):
            if (found / "bin" / "javac").exists():
                return str(found)
    missing("a JDK 17", "sudo apt-get install -y openjdk-17-jdk-headless")
    raise AssertionError


def fetch() -> Path:
    """Return the folder of the server with the plugin; download and compile what is not there."""
    CACHE.mkdir(exist_ok=True)
    with FileLock(CACHE / "elasticsearch.lock"):
        home = _server()
        _install_plugin(home)
    return home


def _install_plugin(home: Path) -> None:
    """Compile the plugin into the server, unless it is there as its sources are."""
    sources = sorted(PLUGIN.glob("*.java"))
    digest = hashlib.sha256(b"".join(f.read_bytes() for f in sources)).hexdigest()
    stamp, place = home / "plugin.sha256", home / "plugins" / "mlids-testnode"
    if place.is_dir() and stamp.is_file() and stamp.read_text() == digest:
        return
    classes = f"{home}/lib/*:{home}/modules/x-pack-core/*"
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        out, made = Path(folder, "classes"), Path(folder, "plugin")
        made.mkdir()
        compiler = [f"{java_home()}/bin/javac", "--release", "17", "-nowarn", "-d", str(out), "-cp", classes]
        subprocess.run([*compiler, *map(str, sources)], check=True, timeout=300, capture_output=True)
        with zipfile.ZipFile(made / "mlids-testnode.jar", "w") as jar:
            for file in sorted(out.rglob("*.class")):
                jar.write(file, file.relative_to(out))
        (made / "plugin-descriptor.properties").write_text(
            "name=mlids-testnode\ndescription=for tests only\nversion=1\nclassname=mlids.testnode.TestNodePlugin\n"
            f"java.version=17\nelasticsearch.version={VERSION}\nextended.plugins=x-pack-core\n"
        )
        made.chmod(0o755)
        shutil.rmtree(place, ignore_errors=True)
        made.rename(place)
    stamp.write_text(digest)


def _server() -> Path:
    """Return the folder of the unpacked server; download it when it is not there."""
    home = CACHE / f"elasticsearch-{VERSION}"
    if (home / "bin" / "elasticsearch").exists():
        return home
    goal = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
    artifact = f"org.elasticsearch.distribution.integ-test-zip:elasticsearch:{VERSION}:zip"
    # Maven runs on the default Java.
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
    (a name's two lists), whose password is its name; and the superuser `admin`. With `tls` it speaks HTTPS; its certificate
    signs itself and lies in `ca_file`.
    """

    def __init__(self, users: Mapping[str, tuple[list[str], list[str]]] | None = None, *, tls: bool = False) -> None:
        self.port = free_port()
        self._users, self._tls = users, tls
        self._scheme = "https" if tls else "http"
        self.url = self.url_of("admin") if users is not None else f"{self._scheme}://127.0.0.1:{self.port}"
        self.work = Path(tempfile.mkdtemp(prefix="mlids-es-", dir="/tmp"))
        self.ca_file = self.work / "config" / "http.crt"

    def url_of(self, user: str) -> str:
        """Return the URL that signs in as a user."""
        return f"{self._scheme}://{user}:{user}@127.0.0.1:{self.port}"

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
        if self._tls:
            self._write_certificate(config)
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
        request = urllib.request.Request(f"{self._scheme}://127.0.0.1:{self.port}{path}", data, headers, method=method)
        context = ssl.create_default_context(cafile=self.ca_file) if self._tls else None
        with urllib.request.urlopen(request, timeout=20, context=context) as answer:
            return json.load(answer)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate."""
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(self.ca_file.read_text())).hexdigest()

    def _write_certificate(self, config: Path) -> None:
        """Make a certificate for loopback that signs itself."""
        subject = ["-subj", "/CN=mlids test node", "-addext", "subjectAltName=IP:127.0.0.1"]
        kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
        files = ["-keyout", str(config / "http.key"), "-out", str(config / "http.crt")]
        subprocess.run([need_program("openssl", "openssl"), "req", "-x509", *kind, *subject, *files], check=True, capture_output=True)
        with (config / "elasticsearch.yml").open("a") as out:
            out.write(
                "xpack.security.http.ssl.enabled: true\nxpack.security.http.ssl.key: http.key\n"
                "xpack.security.http.ssl.certificate: http.crt\nxpack.security.transport.ssl.enabled: false\n"
            )

    def _write_users(self, config: Path) -> None:
        """Write the files of the server's file realm, which are there when it starts."""
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
