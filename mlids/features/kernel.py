"""Exact sliding windows over the conns of every source, destination, pair and service, one row at a time.

Rows are processed in the order Zeek wrote them. The clock is the latest end of a connection so far. It goes back only
when a sensor's clock that had leapt ahead returns: what expired by the leap then enters the windows again. Each row enters
a ring of events; as the clock advances, events leave the 5-minute and the 1-hour window and their counts are subtracted. Distinct counts are exact: an entity counts as a child of another
while its own count in the window is above zero. The amortized cost per row is constant: six look-ups and at
most twelve updates for expired events.

`advance` is plain Python over numpy arrays. Small inputs run it as it is, large ones as numba compiles it. It uses no
transcendental function, so that both return equal numbers.
"""

from __future__ import annotations

import numpy as np

WINDOW_SHORT_S = 300.0
WINDOW_LONG_S = 3600.0
# A time further ahead than this moves the clock only after AHEAD_ROWS consecutive rows: one absurd time expires no window.
AHEAD_S = 3600.0
AHEAD_ROWS = 3
# As many consecutive rows that end within HEAL_S of the clock before a leap take the leap back; HEAL_ROWS of them when the
# leap is longer ago than so many rows. When the log has just begun, before START_ROWS, there is no clock before.
HEAL_S = 86_400.0
HEAL_ROWS = 1_000
START_ROWS = 100
# A running median moves by this share of itself at least, so that it follows a change of pace within some twenty values;
# steadiness is a running mean over about fifty.
MEDIAN_STEP, STEADY_WEIGHT = 0.1, 0.02
# Conns that start closer together than this belong to one call. A gap or a size is near its median within these ratios.
BURST_S = 0.8
NEAR_GAP, NEAR_SIZE = 1.67, 1.1
# What is new on odd ports fades within about a day.
FADE_S = 86_400.0

# Entities of a row, in the order of its keys. A triple is source, destination and service (port and protocol).
SRC, DST, PAIR, SRC_PORT, TRIPLE, SERVICE = 0, 1, 2, 3, 4, 5
ENTITIES = 6

# Integer columns of an entity: short and long window of each. A and B count its children (hosts, services).
# PROBE_L: its failed conns that are no upkeep; FAILED_A_L and FAILED_B_L count the children that have one.
N_S, N_L, FAIL_S, FAIL_L, A_S, A_L, B_S, B_L, FRESH_L, PROBE_L, FAILED_A_L, FAILED_B_L = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
COUNTS = 12
# Float columns of every entity …
FIRST_SEEN, LAST_SEEN, TOTAL, FAILED = 0, 1, 2, 3
# … of a source …
OUT_L, OUT_TOTAL, ODD_HOSTS, ODD_PORTS = 4, 5, 6, 7
# … of a destination and of a service: how many sources ever, and of a service how many triples …
SOURCES, TRIPLES = 6, 7
# … and of a triple.
LAST_TS, GAP_MEDIAN, GAP_STEADY, SIZE_MEDIAN, SIZE_STEADY, GAPS, LASTED = 4, 5, 6, 7, 8, 9, 10
VALUES = 11

# Scalars kept between calls. Events before ring position FORCED leave both windows at the next row.
CLOCK, HEAD, TAIL_S, TAIL_L, USED, AHEAD, ROWS, FORCED = 0, 1, 2, 3, 4, 5, 6, 7
# BEHIND counts rows as AHEAD does. The clock (inf: none), head and tails as they were before the last leap.
BEHIND, LEAP_CLOCK, LEAP_HEAD, LEAP_TAIL_S, LEAP_TAIL_L = 8, 9, 10, 11, 12
SCALARS = 13

# Flags of a row: the conn failed; it failed and is no upkeep (DNS, NTP, discovery); its port is a high one without a usual service.
FAILED_ROW, PROBE_ROW, ODD_ROW = 1, 2, 4
# Flags of an event in the ring.
EVENT_FAILED, EVENT_PROBE, EVENT_FRESH = 1, 2, 4


