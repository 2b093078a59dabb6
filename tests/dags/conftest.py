"""Airflow for DAG tests: one process with a home and database of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.airflow_runs import AirflowProcess, airflow_process


@pytest.fixture(scope="session")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowProcess]:
    with airflow_process(tmp_path_factory.mktemp("airflow")) as process:
        yield process
