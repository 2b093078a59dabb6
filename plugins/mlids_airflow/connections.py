"""Airflow's connections for the pipeline: addresses and secrets of sensors, Elasticsearch and MLflow."""

from types import ModuleType
from typing import Any

from airflow.exceptions import AirflowNotFoundException
from airflow.sdk import BaseHook
from airflow.sdk.log import mask_secret


def connected() -> ModuleType:
    """Return the pipeline, which takes what the connections have before sensors.toml and the environment.

    Airflow masks the secrets of both in the task's log from then on, also in tracebacks of other packages.
    """
    from mlids import pipeline

    pipeline.use_connections(_find)
    for secret in pipeline.secrets_in_use():
        mask_secret(secret)
    return pipeline


def _find(name: str) -> dict[str, Any] | None:
    try:
        held = BaseHook.get_connection(name)
    except AirflowNotFoundException:
        return None
    return {
        "host": held.host, "port": held.port, "login": held.login, "password": held.password, "schema": held.schema,
        "extra": held.extra_dejson,
    }  # fmt: skip
