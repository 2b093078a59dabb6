"""Runs services of the compose file without Docker: by Linux namespaces, with the rules, mounts and environment of the file.

Each service has a read-only root with its tmpfs, volumes, secrets and binds, its user, no capability and no way to gain one.
All are in one network namespace, where every service's name is loopback. Programs are those of this machine, not of the images.
"""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import ROOT, missing

COMPOSE = ROOT / "docker-compose.airflow.yml"
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc")
PROGRAMS = ("mlids", "dags", "plugins", "reports_templates", "pyproject.toml")
MLIDS_UID = 10_001  # of deploy/Dockerfile; other users are known to this machine


def compose() -> dict[str, Any]:
    """Return the compose file, its anchors resolved."""
    loaded: dict[str, Any] = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
    return loaded


def need_namespaces() -> None:
    """Skip where namespaces cannot be made."""
    tools = all(shutil.which(name) for name in ("unshare", "nsenter", "setpriv", "ip"))
    if not tools or subprocess.run(["unshare", "--mount", "--net", "--pid", "--fork", "true"], check=False, capture_output=True).returncode:
        missing("a user who may make namespaces", "run as root, with the packages util-linux and iproute2")


def _uid(service: dict[str, Any]) -> int:
    if service["user"] in {"mlids", "elasticsearch", "kibana"}:
        return MLIDS_UID
    return pwd.getpwnam(service["user"]).pw_uid


class Host:
    """One Docker host's stand-in; `stop` ends all that it started."""

    def __init__(self, work: Path, secrets: Path, path: str = "") -> None:
        self.work, self.secrets, self.path = work, secrets, path
        self.services: dict[str, dict[str, Any]] = compose()["services"]
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.net = subprocess.Popen(["unshare", "--net", "sh", "-c", "ip link set lo up && exec sleep infinity"], start_new_session=True)
        (work / "passwd").write_text(Path("/etc/passwd").read_text() + f"mlids:x:{MLIDS_UID}:{MLIDS_UID}::/tmp:/bin/sh\n")
        (work / "hosts").write_text(f"127.0.0.1 localhost {' '.join(self.services)}\n")

    def start(self, name: str, command: str = "") -> None:
        """Start a service with its command, or with the one that stands for its image's."""
        with self.log(name).open("ab") as log:
            self.running[name] = subprocess.Popen(
                self._contained(name, command or self._words(name)),
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def run(self, name: str, command: str, stdin: str = "", timeout: float = 180.0) -> subprocess.CompletedProcess[str]:
        """Run a command in a new container of the service, to its end."""
        words = self._contained(name, command)
        return subprocess.run(words, check=False, input=stdin, capture_output=True, text=True, timeout=timeout)

    def healthy(self, name: str) -> bool:
        """Return whether the service's own health check passes."""
        kind, *words = self.services[name]["healthcheck"]["test"]
        command = words[0].replace("$$", "$") if kind == "CMD-SHELL" else shlex.join(words)
        inside = [f"--mount=/proc/{self.running[name].pid}/ns/mnt", f"--pid=/proc/{self.running[name].pid}/ns/pid_for_children"]
        words = ["nsenter", f"--net=/proc/{self.net.pid}/ns/net", *inside, *self._entered(name, command)]
        return subprocess.run(words, check=False, capture_output=True, timeout=60).returncode == 0

    def log(self, name: str) -> Path:
        """Return the file of a service's output."""
        return self.work / f"{name}.log"

    def volume(self, name: str, uid: int) -> Path:
        """Return the folder of a named volume; the image's user owns it."""
        folder = self.work / "volumes" / name
        if not folder.exists():
            folder.mkdir(parents=True)
            os.chown(folder, uid, uid)
        return folder

    def stop(self) -> None:
        """End all services and the network."""
        for process in [*self.running.values(), self.net]:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _words(self, name: str) -> str:
        command = self.services[name]["command"]
        return (command if isinstance(command, str) else shlex.join(command)).replace("$$", "$")

    def _contained(self, name: str, command: str) -> list[str]:
        script = [*self._mounts(name, self.services[name]), f"exec {shlex.join(self._entered(name, command))}"]
        apart = ["nsenter", f"--net=/proc/{self.net.pid}/ns/net", "unshare", "--mount", "--pid", "--fork", "--kill-child"]
        return [*apart, "sh", "-ec", "\n".join(script)]

    def _entered(self, name: str, command: str) -> list[str]:
        """Return the words that run a command in the service's root, with its user, its environment and what deploy/Dockerfile sets."""
        service = self.services[name]
        path = f"{sys.prefix}/bin:/usr/local/bin:/usr/bin:/bin:{self.path}"
        env = {"PATH": path, "HOME": "/tmp", "PYTHONDONTWRITEBYTECODE": "1"} | service.get("environment", {})
        uid = _uid(service)
        drop = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
        drop += ["--bounding-set=-all", "--inh-caps=-all"] if service.get("cap_drop") == ["ALL"] else []
        drop += ["--no-new-privs"] if "no-new-privileges:true" in service.get("security_opt", ()) else []
        return ["chroot", str(self._root(name)), "env", "-i", *(f"{key}={value}" for key, value in env.items()), *drop, "sh", "-c", command]

    def _root(self, name: str) -> Path:
        folder = self.work / "roots" / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _mounts(self, name: str, service: dict[str, Any]) -> list[str]:
        root = self._root(name)
        lines = ["mount --make-rprivate /", f"mount -t tmpfs -o mode=0755 none {root}", f"mkdir -p {root}/proc {root}/dev"]

        def bind(source: Path | str, target: Path | str, options: str = "ro") -> None:
            source, place = Path(source), f"{root}{target}"
            made = f"mkdir -p {place}" if source.is_dir() else f"mkdir -p {Path(place).parent} && [ -e {place} ] || touch {place}"
            lines.extend([made, f"mount --rbind {source} {place}", f"mount -o remount,bind,{options} {place}"])

        for entry in SYSTEM:
            if Path(entry).is_symlink():
                lines.append(f"ln -s {Path(entry).readlink()} {root}{entry}")
            elif Path(entry).exists():
                bind(entry, entry)
        for entry in service["tmpfs"]:
            path, _, given = entry.partition(":")
            options = [word for word in given.split(",") if word != "exec"] + ([] if "exec" in given.split(",") else ["noexec"])
            lines.append(f"mkdir -p {root}{path} && mount -t tmpfs -o nosuid,nodev,{','.join(options)} none {root}{path}")
        for entry in dict.fromkeys([sys.prefix, sys.base_prefix, *(str(ROOT / p) for p in PROGRAMS)]):
            if not entry.startswith("/usr/") and entry != "/usr":
                bind(entry, entry)
        for folder in ("dags", "plugins"):
            bind(ROOT / folder, f"/opt/mlids/{folder}")
        bind(ROOT / "deploy" / "health.py", "/opt/mlids/health.py")
        for volume in service.get("volumes", []):
            source, target, *mode = volume.split(":")
            file = source.startswith("./")
            bind(
                self.work / source
                if file and (self.work / source).exists()
                else ROOT / source
                if file
                else self.volume(source, _uid(service)),
                target,
                *mode or ["rw"],
            )
        for secret in service.get("secrets", []):
            bind(self.secrets / secret, f"/run/secrets/{secret}")
        for file in ("hosts", "passwd"):
            bind(self.work / file, f"/etc/{file}")
        lines.extend([f"mount -t proc proc {root}/proc", f"mount --rbind /dev {root}/dev"])
        return [*lines, f"mount -o remount,{'ro' if service.get('read_only') else 'rw'} {root}"]
