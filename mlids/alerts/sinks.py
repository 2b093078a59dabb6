"""Where alerts go: the product's database, a JSON lines file a day, and Elasticsearch. Several at once."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from mlids.alerts.database import Database
from mlids.alerts.document import Alert
from mlids.errors import StoreError


class Sink(Protocol):
    """Takes alerts; when `write` returns, they are kept. The same alert twice is kept once."""

    name: str

    def write(self, alerts: Sequence[Alert]) -> None:
        """Keep the alerts. Raises StoreError when they are not."""


class DatabaseSink:
    """Alerts in the product's own tables."""

    name = "sqlite"

    def __init__(self, database: Database, origin: str = "live") -> None:
        self._database, self._origin = database, origin

    def write(self, alerts: Sequence[Alert]) -> None:
        """Insert alerts or bring them up to date."""
        self._database.put_alerts(alerts, self._origin)


class JsonLinesSink:
    """One file a day of the alerts' own dates, for log shippers: each alert once, when it begins."""

    name = "jsonl"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: dict[str, set[str]] = {}

    def write(self, alerts: Sequence[Alert]) -> None:
        """Append those that are not there yet."""
        by_day: dict[str, list[Alert]] = {}
        for alert in alerts:
            by_day.setdefault(f"{alert.ts:%Y-%m-%d}", []).append(alert)
        for day, some in by_day.items():
            path = self._folder / f"alerts-{day}.jsonl"
            try:
                seen = self._known(day, path)
                fresh = [a for a in some if a.id not in seen]
                if fresh:
                    with path.open("a", encoding="utf-8") as out:
                        out.write("".join(json.dumps(a.document()) + "\n" for a in fresh))
                        out.flush()
                        os.fsync(out.fileno())
                    seen.update(a.id for a in fresh)
            except OSError as error:
                raise StoreError(f"{path}: {error.strerror or error}") from error

    def _known(self, day: str, path: Path) -> set[str]:
        if day not in self._seen:
            self._folder.mkdir(parents=True, exist_ok=True)
            ids = set()
            if path.exists():
                for line in path.read_text(encoding="utf-8").splitlines():
                    try:
                        ids.add(json.loads(line)["event"]["id"])
                    except (ValueError, KeyError, TypeError):
                        continue  # half a line of a killed writer
                if ids and not path.read_bytes().endswith(b"\n"):
                    with path.open("a", encoding="utf-8") as out:
                        out.write("\n")
            while len(self._seen) > 8:
                self._seen.pop(next(iter(self._seen)))
            self._seen[day] = ids
        return self._seen[day]


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


class ElasticSink:
    """One index a day of the event's own date: `PREFIX-YYYY.MM.DD`; `_id` makes a replay harmless."""

    name = "elasticsearch"

    def __init__(self, url: str, *, api_key: str | None = None, ca_file: Path | None = None, prefix: str = "mlids") -> None:
        from elasticsearch import Elasticsearch

        options: dict[str, Any] = {"request_timeout": 30, "retry_on_timeout": True, "max_retries": 3}
        if api_key:
            options["api_key"] = api_key
        if ca_file:
            options["ca_certs"] = str(ca_file)
        self._client = Elasticsearch(url, **options)
        self._url, self._prefix = url, prefix

    def install(self) -> None:
        """Put the index template. Raises StoreError when it is refused."""
        from elasticsearch import ApiError, TransportError

        try:
            self._client.indices.put_index_template(
                name=self._prefix, index_patterns=[f"{self._prefix}-*"], priority=200,
                template={"settings": {"number_of_shards": 1}, "mappings": MAPPINGS},
            )  # fmt: skip
        except (ApiError, TransportError) as error:
            raise StoreError(f"Elasticsearch {self._url}: the index template was refused: {error}") from error

    def write(self, alerts: Sequence[Alert]) -> None:
        """Index alerts under their ids. Raises StoreError when any was not taken."""
        from elasticsearch import ApiError, TransportError, helpers

        actions = [{"_op_type": "index", "_index": f"{self._prefix}-{a.ts:%Y.%m.%d}", "_id": a.id, "_source": a.document()} for a in alerts]
        try:
            _, errors = helpers.bulk(self._client, actions, raise_on_error=False)
        except (ApiError, TransportError) as error:
            raise StoreError(f"Elasticsearch {self._url} does not take alerts: {str(error)[:300]}") from error
        if errors:
            raise StoreError(f"Elasticsearch {self._url} refused {len(errors)} of {len(actions)} alerts; first: {str(errors[0])[:300]}")
