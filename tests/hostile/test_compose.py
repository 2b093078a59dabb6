"""The compose file, its image and its secrets, by rules: nothing is open, root, unlimited or readable that need not be."""

from __future__ import annotations

import re
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.support.containers import COMPOSE, compose

CLOSED = pytest.mark.attack(
    row=18,
    attack="who breaks into one container of the compose file, or into the host's network, looks for a way on",
    held="read-only roots, no capability, no new privileges, limits of memory and processes, no root user; ports on 127.0.0.1; a login for Airflow, MLflow, Redis, PostgreSQL, Elasticsearch and Kibana",
)
SECRETS = pytest.mark.attack(
    row=18,
    attack="who has the image, the repository, `docker inspect` or the process list looks for secrets",
    held="secrets are files in `secrets` (mode 0700), given to the services that need them; none is in an environment, an argument, the build context or the repository",
)
SERVICES: dict[str, dict[str, Any]] = compose()["services"]
SECRET_NAME = re.compile(r"PASSW|SECRET|TOKEN|_KEY|CONN|BROKER|BACKEND|API_KEY", re.IGNORECASE)
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
DEV_TOOLS = ("pytest", "hypothesis", "atheris", "ruff", "mypy", "zat", "playwright", "shap", "check-jsonschema", "hatchling", "editables")


@CLOSED
def test_every_service_is_closed(happened: Callable[[str], None]) -> None:
    wrong = []
    for name, service in SERVICES.items():
        rules = {
            "read_only": service.get("read_only") is True,
            "cap_drop": service.get("cap_drop") == ["ALL"] and "cap_add" not in service and "privileged" not in service,
            "no-new-privileges": "no-new-privileges:true" in service.get("security_opt", []),
            "mem_limit": "mem_limit" in service, "pids_limit": "pids_limit" in service,
            "user": str(service.get("user", "root")).split(":")[0] not in {"root", "0"},
            "image": re.search(r":[\w.-]*\d", service["image"]) is not None,
            "health": "healthcheck" in service or service.get("restart") == "no",
            "ports": all(str(port).startswith("127.0.0.1:") for port in service.get("ports", [])),
            "host": not {"network_mode", "pid", "ipc", "devices"} & set(service) and "docker.sock" not in str(service.get("volumes")),
        }  # fmt: skip
        wrong += [f"{name}: {rule}" for rule, kept in rules.items() if not kept]
    assert wrong == []
    happened(f"{len(SERVICES)} services keep all rules")


@SECRETS
def test_no_service_has_a_secret_in_its_environment_or_command(happened: Callable[[str], None]) -> None:
    wrong = [
        f"{name}: {key}"
        for name, service in SERVICES.items()
        for key, value in service.get("environment", {}).items()
        if (SECRET_NAME.search(key) and not key.endswith(("_FILE", "_CMD"))) or re.search(r"://[^/\s]*:[^/\s]*@", str(value))
    ]
    assert wrong == [] and not re.search(r"(?<!\$)\$\{", COMPOSE.read_text()), "a value from .env is seen by `docker inspect`"
    used = {secret for service in SERVICES.values() for secret in service.get("secrets", [])}
    assert used == set(compose()["secrets"])
    happened(f"{len(used)} secrets, none in an environment")


@SECRETS
def test_secrets_are_made_once_and_closed(tmp_path: Path) -> None:
    (tmp_path / "deploy").mkdir()
    script = shutil.copy(ROOT / "deploy" / "make-secrets.sh", tmp_path / "deploy")
    shown = subprocess.run([script], check=True, capture_output=True, text=True)
    folder = tmp_path / "secrets"
    made = {p.name: p.read_text() for p in folder.iterdir()}
    (folder / "sensor_key").write_text("a key")
    again = subprocess.run([script], check=True, capture_output=True, text=True)
    assert set(made) | {"sensor_key"} >= set(compose()["secrets"]) and again.stdout == ""
    assert {p.name: p.read_text() for p in folder.iterdir()} == made | {"sensor_key": "a key"}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700 and {stat.S_IMODE(p.stat().st_mode) for p in folder.iterdir()} == {0o444}
    assert not [name for name, value in made.items() if value.endswith("\n") or value in shown.stdout + shown.stderr]
    assert all(len(value) >= 43 for value in made.values()), "32 random bytes"


@SECRETS
def test_image_and_repository_take_no_secret(happened: Callable[[str], None]) -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    let_in = [line[1:] for line in lines if line.startswith("!")]
    assert lines[0] == "*" and not [p for p in let_in if (ROOT / p).is_dir() and list((ROOT / p).rglob(".env*"))]
    copied = [word for words in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE) for word in words.split()[:-1]]
    assert set(copied) == set(let_in), "what is copied is let in, and nothing else"
    secrets = ["secrets/elastic_password", ".env", "sensors.toml", "known_hosts"]
    assert not [s for s in secrets if s.split("/")[0] in let_in]
    ignored = subprocess.run(["git", "check-ignore", *secrets], cwd=ROOT, check=False, capture_output=True, text=True).stdout.split()
    assert ignored == secrets
    happened("`secrets`, `.env`, `sensors.toml` and `known_hosts` get neither into the image nor into the repository")


@CLOSED
def test_dockerfile_keeps_the_usual_rules() -> None:
    text = re.sub(r"\\\n\s*", " ", DOCKERFILE)
    instructions = [line.split(maxsplit=1) for line in text.splitlines() if line and not line.startswith("#")]
    of = {word: [rest for name, rest in instructions if name == word] for word in ("FROM", "RUN", "ENV", "ARG", "ADD", "USER", "COPY")}
    assert all(re.match(r"[\w./-]+:[\w.-]*\d[\w.-]*(@sha256:[0-9a-f]{64})?( AS \w+)?$", base) for base in of["FROM"]), (
        "a version, not latest"
    )
    assert of["USER"] and of["USER"][-1] not in {"root", "0"} and instructions[-1][0] == "USER"
    assert (
        not of["ADD"]
        and not [x for x in of["ENV"] + of["ARG"] if SECRET_NAME.search(x)]
        and not [c for c in of["COPY"] if c.startswith(". ")]
    )
    for run in of["RUN"]:
        assert "sudo" not in run and "curl" not in run
        if "apt-get install" in run:
            assert "--no-install-recommends" in run and "rm -rf /var/lib/apt/lists/*" in run
        for command in re.split(r"&&|;", run):
            if "pip install" in command and "/dist/" not in command:
                assert "--require-hashes" in command and ("--no-cache" in command)


@CLOSED
def test_image_has_a_lock_of_its_own_without_development_tools(happened: Callable[[str], None]) -> None:
    pins = {name: dict(_pins(ROOT / name)) for name in ("requirements.lock", "requirements-runtime.lock")}
    whole, image = pins["requirements.lock"], pins["requirements-runtime.lock"]
    assert {name: version for name, version in image.items() if whole.get(name) != version} == {}
    assert not set(DEV_TOOLS) & set(image) and "requirements-runtime.lock" in DOCKERFILE
    text = (ROOT / "requirements-runtime.lock").read_text()
    assert "://" not in text and all("--hash=sha256:" in block for block in re.split(r"\n(?=\S)", text) if "==" in block.split("\n")[0])
    happened("the image has no development tool")


def _pins(path: Path) -> list[tuple[str, str]]:
    return re.findall(r"^([a-z0-9._-]+)(?:\[\w+\])?==(\S+)", path.read_text(), re.MULTILINE)
