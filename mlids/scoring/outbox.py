"""Sends the alerts of live scoring: new and stronger ones at once, counts that only grow every few seconds."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

from mlids.alerts.aggregation import STRONGER, AlertAggregator
from mlids.alerts.delivery import Again, Delivery
from mlids.alerts.document import Alert
from mlids.alerts.suppression import Rule
from mlids.errors import StoreError

FLUSH_S = 2.0
RULES_S = 5.0


class Outbox:
    """The outgoing alerts of one scorer. `again` decides whether a failed delivery is tried again."""

    def __init__(self, delivery: Delivery, again: Again) -> None:
        self._delivery, self._again = delivery, again
        self._grown: dict[str, Alert] = {}  # alerts whose count the sinks do not have yet
        self._flushed = 0.0

    @property
    def dead_letters(self) -> int:
        """Alerts that a sink rejected for good."""
        return self._delivery.dead_letters

    @property
    def stopped_sinks(self) -> dict[str, str]:
        """Sinks that do not let us write, by name, with the reason."""
        return self._delivery.stopped

    @property
    def due(self) -> bool:
        """Whether it is time to flush."""
        return time.monotonic() - self._flushed > FLUSH_S

    def send(self, alerts: Sequence[Alert], sent_scores: Mapping[str, float]) -> int:
        """Deliver alerts that are new or clearly stronger, keep the others for `flush`; return how many are new.

        `sent_scores` are the risk scores of the open alerts before, by id. Raises StoreError when a sink is given up.
        """
        urgent = [a for a in alerts if a.score > sent_scores.get(a.id, -STRONGER) + STRONGER]
        self._delivery.send(urgent, self._again)
        self._grown |= {a.id: a for a in alerts}
        for alert in urgent:
            del self._grown[alert.id]
        return sum(a.id not in sent_scores for a in urgent)

    def flush(self, aggregator: AlertAggregator) -> None:
        """Deliver the counts that have grown, and the counts of suppressed conns. Raises StoreError when a sink is given up."""
        self._delivery.send(list(self._grown.values()), self._again)
        self._grown.clear()
        with suppress(StoreError):  # suppressed conns are counted at the next flush
            self._delivery.count_suppressed(aggregator)
        self._delivery.check_stopped()
        self._flushed = time.monotonic()

    def clear(self) -> None:
        """Forget the counts that were not delivered: their rows will be scored again."""
        self._grown.clear()


class RuleCache:
    """The suppression rules in force, read from the database every few seconds."""

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self._rules: list[Rule] | None = None  # None: never read
        self._read_at = 0.0

    @property
    def rules(self) -> Sequence[Rule]:
        """Return the rules as they were read last."""
        return self._rules or ()

    def refresh(self) -> bool:
        """Read the rules when it is time; return whether they were read.

        While the database is down the last ones stay in force. Raises StoreError when none were ever read.
        """
        if self._rules is not None and time.monotonic() - self._read_at < RULES_S:
            return False
        try:
            self._rules = self._delivery.rules()
        except StoreError:
            if self._rules is None:
                raise
            return False
        finally:
            self._read_at = time.monotonic()
        return True
