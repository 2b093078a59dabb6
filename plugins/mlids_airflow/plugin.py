"""Registers the page with Airflow, and what makes the pool of the pulls."""

from airflow.plugins_manager import AirflowPlugin

from mlids_airflow import pool
from mlids_airflow.page import app


class MlidsPlugin(AirflowPlugin):
    """Adds "mlids" to the UI's navigation."""

    name = "mlids"
    listeners = [pool]
    fastapi_apps = [{"app": app, "url_prefix": "/mlids", "name": "mlids"}]
    external_views = [
        {"name": "mlids", "href": "/mlids/", "url_route": "mlids", "destination": "nav", "category": "browse"},
    ]
