"""JSON lines for log shippers: `alerts-YYYY-MM-DD.jsonl` by the alerts' own dates, below `MLIDS_HOME/alerts`."""

from __future__ import annotations

import json

from mlids.alerts.sinks.base import Document
from mlids.alerts.sinks.day_files import DayFiles
from mlids.settings import Settings


def open_sink(settings: Settings) -> JsonLinesSink:
    """Return the sink that the settings describe."""
    return JsonLinesSink(settings.home / "alerts", int(settings.jsonl_mode, 8))


class JsonLinesSink(DayFiles):
    """The whole documents, one a line."""

    name = "jsonl"
    suffix = ".jsonl"

    def line(self, document: Document) -> str:
        """Return the document as JSON."""
        return json.dumps(document)

    def id_of(self, line: bytes) -> str | None:
        """Return the document's id."""
        try:
            found = json.loads(line)["event"]["id"]
        except (ValueError, KeyError, TypeError):
            return None
        return found if isinstance(found, str) else None
