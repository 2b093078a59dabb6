"""The recent past of every source, destination and pair: exact sliding windows, one row at a time.

Rows are taken in the order Zeek wrote them. A row's event time is the clock: the largest end of a
connection so far, which never goes back. Each row enters a ring of events; as the clock moves, events
leave the 5-minute and the 1-hour window and take their counts with them. A distinct count is exact: an
entity counts as a child of another while its own count in the window is above zero. Cost per row is
constant: five look-ups and at most ten updates for what expires.

`advance` is plain Python over numpy arrays. Small inputs run it as it stands; `compiled()` is the very
same function through numba. No transcendental function is used, so that both give equal numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

WINDOW_SHORT_S = 300.0
WINDOW_LONG_S = 3600.0
# A time further ahead than this is believed only after AHEAD_ROWS rows in a row agree: one absurd stamp
# must not push every window into the future.
AHEAD_S = 3600.0
AHEAD_ROWS = 3

# Entities of a row, in the order of its keys.
SRC, DST, PAIR, SRC_PORT, TRIPLE = 0, 1, 2, 3, 4
ENTITIES = 5

# Integer columns of an entity: short and long window of each.
N_S, N_L, FAIL_S, FAIL_L, A_S, A_L, B_S, B_L = 0, 1, 2, 3, 4, 5, 6, 7
COUNTS = 8
# Float columns of an entity.
LAST_TS, FIRST_SEEN, LAST_SEEN, TOTAL, GAP_MEAN, GAP_VAR, SIZE_MEAN, SIZE_VAR, OUT_L = 0, 1, 2, 3, 4, 5, 6, 7, 8
VALUES = 9

# Scalars kept between calls.
CLOCK, HEAD, TAIL_S, TAIL_L, USED, AHEAD, ROWS = 0, 1, 2, 3, 4, 5, 6
SCALARS = 7

# What a row gets, before ratios and logarithms (mlids.features.context).
OUTPUTS = [
    "src_conns_5m",
    "src_conns_1h",
    "src_failed_5m",
    "src_failed_1h",
    "src_hosts_5m",
    "src_hosts_1h",
    "src_ports_5m",
    "src_ports_1h",
    "src_out_1h",
    "src_age_s",
    "dst_conns_5m",
    "dst_conns_1h",
    "dst_failed_5m",
    "dst_failed_1h",
    "dst_sources_5m",
    "dst_sources_1h",
    "pair_conns_5m",
    "pair_conns_1h",
    "pair_failed_1h",
    "pair_ports_1h",
    "pair_age_s",
    "port_conns_1h",
    "port_hosts_5m",
    "port_hosts_1h",
    "port_failed_1h",
    "triple_conns_5m",
    "triple_conns_1h",
    "triple_total",
    "triple_gap_s",
    "triple_gap_mean_s",
    "triple_gap_var",
    "triple_size_mean",
    "triple_size_var",
]

DONE, GROW_ENTITIES, GROW_RING = 0, 1, 2


def advance(start, keys, start_ts, end_ts, failed, size, index, entity_keys, counts, values, ring_t, ring_e, ring_f, ring_b, scalars, out):  # type: ignore[no-untyped-def]
    """Take rows from `start` on; return (rows taken so far, DONE or what must grow before the next row).

    keys: uint64[n, 5]; start_ts, end_ts: float64[n] seconds (nan: unknown); failed: uint8[n];
    size: float64[n] bytes sent by the originator; out: float64[n, len(OUTPUTS)].
    """
    mask = np.uint64(index.shape[0] - 1)
    ring_mask = ring_t.shape[0] - 1
    limit = entity_keys.shape[0] - ENTITIES
    head = int(scalars[HEAD])
    tail_s = int(scalars[TAIL_S])
    tail_l = int(scalars[TAIL_L])
    used = int(scalars[USED])
    clock = scalars[CLOCK]
    ahead = scalars[AHEAD]
    row = start
    status = DONE
    slots = np.zeros(ENTITIES, np.int64)
    while row < keys.shape[0]:
        if used > limit:
            status = GROW_ENTITIES
            break
        if head - tail_l >= ring_t.shape[0]:
            status = GROW_RING
            break
        end = end_ts[row]
        if end > clock:
            if end - clock <= AHEAD_S or clock < 0.0:
                clock = end
                ahead = 0.0
            else:
                ahead += 1.0
                if ahead >= AHEAD_ROWS:
                    clock = end
                    ahead = 0.0
        elif end == end:
            ahead = 0.0
        # What has left the windows, the long one after the short one.
        while tail_s < head and ring_t[tail_s & ring_mask] <= clock - WINDOW_SHORT_S:
            at = tail_s & ring_mask
            bad = ring_f[at]
            for k in range(ENTITIES):
                e = ring_e[at, k]
                counts[e, N_S] -= 1
                counts[e, FAIL_S] -= bad
            if counts[ring_e[at, PAIR], N_S] == 0:
                counts[ring_e[at, SRC], A_S] -= 1
                counts[ring_e[at, DST], A_S] -= 1
            if counts[ring_e[at, SRC_PORT], N_S] == 0:
                counts[ring_e[at, SRC], B_S] -= 1
            if counts[ring_e[at, TRIPLE], N_S] == 0:
                counts[ring_e[at, PAIR], B_S] -= 1
                counts[ring_e[at, SRC_PORT], A_S] -= 1
            tail_s += 1
        while tail_l < tail_s and ring_t[tail_l & ring_mask] <= clock - WINDOW_LONG_S:
            at = tail_l & ring_mask
            bad = ring_f[at]
            for k in range(ENTITIES):
                e = ring_e[at, k]
                counts[e, N_L] -= 1
                counts[e, FAIL_L] -= bad
            values[ring_e[at, SRC], OUT_L] -= ring_b[at]
            if counts[ring_e[at, PAIR], N_L] == 0:
                counts[ring_e[at, SRC], A_L] -= 1
                counts[ring_e[at, DST], A_L] -= 1
            if counts[ring_e[at, SRC_PORT], N_L] == 0:
                counts[ring_e[at, SRC], B_L] -= 1
            if counts[ring_e[at, TRIPLE], N_L] == 0:
                counts[ring_e[at, PAIR], B_L] -= 1
                counts[ring_e[at, SRC_PORT], A_L] -= 1
            tail_l += 1
        bad = failed[row]
        at = head & ring_mask
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
                index[spot] = e
                entity_keys[e] = key
                for c in range(COUNTS):
                    counts[e, c] = 0
                for c in range(VALUES):
                    values[e, c] = 0.0
                values[e, FIRST_SEEN] = clock
                values[e, LAST_TS] = np.nan
            slots[k] = e
            ring_e[at, k] = e
            counts[e, N_S] += 1
            counts[e, N_L] += 1
            counts[e, FAIL_S] += bad
            counts[e, FAIL_L] += bad
            values[e, LAST_SEEN] = clock
            values[e, TOTAL] += 1.0
        src, dst, pair, port, triple = slots[0], slots[1], slots[2], slots[3], slots[4]
        if counts[pair, N_S] == 1:
            counts[src, A_S] += 1
            counts[dst, A_S] += 1
        if counts[pair, N_L] == 1:
            counts[src, A_L] += 1
            counts[dst, A_L] += 1
        if counts[port, N_S] == 1:
            counts[src, B_S] += 1
        if counts[port, N_L] == 1:
            counts[src, B_L] += 1
        if counts[triple, N_S] == 1:
            counts[pair, B_S] += 1
            counts[port, A_S] += 1
        if counts[triple, N_L] == 1:
            counts[pair, B_L] += 1
            counts[port, A_L] += 1
        sent = size[row]
        values[src, OUT_L] += sent
        ring_t[at] = clock
        ring_f[at] = bad
        ring_b[at] = sent
        head += 1
        # Regularity of this source towards this service: intervals between starts, and sizes.
        began = start_ts[row]
        total = values[triple, TOTAL]
        gap = np.nan
        if began == began:
            if total > 1.0:
                gap = began - values[triple, LAST_TS]
                if gap == gap:
                    gap = abs(gap)
                    share = 1.0 / (total - 1.0)
                    if share < 0.05:
                        share = 0.05
                    delta = gap - values[triple, GAP_MEAN]
                    values[triple, GAP_MEAN] += share * delta
                    values[triple, GAP_VAR] = (1.0 - share) * (values[triple, GAP_VAR] + share * delta * delta)
            values[triple, LAST_TS] = began
        share = 1.0 / total
        if share < 0.05:
            share = 0.05
        delta = sent - values[triple, SIZE_MEAN]
        values[triple, SIZE_MEAN] += share * delta
        values[triple, SIZE_VAR] = (1.0 - share) * (values[triple, SIZE_VAR] + share * delta * delta)

        out[row, 0] = counts[src, N_S]
        out[row, 1] = counts[src, N_L]
        out[row, 2] = counts[src, FAIL_S]
        out[row, 3] = counts[src, FAIL_L]
        out[row, 4] = counts[src, A_S]
        out[row, 5] = counts[src, A_L]
        out[row, 6] = counts[src, B_S]
        out[row, 7] = counts[src, B_L]
        out[row, 8] = values[src, OUT_L]
        out[row, 9] = clock - values[src, FIRST_SEEN]
        out[row, 10] = counts[dst, N_S]
        out[row, 11] = counts[dst, N_L]
        out[row, 12] = counts[dst, FAIL_S]
        out[row, 13] = counts[dst, FAIL_L]
        out[row, 14] = counts[dst, A_S]
        out[row, 15] = counts[dst, A_L]
        out[row, 16] = counts[pair, N_S]
        out[row, 17] = counts[pair, N_L]
        out[row, 18] = counts[pair, FAIL_L]
        out[row, 19] = counts[pair, B_L]
        out[row, 20] = clock - values[pair, FIRST_SEEN]
        out[row, 21] = counts[port, N_L]
        out[row, 22] = counts[port, A_S]
        out[row, 23] = counts[port, A_L]
        out[row, 24] = counts[port, FAIL_L]
        out[row, 25] = counts[triple, N_S]
        out[row, 26] = counts[triple, N_L]
        out[row, 27] = total
        out[row, 28] = gap
        out[row, 29] = values[triple, GAP_MEAN]
        out[row, 30] = values[triple, GAP_VAR]
        out[row, 31] = values[triple, SIZE_MEAN]
        out[row, 32] = values[triple, SIZE_VAR]
        row += 1
    scalars[CLOCK] = clock
    scalars[HEAD] = head
    scalars[TAIL_S] = tail_s
    scalars[TAIL_L] = tail_l
    scalars[USED] = used
    scalars[AHEAD] = ahead
    scalars[ROWS] += row - start
    return row, status


def expire(until, counts, values, ring_e, ring_f, ring_b, scalars):  # type: ignore[no-untyped-def]
    """Let the oldest events leave both windows until ring position `until`: memory before completeness."""
    ring_mask = ring_f.shape[0] - 1
    tail_s = int(scalars[TAIL_S])
    tail_l = int(scalars[TAIL_L])
    for window in range(2):
        position = tail_s if window == 0 else tail_l
        while position < until:
            at = position & ring_mask
            for k in range(ENTITIES):
                counts[ring_e[at, k], N_S + window] -= 1
                counts[ring_e[at, k], FAIL_S + window] -= ring_f[at]
            if window == 1:
                values[ring_e[at, SRC], OUT_L] -= ring_b[at]
            if counts[ring_e[at, PAIR], N_S + window] == 0:
                counts[ring_e[at, SRC], A_S + window] -= 1
                counts[ring_e[at, DST], A_S + window] -= 1
            if counts[ring_e[at, SRC_PORT], N_S + window] == 0:
                counts[ring_e[at, SRC], B_S + window] -= 1
            if counts[ring_e[at, TRIPLE], N_S + window] == 0:
                counts[ring_e[at, PAIR], B_S + window] -= 1
                counts[ring_e[at, SRC_PORT], A_S + window] -= 1
            position += 1
        if window == 0:
            tail_s = position
        else:
            tail_l = position
    scalars[TAIL_S] = tail_s
    scalars[TAIL_L] = tail_l


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
    """Return `function` through numba; compiled once and kept on disk."""
    import numba

    return numba.njit(cache=True, nogil=True)(function)  # type: ignore[no-any-return]
