"""Connections of a scheduler go before sensors.toml and the environment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlids import pipeline
from mlids.errors import SettingsError
from mlids.settings import load_settings
from mlids.settings.connections import Connected, use


@pytest.fixture(autouse=True)
def no_connections_after() -> Iterator[None]:
    yield
    use(Connected())


def test_connections_go_first_and_what_they_leave_out_stays(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.mkdir()
    (home / "sensors.toml").write_text(
        '[[sensor]]\nname = "hq"\nuser = "ids"\npassword = "old"\nzone = "Asia/Tokyo"\n[[sensor]]\nname = "lab"\nhost = "lab"\n'
    )
    for variable in ("ES_URL", "MLIDS_MLFLOW_TRACKING_URI"):
        monkeypatch.setenv(variable, "https://of-the-environment")
    held: dict[str, dict[str, Any]] = {
        "mlids_sensor_hq": {"host": "10.0.0.1", "port": 2222, "extra": {"key_file": "/k"}},
        "mlids_elastic": {"host": "https://es.example/path", "port": 9200, "password": "key", "extra": {"ca_file": "/ca.pem"}},
        "mlids_mlflow": {"host": "ml.example", "login": "a@b", "password": "p/@:"},
    }
    assert pipeline.use_connections(lambda name: held.get(name)) == list(held)
    settings = load_settings()
    hq, lab = settings.sensors()
    assert (hq.host, hq.port, hq.user, hq.zone, hq.key_file, hq.password) == ("10.0.0.1", 2222, "ids", "Asia/Tokyo", Path("/k"), None)
    assert (lab.host, lab.port) == ("lab", 22)
    assert settings.elastic_url == "https://es.example:9200/path" and settings.elastic_ca_file == Path("/ca.pem")
    assert settings.elastic_api_key is not None and settings.elastic_api_key.get_secret_value() == "key"
    assert settings.tracking_uri == "https://a%40b:p%2F%40%3A@ml.example"
    assert "p%2F" not in str(pipeline.configuration()) and "'key'" not in str(pipeline.configuration())
    assert pipeline.use_connections(lambda name: None) == []
    assert load_settings().elastic_url == "https://of-the-environment"


@pytest.mark.parametrize("held", [{"host": ""}, {"host": "ftp://x"}, {"host": "https://x:port"}, {"schema": "file", "host": "/etc"}])
def test_a_connection_that_names_no_server_is_named(home: Path, held: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="the connection mlids_mlflow"):
        pipeline.use_connections(lambda name: held if name == "mlids_mlflow" else None)
