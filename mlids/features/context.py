"""The context state of one sensor: windows over its recent conns, bounded in size, stored and restored with a checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, BinaryIO

import numpy as np
import polars as pl

from mlids.errors import ModelError
from mlids.features import kernel as k
from mlids.features.compiled import compiled
from mlids.features.ports import is_odd, is_upkeep, uses_of
from mlids.zeek.types import lasted

# About 200 bytes per entity and 40 per event: 2 M of each is 500 MB. Both are upper limits; arrays grow as needed.
MAX_ENTITIES = 1 << 21
MAX_EVENTS = 1 << 21
# For fewer rows, plain Python is faster than loading the compiled kernel.
COMPILE_FROM_ROWS = 5_000
_STATE_VERSION = 4
# Limits of a live scorer: entities (hosts, pairs, services), and events (conns of the last hour).
LIVE_ENTITIES, LIVE_EVENTS = 1 << 19, 1 << 20

# conn_state of failed connections: not answered, refused, or reset before data.
FAILED_STATES = ["S0", "REJ", "RSTOS0", "RSTRH", "SH", "SHR"]


Columns = tuple[np.ndarray, ...]  # the five arrays that `context_columns` returns


class Context:
    """Counts per source, destination, pair and service over the last 5 minutes and the last hour.

    The result depends only on the rows and their order: not on how they are cut into batches, and not on
    storing and restoring the state in between.
    """

    def __init__(self, *, max_entities: int = MAX_ENTITIES, max_events: int = MAX_EVENTS) -> None:
        self._max_entities = max_entities
        self._max_events = max_events
        self._compiled = False
        self._seen = 0
        self.scalars = np.zeros(k.SCALARS)
        self.scalars[k.CLOCK], self.scalars[k.LEAP_CLOCK] = -1.0, np.inf
        self.keys: np.ndarray = np.zeros(0, np.uint64)
        self.counts: np.ndarray = np.zeros((0, k.COUNTS), np.int32)
        self.values: np.ndarray = np.zeros((0, k.VALUES))
        self.ring_t: np.ndarray = np.zeros(0)
        self.ring_e: np.ndarray = np.zeros((0, k.ENTITIES), np.int32)
        self.ring_f: np.ndarray = np.zeros(0, np.uint8)
        self.ring_b: np.ndarray = np.zeros(0)
        self._entities(1 << 10)
        self._ring(1 << 10)

    def _entities(self, size: int) -> None:
        used = int(self.scalars[k.USED])
        old: list[np.ndarray] = [self.keys, self.counts, self.values] if used else []
        self.keys = np.zeros(size, np.uint64)
        self.counts = np.zeros((size, k.COUNTS), np.int32)
        self.values = np.zeros((size, k.VALUES))
        fresh: list[np.ndarray] = [self.keys, self.counts, self.values]
        for new, kept in zip(fresh if old else [], old, strict=True):
            new[:used] = kept[:used]
        self._reindex()

    def _reindex(self) -> None:
        self.index = np.full(2 * len(self.keys), -1, np.int32)
        self._run(k.build_index)(self.index, self.keys, int(self.scalars[k.USED]))

    def _ring(self, size: int) -> None:
        head, tail = int(self.scalars[k.HEAD]), self._first if len(self.ring_t) else 0
        old: list[np.ndarray] = [self.ring_t, self.ring_e, self.ring_f, self.ring_b] if head > tail else []
        self.ring_t = np.zeros(size)
        self.ring_e = np.zeros((size, k.ENTITIES), np.int32)
        self.ring_f = np.zeros(size, np.uint8)
        self.ring_b = np.zeros(size)
        fresh: list[np.ndarray] = [self.ring_t, self.ring_e, self.ring_f, self.ring_b]
        positions = np.arange(tail, head)
        for new, kept in zip(fresh if old else [], old, strict=True):
            new[positions & (size - 1)] = kept[positions & (len(kept) - 1)]

    def _run(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return compiled(function) if self._compiled else function

    def update(self, conns: pl.DataFrame) -> np.ndarray:
        """Process rows in their order; return the same as `take`."""
        return self.take(context_columns(conns))

    def take(self, columns: Columns) -> np.ndarray:
        """Process rows given as `context_columns` returns them; return float32[n, len(kernel.OUTPUTS)], columns contiguous.

        Each row depends on itself and the rows before it only.
        """
        keys, began, ended, flags, size = columns
        out = np.empty((len(k.OUTPUTS), len(keys)), np.float32)
        self._seen += len(keys)
        self._compiled = self._compiled or self._seen >= COMPILE_FROM_ROWS
        row = 0
        with np.errstate(over="ignore"):
            while True:
                row, status = self._run(k.advance)(
                    row, keys, began, ended, flags, size, self.index, self.keys, self.counts, self.values,
                    self.ring_t, self.ring_e, self.ring_f, self.ring_b, self.scalars, out,
                )  # fmt: skip
                if status == k.DONE:
                    return out.T
                if status == k.HEAL:
                    self._heal(float(ended[row]))
                elif status == k.GROW_ENTITIES:
                    self._make_room_for_entities()
                else:
                    self._make_room_for_events()

    def _make_room_for_entities(self) -> None:
        if len(self.keys) < self._max_entities:
            self._entities(min(2 * len(self.keys), self._max_entities))
            return
        # A flood of spoofed sources fills the table with live entities: expire the older half of the events.
        if np.count_nonzero(self.counts[: int(self.scalars[k.USED]), k.N_L]) > len(self.keys) * 3 // 4:
            self._expire_half()
        else:
            self._compact(len(self.keys) // 2)

    def _make_room_for_events(self) -> None:
        if len(self.ring_t) < self._max_events:
            self._ring(2 * len(self.ring_t))
        else:
            self._expire_half()

    def _expire_half(self) -> None:
        """Expire the older half of the events from both windows, to stay within the memory limit."""
        self.scalars[k.FORCED] = (int(self.scalars[k.HEAD]) + int(self.scalars[k.TAIL_L]) + 1) // 2

    def _compact(self, keep: int) -> None:
        """Remove entities without an event in any window, the least recently seen first.

        Events that expired by a leap of the clock do not count again after this: their entities may be gone.
        """
        self.scalars[[k.LEAP_TAIL_S, k.LEAP_TAIL_L]] = np.maximum(
            self.scalars[[k.LEAP_TAIL_S, k.LEAP_TAIL_L]], self.scalars[[k.TAIL_S, k.TAIL_L]]
        )
        used = int(self.scalars[k.USED])
        live = self.counts[:used, k.N_L] > 0
        idle = np.flatnonzero(~live)
        room = max(keep - int(live.sum()), 0)
        if len(idle) > room:
            order = np.argsort(-self.values[idle, k.LAST_SEEN], kind="stable")
            live[idle[order[:room]]] = True
        else:
            live[:] = True
        moved = np.cumsum(live) - 1
        kept = int(live.sum())
        for array in (self.keys, self.counts, self.values):
            array[:kept] = array[:used][live]
        self.ring_e = moved.astype(np.int32)[np.minimum(self.ring_e, used - 1)]
        self.scalars[k.USED] = kept
        self._reindex()

    @property
    def clock(self) -> float:
        """When the newest conn ended, in seconds since 1970; negative before the first. A leap counts once START_ROWS rows confirm it."""
        leapt = self.scalars[k.HEAD] - self.scalars[k.LEAP_HEAD] < k.START_ROWS
        return float(min(self.scalars[k.CLOCK], self.scalars[k.LEAP_CLOCK]) if leapt else self.scalars[k.CLOCK])

    @property
    def _first(self) -> int:
        """The first event of the ring that is kept: of the windows, and of those before a leap, which may be taken back."""
        head, tail = int(self.scalars[k.HEAD]), int(self.scalars[k.TAIL_L])
        if not np.isfinite(self.scalars[k.LEAP_CLOCK]):
            return tail
        return min(tail, max(int(self.scalars[k.LEAP_TAIL_L]), head - len(self.ring_t)))

    def _heal(self, ended: float) -> None:
        """Take back a leap of the clock: `ended` is when the row at hand ended. Events that expired by it are counted again."""
        scalars, head = self.scalars, int(self.scalars[k.HEAD])
        since, expired = int(scalars[k.LEAP_HEAD]), int(scalars[k.TAIL_L])
        if np.isfinite(scalars[k.LEAP_CLOCK]):
            first = self._first
            scalars[k.TAIL_L], scalars[k.TAIL_S] = first, max(first, int(scalars[k.LEAP_TAIL_S]))
        else:  # the log began with it
            since = expired
        clock = max(ended, float(scalars[k.LEAP_CLOCK])) if np.isfinite(scalars[k.LEAP_CLOCK]) else ended
        at = np.arange(max(since, int(scalars[k.TAIL_L])), head) & (len(self.ring_t) - 1)
        self.ring_t[at] = np.minimum(self.ring_t[at], clock)
        used = int(scalars[k.USED])
        self.values[:used, [k.FIRST_SEEN, k.LAST_SEEN]] = np.minimum(self.values[:used, [k.FIRST_SEEN, k.LAST_SEEN]], clock)
        self._run(k.recount)(self.counts, self.values, self.ring_e, self.ring_f, self.ring_b, scalars, expired)
        scalars[k.CLOCK], scalars[k.LEAP_CLOCK], scalars[k.FORCED] = clock, np.inf, 0.0

    def dump(self, out: BinaryIO) -> None:
        """Write the state as plain arrays (no pickle); only events that wrap around the ring are copied."""
        used, head, tail = int(self.scalars[k.USED]), int(self.scalars[k.HEAD]), self._first
        at = np.arange(tail, head) & (len(self.ring_t) - 1)
        np.savez(
            out, version=np.array([_STATE_VERSION]), hashing=np.array([_hashing()]), scalars=self.scalars,
            sizes=np.array([len(self.keys), len(self.ring_t), self._max_entities, self._max_events]),
            keys=self.keys[:used], counts=self.counts[:used], values=self.values[:used],
            ring_t=self.ring_t[at], ring_e=self.ring_e[at], ring_f=self.ring_f[at], ring_b=self.ring_b[at],
        )  # fmt: skip

    @classmethod
    def load(cls, data: BinaryIO) -> Context:
        """Return the state that `dump` wrote. Raises ModelError when it was made by another version."""
        with np.load(data, allow_pickle=False) as stored:
            if int(stored["version"][0]) != _STATE_VERSION or str(stored["hashing"][0]) != _hashing():
                raise ModelError("the stored context was written by another version; it is rebuilt from the last hour of the log")
            entities, events, max_entities, max_events = (int(n) for n in stored["sizes"])
            self = cls(max_entities=max_entities, max_events=max_events)
            self.scalars[k.USED] = 0
            self._entities(entities)
            self._ring(events)
            self.scalars = stored["scalars"].copy()
            used, head, tail = int(self.scalars[k.USED]), int(self.scalars[k.HEAD]), self._first
            self.keys[:used], self.counts[:used], self.values[:used] = stored["keys"], stored["counts"], stored["values"]
            at = np.arange(tail, head) & (events - 1)
            self.ring_t[at], self.ring_e[at] = stored["ring_t"], stored["ring_e"]
            self.ring_f[at], self.ring_b[at] = stored["ring_f"], stored["ring_b"]
            self._reindex()
        return self


def _hashing() -> str:
    """Return an identifier of the hash function: polars may change it between versions, which makes stored keys useless."""
    return f"{pl.__version__}:{pl.Series(['mlids']).hash(7)[0]}"


def live_context() -> Context:
    """Return an empty context with the limits of live and late scoring: at most about 200 MB."""
    return Context(max_entities=LIVE_ENTITIES, max_events=LIVE_EVENTS)


def context_columns(conns: pl.DataFrame) -> Columns:
    """Return the kernel's inputs: keys, start and end (seconds since 1970), the kernel's flags of a row, and bytes sent. Independent of the context."""
    src, dst, port, proto, micros, lasted, failed, udp, tcp, size = (column.to_numpy() for column in conns.select(_columns()))
    service = mix(port, proto)
    keys = np.empty((conns.height, k.ENTITIES), np.uint64)
    with np.errstate(over="ignore"):
        keys[:, k.SRC] = mix(src, np.uint64(1))
        keys[:, k.DST] = mix(dst, np.uint64(2))
        keys[:, k.PAIR] = mix(mix(src, np.uint64(3)), dst)
        keys[:, k.SRC_PORT] = mix(mix(src, np.uint64(4)), service)
        keys[:, k.TRIPLE] = mix(mix(keys[:, k.PAIR], np.uint64(5)), service)
        keys[:, k.SERVICE] = mix(service, np.uint64(6))
    began = micros / 1e6
    return keys, began, began + lasted, _flags(conns, failed, udp, tcp), size


@lru_cache(maxsize=1)
def _columns() -> list[pl.Expr]:
    """Return the expressions of `context_columns`, for one query. Bytes sent are clipped to 1 TB, as counters can be absurd."""
    return [
        pl.col("id.orig_h").fill_null("").hash(7).alias("src"),
        pl.col("id.resp_h").fill_null("").hash(7).alias("dst"),
        pl.col("id.resp_p").fill_null(0).cast(pl.UInt64).alias("port"),
        pl.col("proto").fill_null("").hash(11).alias("hashed"),
        pl.col("ts").dt.epoch("us").cast(pl.Float64).alias("micros"),
        lasted().alias("lasted"),
        # Where the sensor missed packets, a conn of a failed state may have got an answer.
        (pl.col("conn_state").is_in(FAILED_STATES) & ~(pl.col("resp_bytes") > 0).fill_null(False)).fill_null(False).alias("failed"),
        (pl.col("proto") == "udp").fill_null(False).alias("udp"),
        (pl.col("proto") == "tcp").fill_null(False).alias("tcp"),
        pl.coalesce("orig_ip_bytes", "orig_bytes", pl.lit(0)).cast(pl.Float64).clip(0, 1e12).alias("size"),
    ]


def _flags(conns: pl.DataFrame, failed: np.ndarray, udp: np.ndarray, tcp: np.ndarray) -> np.ndarray:
    """Return uint8[n]: the kernel's flags of each row."""
    uses = uses_of(conns["id.resp_p"])
    upkeep, odd = is_upkeep(uses, udp), is_odd(conns, uses, udp | tcp)
    return (failed * np.uint8(k.FAILED_ROW) | (failed & ~upkeep) * np.uint8(k.PROBE_ROW) | odd * np.uint8(k.ODD_ROW)).astype(np.uint8)


def mix(a: np.ndarray, b: np.ndarray | np.uint64) -> np.ndarray:
    """Combine two 64-bit hashes (the finisher of splitmix64, Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        z = a * np.uint64(0x9E3779B97F4A7C15) + b
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))  # type: ignore[no-any-return]
