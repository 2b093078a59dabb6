"""Storms: more alerts of one kind in a window than anyone reads are counted in few. Outside sources never hide an inside one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from mlids.alerts.document import Alert
from mlids.alerts.grouping import STORM, GroupKey, storm_key

# Alerts of one kind, sensor and window beyond this number become a storm; sources inside and outside count apart.
STORM_FROM = 100
# Inside sources that get alerts of their own for one kind, sensor and window. A site has so many hosts with one kind of
# alert only in a worm; beyond it, inside addresses are forged, and the number of open alerts stays bounded.
INSIDE_SOURCES = 1_000


@dataclass
class _Counts:
    """Alerts of one sensor, kind and window, without storm alerts."""

    outside: int = 0
    inside: int = 0
    sources: set[str] = field(default_factory=set)  # inside, INSIDE_SOURCES at most


class Storms:
    """Counts open alerts and decides which conns go to a storm alert. It is a function of the alerts in their order.

    A source outside costs nothing to forge: from STORM_FROM alerts on, all further ones are one storm alert. The first
    alert of an inside source is always its own, and its further ones are one storm alert of that source.
    """

    def __init__(self, alerts: Iterable[Alert] = ()) -> None:
        self._kinds: defaultdict[tuple[str, str, int], _Counts] = defaultdict(_Counts)
        for alert in alerts:
            self.add(alert)

    def add(self, alert: Alert) -> None:
        """Count an alert that was begun."""
        if alert.key.target == STORM:
            return
        counts = self._kinds[alert.key.sensor, alert.key.kind, alert.key.window]
        if not alert.inside:
            counts.outside += 1
            return
        counts.inside += 1
        counts.sources.add(alert.src)

    def key_for(self, key: GroupKey, source: str, inside: bool) -> GroupKey:
        """Return the key for a conn of `source` whose group has no open alert: its own, or that of a storm alert."""
        counts = self._kinds[key.sensor, key.kind, key.window]
        if not inside:
            return key if counts.outside < STORM_FROM else storm_key(key)
        if source in counts.sources:
            return key if counts.inside < STORM_FROM else storm_key(key, source)
        return key if len(counts.sources) < INSIDE_SOURCES else storm_key(key, inside=True)
