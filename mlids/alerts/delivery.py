"""Delivers alerts to the stores and to every sink; nothing is acknowledged before all of them have the alerts."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from mlids.alerts.aggregation import AlertAggregator
from mlids.alerts.case_document import case_document
from mlids.alerts.dead_letters import DeadLetters
from mlids.alerts.document import Alert
from mlids.alerts.sinks.base import Checked, Document, Refused, Sink
from mlids.alerts.stores import Stores
from mlids.alerts.suppression import Rule
from mlids.cases.case import Case
from mlids.cases.severity import Severity
from mlids.errors import DeniedError, StoreError

log = logging.getLogger(__name__)

# A sink that does not let us write is asked again after this long.
ASK_AGAIN_S = 60.0

# Whether to try again after an error, given how many attempts failed before this one; it waits in between.
Again = Callable[[StoreError, int], bool]


class Delivery:
    """Delivers the alerts of one scoring: to the stores, which merge the parts of an alert, then to the sinks.

    `part` names the scoring: `live`, or `late` and its day. Counts of the parts of one alert add up.
    """

    def __init__(self, stores: Stores, sinks: Sequence[Sink], dead_letters: Path, part: str = "live") -> None:
        self._stores, self._sinks, self._part = stores, sinks, part
        self._letters = DeadLetters(dead_letters)
        self.stopped: dict[str, str] = {}  # sinks that do not let us write, by name, with the reason
        self._ask_at: dict[str, float] = {}
        self._cases_sent: dict[tuple[str, str], tuple[object, ...]] = {}  # what each sink has of each case, by its id

    @property
    def dead_letters(self) -> int:
        """Alerts that a sink refused for good, or that wait for a sink that is stopped."""
        return self._letters.written

    def put_cases(self, sensor: str, part: str, cases: Sequence[Case]) -> list[Document]:
        """Store the cases of one gathering of a sensor and send the sinks those that changed; return their documents.

        Raises StoreError when a store or a sink does not take them; what a sink has not taken is sent again with the next gathering.
        """
        stored = self._stores.cases.put(sensor, part, cases)
        self.send_cases(stored)
        return stored

    def send_cases(self, stored: Sequence[Document]) -> None:
        """Send the sinks those stored cases of medium severity or more that they do not have like this. Raises StoreError."""
        documents = [case_document(c) for c in stored if Severity(c["severity"]) is not Severity.LOW and c["first"]]
        for sink in self._sinks:
            fresh = [d for d in documents if self._cases_sent.get((sink.name, d["event"]["id"])) != _marks(d)]
            if not fresh:
                continue
            failure = self._write(fresh, [sink])
            if failure is not None:
                raise failure
            self._cases_sent |= {(sink.name, d["event"]["id"]): _marks(d) for d in fresh}

    def send(self, alerts: Sequence[Alert], again: Again) -> None:
        """Return when stores and sinks have the alerts. Raises StoreError when `again` returns False.

        A sink that has taken them is not asked again when another one fails. A sink that does not let us write is
        stopped: the others go on, and its alerts become dead letters.
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
                self._letters.add(sink.name, self._give(sink, documents))
                waiting.remove(sink)
            except StoreError as error:
                failure = error
        return failure

    def _give(self, sink: Sink, documents: Sequence[Document]) -> list[Refused]:
        """Write to a sink and return what it refused: everything while it is stopped."""
        if time.monotonic() >= self._ask_at.get(sink.name, 0.0):
            try:
                refused = sink.write(documents)
            except DeniedError as error:
                self._stop(sink, error)
            else:
                self._resume(sink)
                return refused
        return [Refused(d, self.stopped[sink.name]) for d in documents]

    def _stop(self, sink: Sink, error: DeniedError) -> None:
        if sink.name not in self.stopped:
            log.error("sink %s is stopped, its alerts become dead letters (mlids alerts resend): %s", sink.name, error)
        self.stopped[sink.name] = str(error)
        self._ask_at[sink.name] = time.monotonic() + ASK_AGAIN_S

    def _resume(self, sink: Sink) -> None:
        if self.stopped.pop(sink.name, None) is not None:
            log.warning("sink %s takes alerts again; `mlids alerts resend` sends it the dead letters", sink.name)

    def check_stopped(self) -> None:
        """Ask sinks that are stopped whether they take alerts again, when it is time; most sites have no alert for hours."""
        for sink in self._sinks:
            if sink.name in self.stopped and isinstance(sink, Checked) and time.monotonic() >= self._ask_at[sink.name]:
                self._ask_at[sink.name] = time.monotonic() + ASK_AGAIN_S
                try:
                    sink.check()
                except StoreError as error:
                    self.stopped[sink.name] = str(error)
                else:
                    self._ask_at[sink.name] = 0.0
                    self._resume(sink)

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


def _marks(document: Document) -> tuple[object, ...]:
    """Return what makes a case worth sending again: its score, state, end and amount."""
    case = document["mlids"]
    return document["score"], case["state"], case["verdict"], case["count"], document["event"]["end"]
