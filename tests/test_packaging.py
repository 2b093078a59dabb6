"""The wheel installs alone and scores a log; the compose file fits the compose specification."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import CONN_HEADER, ROOT, conn_line, missing


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", out], cwd=ROOT, check=True, capture_output=True)
    return next(out.glob("mlids-*.whl"))


def test_the_wheel_alone_scores_a_log(wheel: Path, tmp_path: Path) -> None:
    uv = ROOT / ".tools" / "uv" / "bin" / "uv"
    if not uv.exists():
        missing("uv", "make setup")
    venv = tmp_path / "venv"
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, venv], check=True)
    installed = subprocess.run(
        [uv, "pip", "install", "-q", "--python", venv / "bin" / "python", "--constraint", ROOT / "requirements.lock", wheel],
        check=False,
        capture_output=True,
        text=True,
    )
    assert installed.returncode == 0, installed.stderr
    names = subprocess.run(
        [uv, "pip", "list", "-q", "--python", venv / "bin" / "python"], check=True, capture_output=True, text=True
    ).stdout
    assert "apache-airflow" not in names and "evidently" not in names and "mlflow-skinny" in names and "\nmlflow " not in names
    log = tmp_path / "conn.log"
    log.write_text(CONN_HEADER + "".join(conn_line(f"C{n}", orig_bytes=str(n)) for n in range(50)))
    done = subprocess.run(
        [venv / "bin" / "mlids", "score", log, "--format", "json"], check=True, capture_output=True, text=True, cwd=tmp_path
    )
    assert json.loads(done.stdout)["rows"] == 50
    demo = subprocess.run([venv / "bin" / "mlids", "demo"], check=False, capture_output=True, text=True, cwd=tmp_path)
    assert demo.returncode == 5 and "mlids[pipeline" in demo.stderr and "Traceback" not in demo.stderr


def test_the_wheel_carries_what_the_stack_needs(wheel: Path) -> None:
    import zipfile

    names = set(zipfile.ZipFile(wheel).namelist())
    assert {
        "mlids/py.typed",
        "mlids/detectors/reference_model.zst",
        "mlids/detectors/reference_model.sha256",
        "mlids/_site/dags/zeek_ingest.py",
        "mlids/_site/plugins/mlids_airflow/overview.html.j2",
        "mlids/_site/reports_templates/weekly.html.j2",
        "mlids/_site/deploy/kibana/mlids.ndjson",
        "mlids/_site/deploy/kibana/rule.json",
        "mlids/alerts/stores/migrations/env.py",
        "mlids/alerts/stores/migrations/versions/v0001_tables_before_migrations.py",
    } <= names


def test_the_version_has_one_source(wheel: Path) -> None:
    import tomllib

    import yaml

    from mlids import __version__

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "version" not in project and project["dynamic"] == ["version"]
    assert wheel.name.startswith(f"mlids-{__version__}-")
    scorer = yaml.safe_load((ROOT / "docker-compose.airflow.yml").read_text())["services"]["scorer"]
    assert scorer["image"] == f"mlids:{__version__}"


def test_pre_commit_runs_what_make_check_runs() -> None:
    import re

    import yaml

    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    recipe = re.search(r"^check:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe is not None
    commands = [c.strip().replace("$(BIN)", ".venv/bin") for c in recipe.group(1).splitlines()]
    assert [h["entry"] for h in hooks] == [c for c in commands if not c.startswith("@")]


def test_compose_file_fits_the_specification() -> None:
    import yaml

    path = ROOT / "docker-compose.airflow.yml"
    check = Path(sys.executable).with_name("check-jsonschema")
    done = subprocess.run([check, "--builtin-schema", "vendor.compose-spec", path], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    services = yaml.safe_load(path.read_text())["services"]
    wanted = {
        "postgres",
        "redis",
        "airflow-apiserver",
        "airflow-scheduler",
        "airflow-dag-processor",
        "airflow-triggerer",
        "airflow-worker",
        "mlflow",
        "elasticsearch",
        "kibana",
        "scorer",
    }
    assert wanted <= set(services)
    for name, service in services.items():
        for port in service.get("ports", []):
            assert str(port).startswith("127.0.0.1:"), f"{name} listens on more than loopback"


def test_lock_names_no_registry_host() -> None:
    text = (ROOT / "requirements.lock").read_text()
    lines = [ln for ln in text.splitlines() if not ln.startswith("#")]
    assert "://" not in text and "--hash=sha256:" in text and not [ln for ln in lines if "index-url" in ln]
