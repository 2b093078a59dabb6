"""The MLflow server that runs and model versions are kept on: its client, made when it is first needed, and its errors."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlids.errors import StoreError
from mlids.files import open_private
from mlids.text import short

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException


class MlflowServer:
    """One tracking server, or a SQLite file in its place. Nothing is imported or opened before the client is used."""

    def __init__(self, uri: str) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"  # the URL of a run holds the password of the tracking URI
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
        self.uri = uri
        self.database = Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None

    @cached_property
    def client(self) -> MlflowClient:
        """The client, made at its first use: it takes two seconds to import, and four more to make its database."""
        from mlflow import MlflowClient

        logging.getLogger("mlflow").setLevel(logging.WARNING)
        logging.getLogger("alembic").setLevel(logging.WARNING)
        if self.database is not None:
            self.database.parent.mkdir(parents=True, exist_ok=True)
            os.close(open_private(str(self.database), os.O_RDWR | os.O_CREAT))
        return MlflowClient(self.uri, self.uri)

    @cached_property
    def error(self) -> type[MlflowException]:
        """What MLflow raises."""
        from mlflow.exceptions import MlflowException

        return MlflowException

    def is_empty(self) -> bool:
        """Return whether MLflow's database is a file that nobody has made yet."""
        return self.database is not None and not self.database.exists()

    def select(self) -> None:
        """Set this server for mlflow's module functions: they use the one that was set last."""
        import mlflow

        mlflow.set_tracking_uri(self.uri)
        mlflow.set_registry_uri(self.uri)

    def pages(self, search: Callable[..., Any], *args: Any) -> Iterator[Any]:
        """Yield every page of a search."""
        token = None
        while True:
            page = search(*args, page_token=token)
            yield page
            token = page.token
            if not token:
                return

    @contextmanager
    def answers(self) -> Iterator[None]:
        """Raise StoreError when MLflow does not answer, or its artifacts cannot be reached."""
        try:
            yield
        except (self.error, OSError) as error:
            raise StoreError(f"MLflow at {self.uri}: {short(error, 200)}") from error
