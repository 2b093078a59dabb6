"""Brings alerts to the product's tables and to every sink, each until it has them; nothing is acknowledged before."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from mlids.alerts.aggregation import AlertAggregator
from mlids.alerts.database import Database
from mlids.alerts.document import Alert
from mlids.alerts.sinks.base import Refused, Sink
from mlids.alerts.suppression import Rule
from mlids.errors import StoreError

# Says whether to try again, given what failed and how often it has in a row; it waits in between.
Again = Callable[[StoreError, int], bool]


class Delivery:
    """One way of alerts out: the database, which merges what it knows of an alert, then the sinks.

    `part` names the scoring: `live`, or `late` with its day. Counts of the parts of one alert add up.
    """

    def __init__(self, database: Database, sinks: Sequence[Sink], dead_letters: Path, part: str = "live") -> None:
        self._database, self._sinks, self._dead_letters, self._part = database, sinks, dead_letters, part
        self.dead_letters = 0  # documents that a sink will never take

    def send(self, alerts: Sequence[Alert], again: Again) -> None:
        """Return when everyone has the alerts. Raises StoreError when `again` says to give up.

        A sink that has taken them is not asked again when another one fails.
        """
        if not alerts:
            return
        documents = None
        waiting = list(self._sinks)
        attempt = 0
        while True:
            failure = None
            try:
                if documents is None:
                    documents = self._database.put_alerts(alerts, self._part)
            except StoreError as error:
                failure = error
            for sink in [] if documents is None else list(waiting):
                try:
                    self._dead_letter(sink.name, sink.write(documents))  # type: ignore[arg-type]
                    waiting.remove(sink)
                except StoreError as error:
                    failure = error
            if failure is None:
                return
            if not again(failure, attempt):
                raise failure
            attempt += 1

    def rules(self) -> list[Rule]:
        """Return the rules in force that hold conns back. Raises StoreError when they cannot be read."""
        return self._database.rules()

    def count_suppressed(self, aggregator: AlertAggregator) -> None:
        """Store how many conns rules have held back since the last time. Raises StoreError; then they are counted later."""
        if aggregator.suppressed:
            self._database.count_suppressed(aggregator.suppressed)
            aggregator.suppressed.clear()

    def _dead_letter(self, sink: str, refused: Sequence[Refused]) -> None:
        """Put documents that a sink refuses for good into a file, with the reason: they must not stop the rest."""
        if not refused:
            return
        at = datetime.now(UTC).isoformat(timespec="seconds")
        lines = [json.dumps({"at": at, "sink": sink, "reason": r.reason, "alert": r.document}) + "\n" for r in refused]
        try:
            self._dead_letters.parent.mkdir(parents=True, exist_ok=True)
            with self._dead_letters.open("a", encoding="utf-8") as out:
                out.write("".join(lines))
        except OSError as error:
            raise StoreError(f"{self._dead_letters}: {error.strerror or error}") from error
        self.dead_letters += len(refused)
