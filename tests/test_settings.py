"""Settings: where they come from, what is refused with file and line, and the environment of MLDetection."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlids.errors import SettingsError
from mlids.settings import load_settings, source_of


def _sensors(home: Path, text: str) -> Path:
    home.mkdir(exist_ok=True)
    path = home / "sensors.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ('\n[sensor]\nname = "a"\n', 2, r"\[sensor\] is one table; begin each sensor with \[\[sensor\]\], in double brackets"),
        ('[[sensors]]\nname = "a"\n', 1, "unknown key 'sensors'; did you mean sensor"),
        ('[[sensor]]\nname = "a"\nhost = "x"\n\n[[sensor]]\nname = "b"\nhots = "x"\n', 7, "unknown key 'hots'; did you mean host. Allowed: name, kind"),
        ('[[sensor]]\nname = "a"\nhost = "x"\nport = 70000\n', 4, "sensor a: port: Input should be less than or equal to 65535"),
        ('[[sensor]]\nname = "a"\nhost = "x"\nzone = "Mars"\n', 4, "sensor a: zone: 'Mars' is not a time zone"),
        ('# one\n[[sensor]]\nname = "a"\n', 2, "sensor a: an sftp sensor needs `host`"),
        ('[[sensor]]\nname = "a"\nhost = "x"\n[[sensor]]\nname = "a"\nhost = "y"\n', 5, "two sensors share the name 'a'"),
        ("sensor = 3\n", 1, "`sensor` is not a list of tables"),
    ],
)  # fmt: skip
def test_fault_of_sensors_has_file_and_line(home: Path, text: str, line: int, words: str) -> None:
    path = _sensors(home, text)
    with pytest.raises(SettingsError, match=rf"{path}:{line}: {words}"):
        load_settings().sensors()


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("train_dayz = 3\n", 1, "unknown setting 'train_dayz'; did you mean train_days. Allowed: sensors_file"),
        ("# c\ntrain_days = 0\n", 2, "train_days: Input should be greater"),
        ('networks = ["10.0.0.0/8", "ten"]\n', 1, "networks: 'ten' is not a network"),
        ('home = "/x"\n', 1, "home says where this file is; set MLIDS_HOME instead"),
    ],
)
def test_fault_of_settings_file_has_file_and_line(home: Path, text: str, line: int, words: str) -> None:
    home.mkdir()
    (home / "settings.toml").write_text(text)
    with pytest.raises(SettingsError, match=rf"settings.toml:{line}: {words}"):
        load_settings()


def test_variable_goes_before_the_file_and_an_argument_before_both(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.mkdir()
    (home / "settings.toml").write_text('threshold = 61.5\nnetworks = ["10.0.0.0/8"]\nelastic_url = "http://file"\nmodel_name = ""\n')
    settings = load_settings()
    assert (settings.threshold, settings.networks, settings.elastic_url) == (61.5, ("10.0.0.0/8",), "http://file")
    assert settings.model_name == "mlids-conn", "empty is unset"
    monkeypatch.setenv("IDS_THRESHOLD", "70")
    monkeypatch.setenv("MLIDS_NETWORKS", "192.0.2.0/24")
    settings = load_settings(elastic_url="http://argument")
    assert (settings.threshold, settings.networks, settings.elastic_url) == (70.0, ("192.0.2.0/24",), "http://argument")
    assert source_of("threshold", settings) == "IDS_THRESHOLD" and source_of("elastic_url", settings) == f"{home}/settings.toml:3"


def test_negative_threshold_of_mldetection_leaves_the_others_in_force(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDS_THRESHOLD", "-0.2")
    assert load_settings().threshold is None and load_settings(threshold=40.0).threshold == 40.0
    monkeypatch.setenv("MLIDS_THRESHOLD", "70")
    assert load_settings().threshold == 70.0


def test_environment_of_mldetection_describes_a_sensor_and_elasticsearch(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        "ZEEK_HOST": "zeek.example",
        "ZEEK_USER": "ann",
        "ZEEK_PASS": "hush",
        "ZEEK_REMOTE_ROOT": "/logs",
        "ES_URL": "https://es.example:9200",
    }
    for name, value in (given | {"ES_API_KEY": "key", "REQUESTS_CA_BUNDLE": "/ca.pem"}).items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    (sensor,) = settings.sensors()
    assert (sensor.name, sensor.kind, sensor.host, sensor.user, sensor.logs) == ("zeek", "sftp", "zeek.example", "ann", "/logs")
    assert sensor.password is not None and sensor.password.get_secret_value() == "hush"
    assert (settings.elastic_url, str(settings.elastic_ca_file)) == ("https://es.example:9200", "/ca.pem")
    assert settings.sinks == ("sqlite", "jsonl", "elasticsearch") and load_settings(sinks=("jsonl",)).sinks == ("jsonl",)
    _sensors(home, '[[sensor]]\nname = "hq"\nhost = "x"\n')
    assert [s.name for s in load_settings().sensors()] == ["hq"], "sensors.toml goes first"


def test_only_a_key_of_its_own_sends_alerts_to_elasticsearch(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ES_URL", "https://es.example:9200")
    assert load_settings().sinks == ("sqlite", "jsonl")


def test_variables_of_a_sink_of_another_package_are_left_to_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLIDS_WEBHOOK_URL", "http://hook")
    with pytest.raises(SettingsError, match="unknown variable 'MLIDS_WEBHOOK_URL'"):
        load_settings()
    monkeypatch.setenv("MLIDS_SINKS", "jsonl,webhook")
    assert load_settings().sinks == ("jsonl", "webhook")