# What `advance` writes for each row, before ratios and logarithms: name, entity, and its column of counts or values.
COUNTED = (
    ("src_conns_5m", SRC, N_S),
    ("src_conns_1h", SRC, N_L),
    ("src_failed_5m", SRC, FAIL_S),
    ("src_failed_1h", SRC, FAIL_L),
    ("src_hosts_5m", SRC, A_S),
    ("src_hosts_1h", SRC, A_L),
    ("src_ports_5m", SRC, B_S),
    ("src_ports_1h", SRC, B_L),
    ("src_fresh_1h", SRC, FRESH_L),
    ("dst_conns_5m", DST, N_S),
    ("dst_conns_1h", DST, N_L),
    ("dst_failed_5m", DST, FAIL_S),
    ("dst_failed_1h", DST, FAIL_L),
    ("dst_sources_5m", DST, A_S),
    ("dst_sources_1h", DST, A_L),
    ("pair_conns_5m", PAIR, N_S),
    ("pair_conns_1h", PAIR, N_L),
    ("pair_failed_1h", PAIR, FAIL_L),
    ("pair_ports_1h", PAIR, B_L),
    ("port_conns_1h", SRC_PORT, N_L),
    ("port_hosts_5m", SRC_PORT, A_S),
    ("port_hosts_1h", SRC_PORT, A_L),
    ("port_failed_1h", SRC_PORT, FAIL_L),
    ("triple_conns_5m", TRIPLE, N_S),
    ("triple_conns_1h", TRIPLE, N_L),
    ("src_failed_hosts_1h", SRC, FAILED_A_L),
    ("src_failed_ports_1h", SRC, FAILED_B_L),
    ("port_failed_hosts_1h", SRC_PORT, FAILED_A_L),
)
VALUED = (
    ("src_out_1h", SRC, OUT_L),
    ("src_total", SRC, TOTAL),
    ("src_out_total", SRC, OUT_TOTAL),
    ("dst_sources", DST, SOURCES),
    ("dst_total", DST, TOTAL),
    ("triple_total", TRIPLE, TOTAL),
    ("triple_failed", TRIPLE, FAILED),
    ("triple_gap_median_s", TRIPLE, GAP_MEDIAN),
    ("triple_gap_steady", TRIPLE, GAP_STEADY),
    ("triple_size_steady", TRIPLE, SIZE_STEADY),
    ("service_sources", SERVICE, SOURCES),
    ("service_triples", SERVICE, TRIPLES),
    ("src_odd_hosts_1d", SRC, ODD_HOSTS),
    ("src_odd_ports_1d", SRC, ODD_PORTS),
    ("triple_gaps", TRIPLE, GAPS),
    ("triple_lasted_s", TRIPLE, LASTED),
)
# Seconds since the clock's time in that column.
AGES = (
    ("src_age_s", SRC, FIRST_SEEN),
    ("dst_age_s", DST, FIRST_SEEN),
    ("pair_age_s", PAIR, FIRST_SEEN),
)
OUTPUTS = tuple(name for table in (COUNTED, VALUED, AGES) for name, _, _ in table)
_FROM_COUNTS, _FROM_VALUES, _FROM_AGES = (np.array([(e, c) for _, e, c in table]) for table in (COUNTED, VALUED, AGES))

DONE, GROW_ENTITIES, GROW_RING, HEAL = 0, 1, 2, 3


