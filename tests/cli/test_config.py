"""`mlids config`, and what every command says about a home that is not there and settings that are wrong."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from mlids.settings import Settings
from tests.conftest import ROOT


def mlids(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mlids.cli", *arguments],
        cwd=ROOT, env=os.environ | {"COLUMNS": "80"} | environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    "command",
    [("alerts",), ("alerts", "show", "a"), ("cases",), ("status",), ("report", "--start", "2026-11-01", "--end", "2026-11-02"), ("housekeeping",)],
    ids=" ".join,
)  # fmt: skip
def test_command_that_reads_makes_no_home(home: Path, command: tuple[str, ...]) -> None:
    done = mlids(*command)
    assert done.returncode == 2 and not home.exists()
    assert done.stderr.startswith(f"mlids: no home of mlids at {home}: there is no such folder (set by MLIDS_HOME)"), done.stderr
    assert "`mlids config init`" in done.stderr and done.stdout == ""


def test_doctor_without_a_home_says_so_and_makes_none(home: Path) -> None:
    done = mlids("doctor")
    assert done.returncode == 1 and "no home of mlids at" in done.stdout and not home.exists()


def test_folder_that_is_no_home_is_not_taken_for_one(home: Path) -> None:
    home.mkdir()
    done = mlids("alerts")
    assert done.returncode == 2 and "this folder has no database, sensors.toml or lake" in done.stderr and not list(home.iterdir())


def test_help_needs_no_home(home: Path) -> None:
    assert mlids("alerts", "show", "--help").returncode == 0 and not home.exists()


def test_init_writes_files_that_set_nothing_and_overwrites_none(home: Path) -> None:
    assert mlids("config", "init").stdout.count(": written") == 2
    assert tomllib.loads((home / "settings.toml").read_text()) == tomllib.loads((home / "sensors.toml").read_text()) == {}
    assert all(p.stat().st_mode & 0o777 == 0o600 for p in home.iterdir())
    (home / "sensors.toml").write_text("# mine\n")
    assert mlids("config", "init").stdout.count("is there already and stays") == 2
    assert (home / "sensors.toml").read_text() == "# mine\n"
    assert mlids("alerts").returncode == 0, "it is a home now"


def test_lines_of_init_are_valid_when_they_are_set(home: Path) -> None:
    mlids("config", "init")
    for path in home.iterdir():
        path.write_text(re.sub(r"^#(?=\w+ = |\[\[)", "", path.read_text(), flags=re.MULTILINE))
    sensors = tomllib.loads((home / "sensors.toml").read_text())["sensor"]
    assert [s["name"] for s in sensors] == ["hq"]
    assert len(tomllib.loads((home / "settings.toml").read_text())) == len(Settings.model_fields) - 2
    done = mlids("config", "check")
    assert (
        done.stderr == f"mlids: {home}/sensors.toml: sensor hq: key_file: /etc/mlids/sensor_key does not exist\n" and done.returncode == 2
    )


def test_show_says_where_a_setting_is_set_and_hides_secrets(home: Path, tmp_path: Path) -> None:
    home.mkdir()
    (home / "settings.toml").write_text("# a comment\ntrain_days = 9\nlook_back_days = 3\n")
    (home / "sensors.toml").write_text('[[sensor]]\nname = "hq"\nhost = "zeek.example"\npassword = "hush"\n')
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "mlids_bundle_key").write_text("a key of a model that is long enough")
    given = {"MLIDS_SECRETS_DIR": str(secrets), "MLIDS_TRAIN_DAYS": "8", "MLIDS_DATABASE_URL": "postgresql://u:hush@db/mlids"}
    facts = json.loads(mlids("config", "show", "--json", **given).stdout)
    found = {s["name"]: (s["value"], s["source"]) for s in facts["settings"]}
    assert found["train_days"] == (8, "MLIDS_TRAIN_DAYS") and found["look_back_days"] == (3, f"{home}/settings.toml:3")
    assert found["bundle_key"] == ("(hidden)", f"{secrets}/mlids_bundle_key") and found["keep_lake_days"] == (180, "default")
    assert found["database_url"] == ("postgresql://u:***@db/mlids", "MLIDS_DATABASE_URL")
    shown = mlids("config", "show", **given).stdout
    first, *table = shown.splitlines()
    assert first == f"home: {home}", "a path is never broken, however long"
    assert "hush" not in shown and "sensor hq" in shown and max(map(len, table)) <= 80
    assert "keep_lake_days" not in mlids("config", "show", "--set", **given).stdout


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"MLIDS_HOEM": "x"}, ["unknown variable 'MLIDS_HOEM'; did you mean MLIDS_HOME? Allowed: MLIDS_HOME, "]),
        ({"MLIDS_METRICS_PORT": "70000"}, ["metrics_port: Input should be less than or equal to 65535"]),
        ({"MLIDS_NETWORKS": "10.0.0.0/8,10.0.0.0/33"}, ["networks: '10.0.0.0/33' is not a network"]),
        ({"MLIDS_METRICS_PORT": "x", "MLIDS_TRAIN_DAYS": "0", "MLIDS_X": ""}, ["metrics_port: ", "train_days: ", "'MLIDS_X'"]),
        ({"MLIDS_SENSORS_FILE": "/nowhere.toml"}, ["MLIDS_SENSORS_FILE: sensors_file: /nowhere.toml does not exist"]),
        ({"MLIDS_SINKS": "elasticsearch"}, ["MLIDS_ELASTIC_URL must be set"]),
    ],
)
def test_check_names_every_fault(home: Path, variables: dict[str, str], words: list[str]) -> None:
    done = mlids("config", "check", **variables)
    assert done.returncode == 2 and all(w in done.stderr for w in words), done.stderr
    assert len(done.stderr.splitlines()) == len(words)


def test_every_command_refuses_a_misspelt_variable(home: Path) -> None:
    done = mlids("alerts", MLIDS_LOOKBACK_DAYS="3")
    assert done.returncode == 2 and "did you mean MLIDS_LOOK_BACK_DAYS?" in done.stderr


def test_a_negative_threshold_of_mldetection_is_explained_and_not_used(home: Path) -> None:
    done = mlids("config", "check", IDS_THRESHOLD="-0.15")
    assert done.returncode == 0 and "Note: IDS_THRESHOLD is -0.15, on MLDetection's scale" in done.stdout
    facts = json.loads(mlids("config", "show", "--json", IDS_THRESHOLD="-0.15").stdout)
    assert [s["value"] for s in facts["settings"] if s["name"] == "threshold"] == [None]
