"""When an implant calls its server: sleep, jitter, changes of sleep, missed calls, bursts, outages and nights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlids.synth.hosts import log_uniform
from mlids.synth.profiles.base import MAX_ROWS, Span

_HOUR = 3_600.0


@dataclass(frozen=True)
class Calls:
    """The calls of one implant: start in epoch seconds, ascending; whether the server answers; whether it has a task."""

    ts: np.ndarray
    answered: np.ndarray
    busy: np.ndarray


@dataclass(frozen=True)
class Pace:
    """How an implant sleeps. Ranges hold for the draw of each instance; chances are per instance, shares per call."""

    every: tuple[float, float]  # seconds of sleep; drawn log-uniformly
    jitter: tuple[float, float] = (0.0, 0.3)  # share of the sleep
    side: str = "both"  # what jitter does to the sleep: less, more, or both
    changes: float = 0.25  # chance that the operator changes the sleep
    missed: float = 0.05  # upper bound of the share of calls that are missing
    busy: float = 0.04  # share of calls with a task, half of them followed by quick further calls
    outage: float = 0.2  # chance that the server is down for up to an hour
    nights: float = 0.3  # chance that the host is off at night, in captures of a day or more
    grows_from: float | None = None  # seconds: the sleep doubles from here up to `every` while no task comes
    fewest: int = 16  # the sleep is shortened in captures too short for as many calls

    def calls(self, span: Span, rng: np.random.Generator, limit: int = MAX_ROWS) -> Calls:
        """Return the calls of one instance in the span, at most `limit`."""
        every = min(log_uniform(*self.every, rng), span.seconds / self.fewest)
        n = max(4, min(limit, int(span.seconds / every) + 1))
        sleeps = self._jittered(self._sleeps(every, n, span, rng), rng)
        ts = np.concatenate([[0.0], np.cumsum(sleeps)[:-1]]) + rng.exponential(0.05, n)
        ts += span.start + rng.uniform(0.0, max(span.seconds - ts[-1], 0.0) if ts[-1] < span.seconds else every)
        ts, busy = self._with_tasks(np.sort(ts), every, rng)
        kept = (ts < span.end) & self._kept(ts, span, rng)
        kept[:4] = True
        ts, busy = ts[kept][:limit], busy[kept][:limit]
        return Calls(ts, self._answered(ts, rng), busy)

    def _sleeps(self, every: float, n: int, span: Span, rng: np.random.Generator) -> np.ndarray:
        sleeps = np.full(n, every)
        if self.grows_from is not None:
            since = np.arange(n) % max(int(rng.integers(30, 200)), 2)  # calls since the last task
            sleeps = np.minimum(self.grows_from * 2.0 ** np.minimum(since, 30), every)
        if rng.random() < self.changes:
            other = float(np.clip(every * log_uniform(0.1, 10, rng), every / 20, max(span.seconds / 8, every)))
            sleeps[int(n * rng.uniform(0.2, 0.8)) :] = other
        return sleeps

    def _jittered(self, sleeps: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        jitter = rng.uniform(*self.jitter)
        low, high = {"less": (-1.0, 0.0), "more": (0.0, 1.0), "both": (-1.0, 1.0)}[self.side]
        return sleeps * (1.0 + jitter * rng.uniform(low, high, len(sleeps)))

    def _with_tasks(self, ts: np.ndarray, every: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return the times with further calls after tasks, and which calls have a task."""
        busy = rng.random(len(ts)) < self.busy
        more = [t + np.cumsum(rng.uniform(0.1, min(3.0, every), int(rng.integers(2, 10)))) for t in ts[busy & (rng.random(len(ts)) < 0.5)]]
        extra = np.concatenate([np.zeros(0), *more])
        order = np.argsort(np.concatenate([ts, extra]), kind="stable")
        return np.concatenate([ts, extra])[order], np.concatenate([busy, np.ones(len(extra), bool)])[order]

    def _kept(self, ts: np.ndarray, span: Span, rng: np.random.Generator) -> np.ndarray:
        kept = rng.random(len(ts)) >= rng.uniform(0.0, self.missed)
        if span.seconds > 20 * _HOUR and rng.random() < self.nights:
            hour = (ts / _HOUR + rng.uniform(-2, 2)) % 24
            off = (hour < rng.uniform(6, 9)) | (hour > rng.uniform(17, 22))
            kept &= ~off | (off.mean() > 0.7)  # a host that is on at night only does not exist
        return kept

    def _answered(self, ts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        answered = np.ones(len(ts), bool)
        if rng.random() < self.outage:
            length = min(rng.uniform(300, _HOUR), 0.25 * (ts[-1] - ts[0]))
            down = rng.uniform(ts[0], max(ts[-1] - length, ts[0]))
            answered = (ts < down) | (ts > down + length)
        return answered
