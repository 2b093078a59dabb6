"""Elasticsearch: one index per day of the alerts' own dates, `MLIDS_ELASTIC_PREFIX-YYYY.MM.DD`."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

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
_GRANTED_BY = re.compile(r"action \[(\S+?)\].*?granted by the (index|cluster) privileges \[([^]]+)\]", re.DOTALL)
MAPPINGS: dict[str, Any] = {
    "dynamic": False,
    "properties": {
        "ts": {"type": "date"},
        "@timestamp": {"type": "date"},
        "score": {"type": "float"},
        "src": {"type": "ip", "ignore_malformed": True},
        "dst": {"type": "ip", "ignore_malformed": True},
        "message": {"type": "text"},
        "event": {"properties": {n: {"type": "keyword"} for n in ("kind", "module", "dataset", "id")} | {"risk_score": {"type": "float"}, "start": {"type": "date"}, "end": {"type": "date"}}},
        "rule": {"properties": {"name": {"type": "keyword"}, "description": {"type": "keyword"}}},
        "source": {"properties": {"ip": {"type": "ip", "ignore_malformed": True}, "address": {"type": "keyword"}, "port": {"type": "long"}}},
        "destination": {"properties": {"ip": {"type": "ip", "ignore_malformed": True}, "address": {"type": "keyword"}, "port": {"type": "long"}}},
        "network": {"properties": {"transport": {"type": "keyword"}, "protocol": {"type": "keyword"}}},
        "observer": {"properties": {n: {"type": "keyword"} for n in ("name", "product", "type")}},
        "threat": {"properties": {"framework": {"type": "keyword"}, "technique": {"properties": {"id": {"type": "keyword"}}}}},
        "mlids": {
            "properties": {
                "kind": {"type": "keyword"}, "count": {"type": "long"}, "uids": {"type": "keyword"}, "reasons": {"type": "text"},
                "anomaly_score": {"type": "float"}, "attack_probability": {"type": "float"}, "attack_class": {"type": "keyword"},
                "model_version": {"type": "keyword"},
            }
        },
    },
}  # fmt: skip


def open_sink(settings: Settings) -> ElasticSink:
    """Return the sink that the settings describe. Raises SettingsError without a URL, or with one or a CA file that cannot be used."""
    if not settings.elastic_url:
        raise SettingsError("sinks name elasticsearch, so MLIDS_ELASTIC_URL must be set")
    key = settings.elastic_api_key
    try:
        return ElasticSink(
            settings.elastic_url, api_key=key.get_secret_value() if key else None,
            ca_file=settings.elastic_ca_file, prefix=settings.elastic_prefix,
        )  # fmt: skip
    except (ValueError, OSError) as error:
        raise SettingsError(f"MLIDS_ELASTIC_URL or MLIDS_ELASTIC_CA_FILE cannot be used: {short(error, 300)}") from error


class ElasticSink:
    """One index per day, `PREFIX-YYYY.MM.DD`. The alert's id is the document's `_id`, so that a replay overwrites.

    With a key that may create documents but not replace them (`create_doc`), an alert stays as it was first written.
    """

    name = "elasticsearch"

    def __init__(self, url: str, *, api_key: str | None = None, ca_file: Path | None = None, prefix: str = "mlids") -> None:
        from elasticsearch import Elasticsearch

        options: dict[str, Any] = {"request_timeout": TIMEOUT_S, "max_retries": 0}  # delivery tries again, and can be stopped
        if api_key:
            options["api_key"] = api_key
        if ca_file:
            options["ca_certs"] = str(ca_file)
        self._client = Elasticsearch(url, **options)
        self._url, self._prefix = url, prefix
        self._template_tried = False
        self._operation = "index"

    def write(self, documents: Sequence[Document]) -> list[Refused]:
        """Index documents under their ids; return those that cannot be indexed as they are.

        Raises DeniedError when the key is not accepted or lacks a privilege, and StoreError in every state that may pass: the
        server is down or busy, an index is blocked, closed or cannot be created.
        """
        if not self._template_tried:
            self._install_template()
        by_id = {d["event"]["id"]: d for d in documents}
        errors = self._bulk(by_id)
        if self._operation == "index" and any("op_type/index" in _reason(e) for e in errors):
            log.warning("Elasticsearch %s: the key may not replace documents: counts of stored alerts do not grow there", self._url)
            self._operation = "create"
            errors = self._bulk(by_id)
        denied = [e for e in errors if _type(e) == "security_exception"]
        if denied:
            raise self._denied(_reason(denied[0]))
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
            found = self._client.security.has_privileges(cluster=["manage_index_templates"], index=wanted)
        except ApiError as error:
            if error.meta.status in (401, 403):
                raise self._refusal(error) from error
            return "answers, without security"
        except TransportError as error:
            raise StoreError(f"Elasticsearch {self._url} does not answer: {short(error, 300)}") from error
        may = found["index"][pattern]
        missing = [] if may["create_doc"] or may["index"] else ["index"]
        missing += [] if may["auto_configure"] or may["create_index"] else ["auto_configure"]
        if missing:
            raise DeniedError(f"Elasticsearch {self._url}: the key lacks {' and '.join(missing)} on {pattern}; add it to the key's role")
        notes = "" if may["index"] else "; counts of stored alerts do not grow (create_doc without index)"
        return f"may write to {pattern}{notes}"

    def close(self) -> None:
        """Close the client's connections."""
        self._client.close()

    def _install_template(self) -> None:
        """Store the index template if the key may. It is not needed for writing; without it the server guesses the mapping.

        Raises StoreError in states that pass: a new index without the template keeps its guessed mapping.
        """
        from elasticsearch import ApiError, TransportError

        try:
            self._client.indices.put_index_template(
                name=self._prefix, index_patterns=[f"{self._prefix}-*"], priority=200,
                template={"settings": {"number_of_shards": 1}, "mappings": MAPPINGS},
            )  # fmt: skip
        except ApiError as error:
            if error.meta.status == 429 or error.meta.status >= 500 or "cluster_block_exception" in str(error):
                raise StoreError(f"Elasticsearch {self._url} does not take the index template now: {short(error, 300)}") from error
            log.warning("Elasticsearch %s: alerts are written without mlids' index template: %s", self._url, short(error, 300))
        except TransportError as error:
            raise StoreError(f"Elasticsearch {self._url} does not take alerts: {short(error, 300)}") from error
        self._template_tried = True

    def _bulk(self, by_id: Mapping[str, Document]) -> list[dict[str, Any]]:
        """Write the documents; return the errors of those that were not taken. A document that is there already is none."""
        from elasticsearch import ApiError, TransportError, helpers

        actions = [
            {"_op_type": self._operation, "_index": f"{self._prefix}-{d['ts'][:10].replace('-', '.')}", "_id": i, "_source": d}
            for i, d in by_id.items()
        ]
        try:
            _, errors = helpers.bulk(self._client, actions, chunk_size=BULK_DOCUMENTS, raise_on_error=False)
        except ApiError as error:
            raise self._refusal(error) from error
        except TransportError as error:
            raise StoreError(f"Elasticsearch {self._url} does not take alerts: {short(error, 300)}") from error
        found = [next(iter(e.values())) for e in errors]  # type: ignore[union-attr]
        return [e for e in found if not (self._operation == "create" and e.get("status") == 409)]

    def _refusal(self, error: Any) -> StoreError:
        """Return the error for a request that was refused whole."""
        if error.meta.status in (401, 403) and "cluster_block_exception" not in str(error):
            return self._denied(str(error))
        return StoreError(f"Elasticsearch {self._url} does not take alerts: {short(error, 300)}")

    def _denied(self, reason: str) -> DeniedError:
        found = _GRANTED_BY.search(reason)
        if found is None:
            return DeniedError(f"Elasticsearch {self._url} does not accept the key: {short(reason, 300)}; check MLIDS_ELASTIC_API_KEY")
        action, level, privileges = found.groups()
        whose = f" on {self._prefix}-*" if level == "index" else ""
        return DeniedError(
            f"Elasticsearch {self._url}: the key lacks one of the privileges {privileges}{whose} (for {action}); add it to the key's role"
        )


def _type(error: Mapping[str, Any]) -> str:
    cause = error.get("error")
    return str(cause.get("type")) if isinstance(cause, Mapping) else ""


def _reason(error: Mapping[str, Any]) -> str:
    cause = error.get("error")
    return str(cause.get("reason")) if isinstance(cause, Mapping) else str(cause)


def _is_of_the_document(error: Mapping[str, Any]) -> bool:
    kind = _type(error)
    return kind in _OF_THE_DOCUMENT or (kind == _ARGUMENT and not any(state in _reason(error) for state in _STATES))
