"""The plugin's folder is on the path, as Airflow puts it there; one Airflow serves the pages of all tests."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT, copy_home
from tests.support.airflow_pages import Server, serve, with_two_models

sys.path.insert(0, str(ROOT / "plugins"))


@pytest.fixture(scope="package")
def server(trained_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An Airflow over a home with two lake days, two models and a report."""
    home = copy_home(trained_home, tmp_path_factory.mktemp("pages") / "home")
    with_two_models(home)
    with serve(home) as found:
        yield found
