"""MLflow of the local stack asks for a login: who has none neither puts a file nor moves an alias."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlids.demo.stack import Stack
from mlids.settings import load_settings
from mlids.training.registry import Registry
from mlids.training.seal import key_from_file
from tests.hostile.conftest import Field
from tests.support.processes import arguments, family


@pytest.fixture
def server(home: Path) -> Iterator[Stack]:
    stack = Stack(home.with_name("server"))
    stack.start_mlflow()
    try:
        end = time.monotonic() + 90
        while not stack.mlflow_answers():
            stack.check()
            assert time.monotonic() < end, (stack.home / "logs" / "mlflow.log").read_text()
            time.sleep(0.3)
        yield stack
    finally:
        stack.stop()


def answer(url: str, method: str, body: bytes = b"{}") -> int:
    """Return the status of a request without a login."""
    request = urllib.request.Request(url, data=body, method=method, headers={"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as got:
            return int(got.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.attack(
    row=4,
    attack="any local user puts another model into MLflow, or moves an alias",
    held="MLflow's own login (basic-auth) in the demo and the compose file",
)
def test_mlflow_takes_nothing_without_the_login(server: Stack, field: Field, happened: Callable[[str], None]) -> None:
    registry = Registry(server.tracking_uri, "mlids-conn", key_from_file(server.home / "bundle.key", make=True))
    version = registry.log_training(field.trained).version
    registry.set_alias("production", version)
    assert registry.load("production").version == version, "with the login it works, artifacts included"
    home_alone = Registry(load_settings(home=server.home).tracking_uri, "mlids-conn", key_from_file(server.home / "bundle.key", make=False))
    assert home_alone.load("production").version == version, "MLIDS_HOME is enough to reach its MLflow, without the server"
    api = f"{server.mlflow_url}/api/2.0"
    put = f"{api}/mlflow-artifacts/artifacts/1/models/m/artifacts/model.onnx"
    alias = json.dumps({"name": "mlids-conn", "alias": "production", "version": "1"}).encode()
    refused = {
        "PUT model.onnx": answer(put, "PUT", b"evil"), "move the alias": answer(f"{api}/mlflow/registered-models/alias", "POST", alias),
        "tag": answer(f"{api}/mlflow/model-versions/set-tag", "POST"), "new version": answer(f"{api}/mlflow/model-versions/create", "POST"),
        "own user": answer(f"{api}/mlflow/users/create", "POST", b'{"username": "eve", "password": "eve-eve-eve-eve"}'),
    }  # fmt: skip
    assert set(refused.values()) == {401}, refused
    seen = [arguments(p) for child in server.children for p in family(child.process.pid)]
    assert seen and server.secrets["mlflow"] not in str(seen)
    log = (server.home / "logs" / "mlflow.log").read_text()
    assert server.secrets["mlflow"] not in log
    assert load_settings().home == field.home
    happened("401 for every write without the login")
