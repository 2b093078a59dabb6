"""Delivers alerts to the stores and to every sink; nothing is acknowledged before all of them have the alerts."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from mlids.alerts.aggregation import AlertAggregator
from mlids.alerts.document import Alert
from mlids.alerts.sinks.base import Document, Refused, Sink
from mlids.alerts.stores import Stores
from mlids.alerts.suppression import Rule
from mlids.errors import StoreError
from mlids.files import open_private

# Whether to try again after an error, given how many attempts failed before this one; it waits in between.
Again = Callable[[StoreError, int], bool]


class Delivery:
    """Delivers the alerts of one scoring: to the stores, which merge the parts of an alert, then to the sinks.

    `part` names the scoring: `live`, or `late` and its day. Counts of the parts of one alert add up.
    """

    def __init__(self, stores: Stores, sinks: Sequence[Sink], dead_letters: Path, part: str = "live") -> None:
        self._stores, self._sinks, self._path, self._part = stores, sinks, dead_letters, part
        self.dead_letters = 0  # documents that a sink refused for good

    def send(self, alerts: Sequence[Alert], again: Again) -> None:
        """Return when stores and sinks have the alerts. Raises StoreError when `again` returns False.

        A sink that has taken them is not asked again when another one fails.
        """
        if not alerts:
            return
        documents: list[Document] | None = None
        waiting = list(self._sinks)
        attempt = 0
        while True:
            failure = None
            try:
                if documents is None:
                    documents = self._stores.alerts.put(alerts, self._part)
            except StoreError as error:
                failure = error
            if documents is not None:
                failure = self._write(documents, waiting)
            if failure is None:
                return
            if not again(failure, attempt):
                raise failure
            attempt += 1

    def _write(self, documents: Sequence[Document], waiting: list[Sink]) -> StoreError | None:
        """Write to the sinks in `waiting`, remove those that took the documents, and return the last error."""
        failure = None
        for sink in list(waiting):
            try:
                self._dead_letter(sink.name, sink.write(documents))
                waiting.remove(sink)
            except StoreError as error:
                failure = error
        return failure

    def rules(self) -> list[Rule]:
        """Return the suppression rules in force. Raises StoreError when they cannot be read."""
        return self._stores.rules.in_force()

    def count_suppressed(self, aggregator: AlertAggregator) -> None:
        """Store how many conns rules suppressed since the last call. Raises StoreError; the next call then includes them."""
        if aggregator.suppressed:
            self._stores.rules.count_suppressed(aggregator.suppressed)
            aggregator.suppressed.clear()

    def close(self) -> None:
        """Close the sinks and the stores."""
        for sink in self._sinks:
            sink.close()
        self._stores.close()

    def _dead_letter(self, sink: str, refused: Sequence[Refused]) -> None:
        """Append documents that a sink refused for good to a file, with the reason, so that the others go on."""
        if not refused:
            return
        at = datetime.now(UTC).isoformat(timespec="seconds")
        lines = [json.dumps({"at": at, "sink": sink, "reason": r.reason, "alert": r.document}) + "\n" for r in refused]
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with open(self._path, "a", encoding="utf-8", opener=open_private) as out:
                out.write("".join(lines))
        except OSError as error:
            raise StoreError(f"{self._path}: {error.strerror or error}") from error
        self.dead_letters += len(refused)
