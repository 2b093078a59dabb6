"""Gathers evidence into cases: one per host of the site, and one per service that is attacked from outside.

Independent evidence adds up, repetition does not. About one other side, different logs are combined by noisy-OR; within one log
further kinds count half, and what conn.log says counts once, as its parts were combined already. Other logs' evidence about
further sides adds half: ordinary hosts have a little against many of their servers.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl

from mlids.cases.case import Case, Subject, strongest_first
from mlids.cases.severity import LEVELS, severity_of
from mlids.cases.weighing import Other, facts_of, is_probe, known_of, weighed
from mlids.evidence.base import Evidence, SiteView
from mlids.text import span

# Evidence below this is said by nearly every host, and begins no case by itself.
LEAST = 0.25
# A log adds to what another says of one side from this on.
ADDS_FROM = 0.25
# What evidence about another side must have to add to a case, and what it adds.
ELSEWHERE_FROM, ELSEWHERE = 0.35, 0.5
# What further kinds of one log say about one side counts this much: a download has a request, a file and a program.
FURTHER = 0.5
_FAMILY = {"": "conn", "files": "http", "pe": "http", "x509": "ssl", "smb_files": "smb", "smb_mapping": "smb"}
# Guessing from outside that got nothing: several sources mean the Internet's daily noise, and a low case.
GUESSING = frozenset(["brute_force", "ssh_guessing", "rdp_guessing", "web_login_guessing"])
DAILY_SOURCES, DAILY_SCORE = 3, 0.45
# So many outside sources of probes at one service within this time are a flood; at the second number its score is highest.
FLOOD_SOURCES, FLOOD_S = (150, 1_000), 600.0
# What one outside host and one service have between them is its own case.
_TALKS = frozenset(["beacon", "long_connection", "command_and_control"])
EVIDENCE_KEPT = 50  # of a case


@dataclass(frozen=True)
class Background:
    """Probes from outside that got nothing, of a sensor: a digest, not a case."""

    sources: int = 0  # different ones
    services: int = 0  # different hosts and ports that they tried
    conns: int = 0
    evidence: tuple[Evidence, ...] = ()  # the largest


@dataclass(frozen=True)
class Gathered:
    """The cases of a sensor, the most severe first, and the background."""

    cases: list[Case]
    background: Background = Background()


def gather(evidence: Sequence[Evidence], site: SiteView, sensor: str, levels: Sequence[float] = LEVELS) -> Gathered:
    """Return the cases that evidence makes; `levels` are the scores of medium, high and critical."""
    evidence = [e for e in evidence if e.source or e.target]
    if not evidence:
        return Gathered([])
    ends = sorted({a for e in evidence for a in (e.source, e.target) if a})
    inside = dict(zip(ends, site.inside(pl.Series(ends, dtype=pl.String)).to_list(), strict=True))
    others = known_of(evidence, site)
    by_subject: dict[tuple[str, str, str], list[Evidence]] = defaultdict(list)
    subjects, probes = {}, []
    for e in weighed(evidence, facts_of(evidence, inside, others, dns_read="dns" in site.names.judged)):
        source_inside, target_inside = inside.get(e.source, False), inside.get(e.target, False)
        if is_probe(e, source_inside=source_inside, target_inside=target_inside):
            probes.append(e)
            continue
        subject = _subject(e, source_inside=source_inside, target_inside=target_inside)
        subjects[subject.key] = subject
        by_subject[subject.key].append(e)
    for e in floods(probes):
        subject = Subject(e.target, f"{e.port}/{e.proto}")
        subjects[subject.key] = subject
        by_subject[subject.key].append(e)
    cases = []
    for key, found in by_subject.items():
        case = case_of(sensor, subjects[key], found, others, levels)
        if case.score >= 100.0 * LEAST:
            cases.append(case)
    cases.sort(key=lambda c: (-c.score, c.subject.key))
    return Gathered(cases, _background(probes))


def floods(probes: Sequence[Evidence]) -> list[Evidence]:
    """Return a flood for each service that many outside sources reached within FLOOD_S: each of their conns alone is a probe."""
    by_service: dict[tuple[str, int, str], list[Evidence]] = defaultdict(list)
    for e in probes:
        if e.target and e.port is not None and e.first is not None:
            by_service[e.target, e.port, e.proto].append(e)
    out = []
    for (target, port, proto), found in by_service.items():
        if len(found) < FLOOD_SOURCES[0]:
            continue
        begun = sorted(e.first.timestamp() for e in found if e.first is not None)
        starts = _window_starts(begun, FLOOD_S)
        most = max(range(len(begun)), key=lambda i: i - starts[i])
        sources = most - starts[most] + 1
        if sources < FLOOD_SOURCES[0]:
            continue
        among = sorted((e for e in found if e.first is not None), key=lambda e: e.first.timestamp() if e.first else 0.0)[
            starts[most] : most + 1
        ]
        score = 0.5 + 0.4 * min((sources - FLOOD_SOURCES[0]) / (FLOOD_SOURCES[1] - FLOOD_SOURCES[0]), 1.0)
        seconds = begun[most] - begun[starts[most]]
        out.append(
            Evidence(
                kind="flood", score=score, text=f"{sources:,} outside sources within {span(max(seconds, 1.0))}", source=among[0].source, subject="",
                uids=tuple(u for e in among for u in e.uids[:1])[:10], target=target, port=port, proto=proto, first=among[0].first,
                last=max(e.last or e.first for e in among if e.first is not None), count=sum(e.count for e in among), log="conn",
                sentence=f"and {sources - 1:,} other hosts flood {target} on port {port}/{proto}",
            )
        )  # fmt: skip
    return out


def _window_starts(begun: Sequence[float], length_s: float) -> list[int]:
    """Return for each time, in rising order, the index of the first that is at most `length_s` before it."""
    return [bisect_left(begun, at - length_s) for at in begun]


def case_of(
    sensor: str, subject: Subject, evidence: Sequence[Evidence], others: Mapping[str, Other], levels: Sequence[float] = LEVELS
) -> Case:
    """Return the case that evidence about one subject makes; the evidence was weighed before."""
    found = _daily_noise(evidence) if subject.service else list(evidence)
    score = 100.0 * combined(found)
    kept = strongest_first(_once(found))[:EVIDENCE_KEPT]
    about = {e.target: others[e.target] for e in kept if e.target in others}
    return Case(sensor, subject, score, severity_of(score, levels), kept, about)


def _subject(e: Evidence, *, source_inside: bool, target_inside: bool) -> Subject:
    if source_inside or not target_inside:
        return Subject(e.source or e.target)
    port = f"{e.port}/{e.proto}" if e.port is not None else e.proto or "any"
    return Subject(e.target, port, e.source if e.kind in _TALKS else "")


def combined(evidence: Sequence[Evidence]) -> float:
    """Return the score of a case, 0 to 1, from its evidence."""
    levels: dict[str, dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))  # by other side, by log, by kind
    for e in evidence:
        kinds = levels[e.target or e.subject][_FAMILY.get(e.log, e.log)]
        kinds[e.kind] = max(kinds.get(e.kind, 0.0), min(e.score, 1.0))
    voices = {side: {log: _one_log(log, kinds) for log, kinds in logs.items()} for side, logs in levels.items()}
    sides = {side: _of_side(logs.values()) for side, logs in voices.items()}
    most = max(sides, key=lambda side: (sides[side], side))
    elsewhere: dict[str, float] = {}
    for side, logs in voices.items():
        for log, level in logs.items():
            if side != most and log not in voices[most] and level >= ELSEWHERE_FROM:
                elsewhere[log] = max(elsewhere.get(log, 0.0), ELSEWHERE * level)
    return _noisy_or([sides[most], *elsewhere.values()])


def _of_side(levels: Iterable[float]) -> float:
    """Return what all logs say of one side: the strongest, and others from ADDS_FROM on."""
    first, *others = sorted(levels, reverse=True)
    return _noisy_or([first, *(level for level in others if level >= ADDS_FROM)])


def _one_log(log: str, kinds: Mapping[str, float]) -> float:
    """Return what one log says of one side: its kinds overlap, so that those beside the strongest count half; conn.log has one voice."""
    first, *further = sorted(kinds.values(), reverse=True)
    return first if log == "conn" else _noisy_or([first, *(FURTHER * level for level in further)])


def _noisy_or(levels: Iterable[float]) -> float:
    none = 1.0
    for level in levels:
        none *= 1.0 - level
    return 1.0 - none


def _daily_noise(evidence: Sequence[Evidence]) -> list[Evidence]:
    """Return the evidence about an attacked service; guessing by several outside sources counts little."""
    if len({e.source for e in evidence if e.kind in GUESSING}) < DAILY_SOURCES:
        return list(evidence)
    return [replace(e, score=min(e.score, DAILY_SCORE)) if e.kind in GUESSING else e for e in evidence]


def _once(evidence: Sequence[Evidence]) -> list[Evidence]:
    """Return one piece of evidence per kind, source, target and subject: counts add up, spans join."""
    groups: dict[tuple[str, str, str, str, int | None], list[Evidence]] = defaultdict(list)
    for e in evidence:
        groups[e.kind, e.source, e.target, e.subject, e.port].append(e)
    return [same[0] if len(same) == 1 else _joined(same) for same in groups.values()]


def _joined(same: Sequence[Evidence]) -> Evidence:
    first = [e.first for e in same if e.first is not None]
    last = [e.last for e in same if e.last is not None]
    return replace(
        max(same, key=lambda e: e.score), first=min(first, default=None), last=max(last, default=None),
        count=sum(e.count for e in same), uids=tuple(dict.fromkeys(u for e in same for u in e.uids)),
    )  # fmt: skip


def _background(probes: Sequence[Evidence]) -> Background:
    largest = tuple(sorted(probes, key=lambda e: -e.count)[:10])
    services = {(e.target, e.port, e.proto) for e in probes}
    return Background(len({e.source for e in probes if e.source}), len(services), sum(e.count for e in probes), largest)
