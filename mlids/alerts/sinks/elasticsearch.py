"""Elasticsearch: one index per day of the alerts' own dates, `MLIDS_ELASTIC_PREFIX-YYYY.MM.DD`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlids.alerts.sinks.base import Document, Refused
from mlids.errors import SettingsError, StoreError
from mlids.settings import Settings
from mlids.text import short

TIMEOUT_S = 10
BULK_DOCUMENTS = 200
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
    """Return the sink that the settings describe. Raises SettingsError without a URL."""
    if not settings.elastic_url:
        raise SettingsError("sinks name elasticsearch, so MLIDS_ELASTIC_URL must be set")
    key = settings.elastic_api_key
    return ElasticSink(
        settings.elastic_url, api_key=key.get_secret_value() if key else None,
        ca_file=settings.elastic_ca_file, prefix=settings.elastic_prefix,
    )  # fmt: skip


class ElasticSink:
    """One index per day, `PREFIX-YYYY.MM.DD`. The alert's id is the document's `_id`, so that a replay overwrites."""

    name = "elasticsearch"

    def __init__(self, url: str, *, api_key: str | None = None, ca_file: Path | None = None, prefix: str = "mlids") -> None:
        from elasticsearch import Elasticsearch

        options: dict[str, Any] = {"request_timeout": TIMEOUT_S, "max_retries": 0}  # delivery tries again, and can be stopped
        if api_key:
            options["api_key"] = api_key
        if ca_file:
            options["ca_certs"] = str(ca_file)
        self._client = Elasticsearch(url, **options)
        self._url, self._prefix, self._installed = url, prefix, False

    def install(self) -> None:
        """Store the index template. Raises StoreError when it is refused, or the server does not answer."""
        from elasticsearch import ApiError, TransportError

        try:
            self._client.indices.put_index_template(
                name=self._prefix, index_patterns=[f"{self._prefix}-*"], priority=200,
                template={"settings": {"number_of_shards": 1}, "mappings": MAPPINGS},
            )  # fmt: skip
        except (ApiError, TransportError) as error:
            raise StoreError(f"Elasticsearch {self._url}: the index template was refused: {short(error, 300)}") from error
        self._installed = True

    def write(self, documents: Sequence[Document]) -> list[Refused]:
        """Index documents under their ids; return those that the mapping refuses. Raises StoreError when the server is down or busy."""
        from elasticsearch import ApiError, TransportError, helpers

        if not self._installed:
            self.install()
        by_id = {d["event"]["id"]: d for d in documents}
        actions = [
            {"_op_type": "index", "_index": f"{self._prefix}-{d['ts'][:10].replace('-', '.')}", "_id": i, "_source": d}
            for i, d in by_id.items()
        ]
        try:
            _, errors = helpers.bulk(self._client, actions, chunk_size=BULK_DOCUMENTS, raise_on_error=False)
        except (ApiError, TransportError) as error:
            raise StoreError(f"Elasticsearch {self._url} does not take alerts: {short(error, 300)}") from error
        results = [next(iter(e.values())) for e in errors]  # type: ignore[union-attr]
        busy = [r for r in results if r.get("status") == 429 or not 400 <= int(r.get("status") or 0) < 500]
        if busy:
            raise StoreError(
                f"Elasticsearch {self._url} is too busy for {len(busy)} of {len(actions)} alerts; first: {short(busy[0], 300)}"
            )
        return [Refused(by_id[str(r["_id"])], short(r.get("error"), 500)) for r in results]

    def close(self) -> None:
        """Close the client's connections."""
        self._client.close()
