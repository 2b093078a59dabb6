"""Exact sliding windows over the conns of every source, destination, pair and service, one row at a time.

Rows are processed in the order Zeek wrote them. The clock is the latest end of a connection so far. It goes back only
when a sensor's clock that had leapt ahead returns: what expired by the leap then enters the windows again. Each row enters a ring of events; as the clock advances, events leave the 5-minute and the
1-hour window and their counts are subtracted. Distinct counts are exact: an entity counts as a child of another
while its own count in the window is above zero. The amortized cost per row is constant: six look-ups and at
most twelve updates for expired events.

`advance` is plain Python over numpy arrays. Small inputs run it as it is; `compiled()` is the same function
compiled by numba. It uses no transcendental function, so that both return equal numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from functools import cache
from typing import Any

import numpy as np

WINDOW_SHORT_S = 300.0
WINDOW_LONG_S = 3600.0
# A time further ahead than this moves the clock only after AHEAD_ROWS consecutive rows: a single absurd
# timestamp must not expire every window.
AHEAD_S = 3600.0
AHEAD_ROWS = 3
# As many consecutive rows that end within HEAL_S of the clock before a leap take the leap back; HEAL_ROWS of them when the
# leap is longer ago than so many rows. When the log has just begun, before START_ROWS, there is no clock before.
HEAL_S = 86_400.0
HEAL_ROWS = 1_000
START_ROWS = 100
# Least weight of the newest value in a running mean (reached at twenty values).
SHARE_LEAST = 0.05

# Entities of a row, in the order of its keys. A triple is source, destination and service (port and protocol).
SRC, DST, PAIR, SRC_PORT, TRIPLE, SERVICE = 0, 1, 2, 3, 4, 5
ENTITIES = 6

# Integer columns of an entity: short and long window of each. A and B count its children (hosts, services).
N_S, N_L, FAIL_S, FAIL_L, A_S, A_L, B_S, B_L, FRESH_L = 0, 1, 2, 3, 4, 5, 6, 7, 8
COUNTS = 9
# Float columns of every entity …
FIRST_SEEN, LAST_SEEN, TOTAL, FAILED = 0, 1, 2, 3
# … of a source …
OUT_L, OUT_TOTAL = 4, 5
# … of a destination and of a service: how many sources ever, and of a service how many triples …
SOURCES, TRIPLES = 6, 7
# … and of a triple.
LAST_TS, GAP_MEAN, GAP_STEADY, SIZE_MEAN, SIZE_STEADY = 4, 5, 6, 7, 8
VALUES = 9

# Scalars kept between calls. Events before ring position FORCED leave both windows at the next row.
CLOCK, HEAD, TAIL_S, TAIL_L, USED, AHEAD, ROWS, FORCED = 0, 1, 2, 3, 4, 5, 6, 7
# BEHIND counts rows as AHEAD does. The clock (inf: none), head and tails as they were before the last leap.
BEHIND, LEAP_CLOCK, LEAP_HEAD, LEAP_TAIL_S, LEAP_TAIL_L = 8, 9, 10, 11, 12
SCALARS = 13

# Flags of an event in the ring.
EVENT_FAILED, EVENT_FRESH = 1, 2


class Output(IntEnum):
    """The values that `advance` writes for each row, before ratios and logarithms; the number is the column."""

    SRC_CONNS_5M = 0
    SRC_CONNS_1H = 1
    SRC_FAILED_5M = 2
    SRC_FAILED_1H = 3
    SRC_HOSTS_5M = 4
    SRC_HOSTS_1H = 5
    SRC_PORTS_5M = 6
    SRC_PORTS_1H = 7
    SRC_FRESH_1H = 8
    SRC_OUT_1H = 9
    SRC_TOTAL = 10
    SRC_OUT_TOTAL = 11
    SRC_AGE_S = 12
    DST_CONNS_5M = 13
    DST_CONNS_1H = 14
    DST_FAILED_5M = 15
    DST_FAILED_1H = 16
    DST_SOURCES_5M = 17
    DST_SOURCES_1H = 18
    DST_SOURCES = 19
    DST_TOTAL = 20
    DST_AGE_S = 21
    PAIR_CONNS_5M = 22
    PAIR_CONNS_1H = 23
    PAIR_FAILED_1H = 24
    PAIR_PORTS_1H = 25
    PAIR_AGE_S = 26
    PORT_CONNS_1H = 27
    PORT_HOSTS_5M = 28
    PORT_HOSTS_1H = 29
    PORT_FAILED_1H = 30
    TRIPLE_CONNS_5M = 31
    TRIPLE_CONNS_1H = 32
    TRIPLE_TOTAL = 33
    TRIPLE_FAILED = 34
    TRIPLE_GAP_MEAN_S = 35
    TRIPLE_GAP_STEADY = 36
    TRIPLE_SIZE_STEADY = 37
    SERVICE_SOURCES = 38
    SERVICE_TRIPLES = 39


OUTPUTS = tuple(o.name.lower() for o in Output)

DONE, GROW_ENTITIES, GROW_RING, HEAL = 0, 1, 2, 3


def advance(start, keys, start_ts, end_ts, failed, size, index, entity_keys, counts, values, ring_t, ring_e, ring_f, ring_b, scalars, out):  # type: ignore[no-untyped-def]
    """Process rows from `start` on; return (rows processed, DONE or what must be done before the next row).

    keys: uint64[n, 6]; start_ts, end_ts: float64[n] seconds (nan: unknown); failed: uint8[n];
    size: float64[n] bytes sent by the originator; out: float32[len(OUTPUTS), n].
    """
    mask = np.uint64(index.shape[0] - 1)
    ring_mask = ring_t.shape[0] - 1
    limit = entity_keys.shape[0] - ENTITIES
    head = int(scalars[HEAD])
    tails = np.array([int(scalars[TAIL_S]), int(scalars[TAIL_L])])
    spans = np.array([WINDOW_SHORT_S, WINDOW_LONG_S])
    forced = int(scalars[FORCED])
    used = int(scalars[USED])
    clock = scalars[CLOCK]
    ahead = scalars[AHEAD]
    behind = scalars[BEHIND]
    row = start
    status = DONE
    slots = np.zeros(ENTITIES, np.int64)
    while row < keys.shape[0]:
        clock_before = clock
        ahead_before = ahead
        behind_before = behind
        end = end_ts[row]
        if end > clock:
            if end - clock <= AHEAD_S or clock < 0.0:
                clock = end
                ahead = 0.0
            else:
                ahead += 1.0
                if ahead >= AHEAD_ROWS:
                    if scalars[LEAP_CLOCK] != clock or scalars[LEAP_HEAD] != head:  # not this row, before growing
                        scalars[LEAP_CLOCK] = clock
                        scalars[LEAP_HEAD] = head
                        scalars[LEAP_TAIL_S] = tails[0]
                        scalars[LEAP_TAIL_L] = tails[1]
                    clock = end
                    ahead = 0.0
        elif end == end:
            ahead = 0.0
        if end < clock - AHEAD_S and (abs(end - scalars[LEAP_CLOCK]) <= HEAL_S or scalars[ROWS] + row - start < START_ROWS):
            behind += 1.0
            if behind >= (AHEAD_ROWS if head - scalars[LEAP_HEAD] < HEAL_ROWS or head < START_ROWS else HEAL_ROWS):
                status = HEAL
                behind = 0.0
                break
        elif end == end:
            behind = 0.0
        # Expire events, from the short window, then from the long one.
        for w in range(2):
            position = tails[w]
            horizon = clock - spans[w]
            while position < head and (ring_t[position & ring_mask] <= horizon or position < forced):
                at = position & ring_mask
                bad = ring_f[at] & EVENT_FAILED
                for k in range(ENTITIES):
                    e = ring_e[at, k]
                    counts[e, N_S + w] -= 1
                    counts[e, FAIL_S + w] -= bad
                src, dst, pair, port, triple = ring_e[at, SRC], ring_e[at, DST], ring_e[at, PAIR], ring_e[at, SRC_PORT], ring_e[at, TRIPLE]
                if w == 1:
                    values[src, OUT_L] -= ring_b[at]
                    if ring_f[at] & EVENT_FRESH:
                        counts[src, FRESH_L] -= 1
                if counts[pair, N_S + w] == 0:
                    counts[src, A_S + w] -= 1
                    counts[dst, A_S + w] -= 1
                if counts[port, N_S + w] == 0:
                    counts[src, B_S + w] -= 1
                if counts[triple, N_S + w] == 0:
                    counts[pair, B_S + w] -= 1
                    counts[port, A_S + w] -= 1
                position += 1
            tails[w] = position
        if used > limit or head - tails[1] >= ring_t.shape[0]:
            status = GROW_ENTITIES if used > limit else GROW_RING
            clock = clock_before  # this row is processed again after growing
            ahead = ahead_before
            behind = behind_before
            break
        bad = failed[row]
        at = head & ring_mask
        new = 0
        for k in range(ENTITIES):
            key = keys[row, k]
            spot = key & mask
            e = index[spot]
            while e >= 0 and entity_keys[e] != key:
                spot = (spot + np.uint64(1)) & mask
                e = index[spot]
            if e < 0:
                e = used
                used += 1
                new |= 1 << k
                index[spot] = e
                entity_keys[e] = key
                for c in range(COUNTS):
                    counts[e, c] = 0
                for c in range(VALUES):
                    values[e, c] = 0.0
                values[e, FIRST_SEEN] = clock
                if k == TRIPLE:
                    values[e, LAST_TS] = np.nan
            slots[k] = e
            ring_e[at, k] = e
            counts[e, N_S] += 1
            counts[e, N_L] += 1
            counts[e, FAIL_S] += bad
            counts[e, FAIL_L] += bad
            values[e, LAST_SEEN] = clock
            values[e, TOTAL] += 1.0
            values[e, FAILED] += bad
        src, dst, pair, port, triple, service = slots[0], slots[1], slots[2], slots[3], slots[4], slots[5]
        for w in range(2):
            if counts[pair, N_S + w] == 1:
                counts[src, A_S + w] += 1
                counts[dst, A_S + w] += 1
            if counts[port, N_S + w] == 1:
                counts[src, B_S + w] += 1
            if counts[triple, N_S + w] == 1:
                counts[pair, B_S + w] += 1
                counts[port, A_S + w] += 1
        event = bad * EVENT_FAILED
        if new & (1 << PAIR):
            counts[src, FRESH_L] += 1
            values[dst, SOURCES] += 1.0
            event |= EVENT_FRESH
        if new & (1 << SRC_PORT):
            values[service, SOURCES] += 1.0
        if new & (1 << TRIPLE):
            values[service, TRIPLES] += 1.0
        sent = size[row]
        values[src, OUT_L] += sent
        values[src, OUT_TOTAL] += sent
        ring_t[at] = clock
        ring_f[at] = event
        ring_b[at] = sent
        head += 1
        # Steadiness of a triple: mean ratio (smaller over larger) of each interval between starts, and of each size,
        # to its running mean. 1 is perfectly regular, whatever the scale.
        began = start_ts[row]
        total = values[triple, TOTAL]
        share = 1.0 / total
        if share < SHARE_LEAST:
            share = SHARE_LEAST
        if began == began:
            gap = abs(began - values[triple, LAST_TS])
            if gap == gap:
                mean = values[triple, GAP_MEAN]
                part = 1.0 / (total - 1.0)
                if part < SHARE_LEAST:
                    part = SHARE_LEAST
                if total > 2.0:
                    near = 1.0
                    if gap < mean:
                        near = gap / mean
                    elif gap > 0.0:
                        near = mean / gap
                    values[triple, GAP_STEADY] += part * (near - values[triple, GAP_STEADY])
                values[triple, GAP_MEAN] += part * (gap - mean)
            values[triple, LAST_TS] = began
        mean = values[triple, SIZE_MEAN]
        if total > 1.0:
            near = 1.0
            if sent < mean:
                near = sent / mean
            elif sent > 0.0:
                near = mean / sent
            values[triple, SIZE_STEADY] += share * (near - values[triple, SIZE_STEADY])
        values[triple, SIZE_MEAN] += share * (sent - mean)

        out[Output.SRC_CONNS_5M, row] = counts[src, N_S]
        out[Output.SRC_CONNS_1H, row] = counts[src, N_L]
        out[Output.SRC_FAILED_5M, row] = counts[src, FAIL_S]
        out[Output.SRC_FAILED_1H, row] = counts[src, FAIL_L]
        out[Output.SRC_HOSTS_5M, row] = counts[src, A_S]
        out[Output.SRC_HOSTS_1H, row] = counts[src, A_L]
        out[Output.SRC_PORTS_5M, row] = counts[src, B_S]
        out[Output.SRC_PORTS_1H, row] = counts[src, B_L]
        out[Output.SRC_FRESH_1H, row] = counts[src, FRESH_L]
        out[Output.SRC_OUT_1H, row] = values[src, OUT_L]
        out[Output.SRC_TOTAL, row] = values[src, TOTAL]
        out[Output.SRC_OUT_TOTAL, row] = values[src, OUT_TOTAL]
        out[Output.SRC_AGE_S, row] = clock - values[src, FIRST_SEEN]
        out[Output.DST_CONNS_5M, row] = counts[dst, N_S]
        out[Output.DST_CONNS_1H, row] = counts[dst, N_L]
        out[Output.DST_FAILED_5M, row] = counts[dst, FAIL_S]
        out[Output.DST_FAILED_1H, row] = counts[dst, FAIL_L]
        out[Output.DST_SOURCES_5M, row] = counts[dst, A_S]
        out[Output.DST_SOURCES_1H, row] = counts[dst, A_L]
        out[Output.DST_SOURCES, row] = values[dst, SOURCES]
        out[Output.DST_TOTAL, row] = values[dst, TOTAL]
        out[Output.DST_AGE_S, row] = clock - values[dst, FIRST_SEEN]
        out[Output.PAIR_CONNS_5M, row] = counts[pair, N_S]
        out[Output.PAIR_CONNS_1H, row] = counts[pair, N_L]
        out[Output.PAIR_FAILED_1H, row] = counts[pair, FAIL_L]
        out[Output.PAIR_PORTS_1H, row] = counts[pair, B_L]
        out[Output.PAIR_AGE_S, row] = clock - values[pair, FIRST_SEEN]
        out[Output.PORT_CONNS_1H, row] = counts[port, N_L]
        out[Output.PORT_HOSTS_5M, row] = counts[port, A_S]
        out[Output.PORT_HOSTS_1H, row] = counts[port, A_L]
        out[Output.PORT_FAILED_1H, row] = counts[port, FAIL_L]
        out[Output.TRIPLE_CONNS_5M, row] = counts[triple, N_S]
        out[Output.TRIPLE_CONNS_1H, row] = counts[triple, N_L]
        out[Output.TRIPLE_TOTAL, row] = total
        out[Output.TRIPLE_FAILED, row] = values[triple, FAILED]
        out[Output.TRIPLE_GAP_MEAN_S, row] = values[triple, GAP_MEAN]
        out[Output.TRIPLE_GAP_STEADY, row] = values[triple, GAP_STEADY]
        out[Output.TRIPLE_SIZE_STEADY, row] = values[triple, SIZE_STEADY]
        out[Output.SERVICE_SOURCES, row] = values[service, SOURCES]
        out[Output.SERVICE_TRIPLES, row] = values[service, TRIPLES]
        row += 1
    scalars[CLOCK] = clock
    scalars[HEAD] = head
    scalars[TAIL_S] = tails[0]
    scalars[TAIL_L] = tails[1]
    scalars[USED] = used
    scalars[AHEAD] = ahead
    scalars[BEHIND] = behind
    scalars[ROWS] += row - start
    return row, status


def recount(counts, values, ring_e, ring_f, ring_b, scalars, expired):  # type: ignore[no-untyped-def]
    """Count the events from both tails to the head anew, after the tails were set back: the inverse of expiring them.

    Events before ring position `expired` had left the long window.
    """
    ring_mask = ring_f.shape[0] - 1
    used = int(scalars[USED])
    counts[:used, :] = 0
    tails = (int(scalars[TAIL_S]), int(scalars[TAIL_L]))
    for position in range(tails[1], int(scalars[HEAD])):
        at = position & ring_mask
        bad = ring_f[at] & EVENT_FAILED
        src, dst, pair, port, triple = ring_e[at, SRC], ring_e[at, DST], ring_e[at, PAIR], ring_e[at, SRC_PORT], ring_e[at, TRIPLE]
        for w in range(2):
            if position < tails[w]:
                continue
            for k in range(ENTITIES):
                counts[ring_e[at, k], N_S + w] += 1
                counts[ring_e[at, k], FAIL_S + w] += bad
            if counts[pair, N_S + w] == 1:
                counts[src, A_S + w] += 1
                counts[dst, A_S + w] += 1
            if counts[port, N_S + w] == 1:
                counts[src, B_S + w] += 1
            if counts[triple, N_S + w] == 1:
                counts[pair, B_S + w] += 1
                counts[port, A_S + w] += 1
        if position < expired:
            values[src, OUT_L] += ring_b[at]
        if ring_f[at] & EVENT_FRESH:
            counts[src, FRESH_L] += 1


def build_index(index, entity_keys, used):  # type: ignore[no-untyped-def]
    """Fill an empty (-1) open-addressing index with the first `used` keys."""
    mask = np.uint64(index.shape[0] - 1)
    for e in range(used):
        spot = entity_keys[e] & mask
        while index[spot] >= 0:
            spot = (spot + np.uint64(1)) & mask
        index[spot] = e


@cache
def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return `function` compiled by numba; cached on disk."""
    import numba

    return numba.njit(cache=True, nogil=True)(function)  # type: ignore[no-any-return]