def advance(start, keys, start_ts, end_ts, flags, size, index, entity_keys, counts, values, ring_t, ring_e, ring_f, ring_b, scalars, out):  # type: ignore[no-untyped-def]
    """Process rows from `start` on; return (rows processed, DONE or what must be done before the next row).

    keys: uint64[n, 6]; start_ts, end_ts: float64[n] seconds (nan: unknown); flags: uint8[n], FAILED_ROW, PROBE_ROW and ODD_ROW;
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
                if w == 1 and ring_f[at] & EVENT_PROBE:
                    counts[pair, PROBE_L] -= 1
                    counts[port, PROBE_L] -= 1
                    counts[triple, PROBE_L] -= 1
                    if counts[pair, PROBE_L] == 0:
                        counts[src, FAILED_A_L] -= 1
                    if counts[port, PROBE_L] == 0:
                        counts[src, FAILED_B_L] -= 1
                    if counts[triple, PROBE_L] == 0:
                        counts[port, FAILED_A_L] -= 1
                position += 1
            tails[w] = position
        if used > limit or head - tails[1] >= ring_t.shape[0]:
            status = GROW_ENTITIES if used > limit else GROW_RING
            clock = clock_before  # this row is processed again after growing
            ahead = ahead_before
            behind = behind_before
            break
        bad = flags[row] & FAILED_ROW
        at = head & ring_mask
        new = 0
        idle = 0.0
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
            if k == SRC:
                idle = clock - values[e, LAST_SEEN] if values[e, TOTAL] > 0.0 else 0.0
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
        event = flags[row] & (EVENT_FAILED | EVENT_PROBE)
        if event & EVENT_PROBE:
            counts[pair, PROBE_L] += 1
            counts[port, PROBE_L] += 1
            counts[triple, PROBE_L] += 1
            if counts[pair, PROBE_L] == 1:
                counts[src, FAILED_A_L] += 1
            if counts[port, PROBE_L] == 1:
                counts[src, FAILED_B_L] += 1
            if counts[triple, PROBE_L] == 1:
                counts[port, FAILED_A_L] += 1
        faded = max(1.0 - idle / FADE_S, 0.0)
        values[src, ODD_HOSTS] *= faded
        values[src, ODD_PORTS] *= faded
        if flags[row] & ODD_ROW:
            if new & (1 << PAIR):
                values[src, ODD_HOSTS] += 1.0
            if new & (1 << SRC_PORT):
                values[src, ODD_PORTS] += 1.0
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
        # Steadiness of a triple: the share of the gaps between calls, and of the sizes, that are near their running median.
        began = start_ts[row]
        total = values[triple, TOTAL]
        gap = began - values[triple, LAST_TS]
        if gap >= BURST_S:
            gaps = values[triple, GAPS]
            median = values[triple, GAP_MEDIAN]
            if gaps == 0.0:
                values[triple, GAP_MEDIAN] = gap
            else:
                near = 1.0 if gap <= median * NEAR_GAP and median <= gap * NEAR_GAP else 0.0
                weight = max(1.0 / gaps, STEADY_WEIGHT)
                values[triple, GAP_STEADY] += weight * (near - values[triple, GAP_STEADY])
                step = 1.0 + max(1.0 / (gaps + 1.0), MEDIAN_STEP)
                values[triple, GAP_MEDIAN] = min(median * step, gap) if gap > median else max(median / step, gap)
            values[triple, GAPS] = gaps + 1.0
        if not gap < 0.0 and began == began:  # Zeek writes a conn that it closes by a timeout some minutes late
            values[triple, LAST_TS] = began
        if total > 1.0:
            median = values[triple, SIZE_MEDIAN]
            near = 1.0 if sent <= median * NEAR_SIZE and median <= sent * NEAR_SIZE else 0.0
            weight = max(1.0 / (total - 1.0), STEADY_WEIGHT)
            values[triple, SIZE_STEADY] += weight * (near - values[triple, SIZE_STEADY])
            step = 1.0 + max(1.0 / total, MEDIAN_STEP)
            values[triple, SIZE_MEDIAN] = min(max(median, 1.0) * step, sent) if sent > median else max(median / step, sent)
        else:
            values[triple, SIZE_MEDIAN] = sent
        if end > began:
            values[triple, LASTED] += end - began

        column = 0
        for j in range(_FROM_COUNTS.shape[0]):
            out[column, row] = counts[slots[_FROM_COUNTS[j, 0]], _FROM_COUNTS[j, 1]]
            column += 1
        for j in range(_FROM_VALUES.shape[0]):
            out[column, row] = values[slots[_FROM_VALUES[j, 0]], _FROM_VALUES[j, 1]]
            column += 1
        for j in range(_FROM_AGES.shape[0]):
            out[column, row] = clock - values[slots[_FROM_AGES[j, 0]], _FROM_AGES[j, 1]]
            column += 1
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
        if ring_f[at] & EVENT_PROBE:
            counts[pair, PROBE_L] += 1
            counts[port, PROBE_L] += 1
            counts[triple, PROBE_L] += 1
            if counts[pair, PROBE_L] == 1:
                counts[src, FAILED_A_L] += 1
            if counts[port, PROBE_L] == 1:
                counts[src, FAILED_B_L] += 1
            if counts[triple, PROBE_L] == 1:
                counts[port, FAILED_A_L] += 1
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
