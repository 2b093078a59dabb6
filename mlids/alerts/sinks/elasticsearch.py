"""Elasticsearch: one index per day of the alerts' own dates, `MLIDS_ELASTIC_PREFIX-YYYY.MM.DD`."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlids.alerts.elastic.client import Tls, connect, lacking, tls_of, unanswered, unusable
from mlids.alerts.elastic.install import template_state
from mlids.alerts.elastic.templates import health_prefix
from mlids.alerts.sinks.base import Document, Refused
from mlids.errors import DeniedError, SettingsError, StoreError
from mlids.settings import Settings
from mlids.text import short

log = logging.getLogger(__name__)

TIMEOUT_S = 10
BULK_DOCUMENTS = 200
# Errors of a document itself. Every other one is a state of the index or the cluster that passes or that a person ends.
_OF_THE_DOCUMENT = {
    "document_parsing_exception",
    "mapper_parsing_exception",
    "strict_dynamic_mapping_exception",
    "fail_processor_exception",
}
_ARGUMENT = "illegal_argument_exception"  # an ingest pipeline's complaint about a document; these two are states:
_STATES = ("no write index", "does not exist")
_MEND = "`mlids elastic install --new-key` makes one that may write alerts"


def open_sink(settings: Settings) -> ElasticSink:
    """Return the sink that the settings describe. Raises SettingsError without a URL, or with one or a CA file that cannot be used."""
    if not settings.elastic_url:
        raise SettingsError("alerts go to Elasticsearch, so MLIDS_ELASTIC_URL must be set")
    key = settings.elastic_api_key
    try:
        return ElasticSink(
            settings.elastic_url, api_key=key.get_secret_value() if key else None, tls=tls_of(settings), prefix=settings.elastic_prefix
        )
    except (ValueError, OSError) as error:
        raise unusable(error) from error


@dataclass(frozen=True)
class Added:
    """How many documents were created, how many were there already, and those that were refused for good."""

    created: int
    there: int
    refused: list[Refused]


class ElasticSink:
    """One index per day, `PREFIX-YYYY.MM.DD`. The alert's id is the document's `_id`, so that a replay overwrites.

    With a key that may create documents but not replace them (`create_doc`), an alert stays as it was first written.
    Templates are not its business: `mlids elastic install` puts them there, with an admin's credential.
    """

    name = "elasticsearch"

    def __init__(self, url: str, *, api_key: str | None = None, tls: Tls | None = None, prefix: str = "mlids") -> None:
        login = {"api_key": api_key} if api_key else {}
        self._client = connect(url, tls or Tls(), TIMEOUT_S, **login)  # it does not try again: delivery does, and can be stopped
        self._url, self._prefix = url, prefix
        self._operation = "index"

    def write(self, documents: Sequence[Document]) -> list[Refused]:
        """Index documents under their ids; return those that cannot be indexed as they are.

        Raises DeniedError when the key is not accepted or lacks a privilege, and StoreError in every state that may pass: the
        server is down or busy, an index is blocked, closed or cannot be created.
        """
        return self._put(documents, self._prefix)

    def write_health(self, documents: Sequence[Document]) -> list[Refused]:
        """Index documents of pipeline health, in indices of their own: `PREFIX.health-YYYY.MM.DD`. Raises what `write` does."""
        return self._put(documents, health_prefix(self._prefix))

    def _put(self, documents: Sequence[Document], prefix: str) -> list[Refused]:
        by_id = {d["event"]["id"]: d for d in documents}
        errors = self._bulk(by_id, self._operation, prefix)
        if self._operation == "index" and any("op_type/index" in _reason(e) for e in errors):
            log.warning("Elasticsearch %s: the key may not replace documents: counts of stored alerts do not grow there", self._url)
            self._operation = "create"
            errors = self._bulk(by_id, self._operation, prefix)
        return self._refused(by_id, [e for e in errors if not self._is_there(e, self._operation)], prefix)

    def add(self, documents: Sequence[Document]) -> Added:
        """Create the documents that are not there, and leave those that are as they are. Raises what `write` does."""
        by_id = {d["event"]["id"]: d for d in documents}
        errors = self._bulk(by_id, "create", self._prefix)
        left = [e for e in errors if not self._is_there(e, "create")]
        return Added(len(by_id) - len(errors), len(errors) - len(left), self._refused(by_id, left, self._prefix))

    @staticmethod
    def _is_there(error: Mapping[str, Any], operation: str) -> bool:
        return operation == "create" and error.get("status") == 409

    def _refused(self, by_id: Mapping[str, Document], errors: Sequence[Mapping[str, Any]], prefix: str) -> list[Refused]:
        """Return the documents of errors that are of the document itself. Raises DeniedError or StoreError for any other."""
        denied = [e for e in errors if _type(e) == "security_exception"]
        if denied:
            raise self._denied(_reason(denied[0]), prefix)
        passing = [e for e in errors if not _is_of_the_document(e)]
        if passing:
            raise StoreError(
                f"Elasticsearch {self._url} does not take {len(passing)} of {len(by_id)} alerts now; first: {short(passing[0], 300)}"
            )
        return [Refused(by_id[str(e["_id"])], short(e.get("error"), 500)) for e in errors]

    def check(self) -> str:
        """Return what the key may do, for `mlids doctor`. Raises DeniedError when it may not write, StoreError without an answer."""
        from elasticsearch import ApiError, TransportError

        pattern = f"{self._prefix}-*"
        wanted = [{"names": [pattern], "privileges": ["create_doc", "index", "auto_configure", "create_index"]}]
        try:
            found = self._client.security.has_privileges(index=wanted)
        except ApiError as error:
            if error.meta.status in (401, 403):
                raise self._refusal(error) from error
            return "answers, without security"
        except TransportError as error:
            raise unanswered(self._url, error) from error
        may = found["index"][pattern]
        missing = [] if may["create_doc"] or may["index"] else ["index"]
        missing += [] if may["auto_configure"] or may["create_index"] else ["auto_configure"]
        if missing:
            raise DeniedError(f"Elasticsearch {self._url}: the key lacks {' and '.join(missing)} on {pattern}; {_MEND}")
        notes = "" if may["index"] else "; counts of stored alerts do not grow (create_doc without index)"
        return f"may write to {pattern}{notes}"

    def close(self) -> None:
        """Close the client's connections."""
        self._client.close()

    def templates(self) -> tuple[bool, str]:
        """Return whether the templates are there in this version, and a sentence, for `mlids doctor`. Raises StoreError without an answer."""
        return template_state(self._client, self._url, self._prefix)

    def _bulk(self, by_id: Mapping[str, Document], operation: str, prefix: str) -> list[dict[str, Any]]:
        """Write the documents by `index` or `create` to the indices of a prefix; return the errors of those that were not taken."""
        from elasticsearch import ApiError, TransportError, helpers

        actions = [
            {"_op_type": operation, "_index": f"{prefix}-{d['ts'][:10].replace('-', '.')}", "_id": i, "_source": d}
            for i, d in by_id.items()
        ]
        try:
            _, errors = helpers.bulk(self._client, actions, chunk_size=BULK_DOCUMENTS, raise_on_error=False)
        except ApiError as error:
            raise self._refusal(error) from error
        except TransportError as error:
            raise unanswered(self._url, error, "does not take alerts") from error
        return [next(iter(e.values())) for e in errors]  # type: ignore[union-attr]

    def _refusal(self, error: Any) -> StoreError:
        """Return the error for a request that was refused whole."""
        if error.meta.status in (401, 403) and "cluster_block_exception" not in str(error):
            return self._denied(str(error))
        return StoreError(f"Elasticsearch {self._url} does not take alerts: {short(error, 300)}")

    def _denied(self, reason: str, prefix: str = "") -> DeniedError:
        lack = lacking(reason, f"{prefix or self._prefix}-*")
        if not lack:
            return DeniedError(
                f"Elasticsearch {self._url} does not accept the key: {short(reason, 300)}; check MLIDS_ELASTIC_API_KEY, or {_MEND}"
            )
        return DeniedError(f"Elasticsearch {self._url}: the key lacks {lack}; {_MEND}")


def _type(error: Mapping[str, Any]) -> str:
    cause = error.get("error")
    return str(cause.get("type")) if isinstance(cause, Mapping) else ""


def _reason(error: Mapping[str, Any]) -> str:
    cause = error.get("error")
    return str(cause.get("reason")) if isinstance(cause, Mapping) else str(cause)


def _is_of_the_document(error: Mapping[str, Any]) -> bool:
    kind = _type(error)
    return kind in _OF_THE_DOCUMENT or (kind == _ARGUMENT and not any(state in _reason(error) for state in _STATES))
