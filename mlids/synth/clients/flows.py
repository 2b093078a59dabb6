"""Conns of one exchange, drawn for arrays of times, sources and destinations by Zeek's rules."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from mlids.synth.clients.hosts import ClientDay
from mlids.synth.clients.profiles import Exchange
from mlids.synth.draft import Draft, text
from mlids.synth.draws import lognormal, weighted_choice

_UNPAID = ("S0", "REJ", "SH", "RSTOS0")
_RETRY_S = np.array([0.0, 1.0, 3.0, 7.0, 15.0, 31.0, 63.0])


def conns(
    day: ClientDay, exchange: Exchange, ts: np.ndarray, who: np.ndarray, resp_h: pl.Series, rng: np.random.Generator, **fixed: Any
) -> Draft:
    """Return a conn of `exchange` for each time (seconds of day), source (index of a host) and destination address.

    `fixed` are columns that are given instead of drawn: `resp_p`, `orig_p`, `duration`, `orig_bytes`, `resp_bytes`, `orig_h`.
    What contradicts the end that is drawn is corrected: no payload without D or d in the history, no duration with one packet.
    """
    n = len(ts)
    chosen = weighted_choice(day.net.shares(exchange.ends), n, rng)
    histories, states = np.array([e[1] for e in exchange.ends]), np.array([e[0] for e in exchange.ends])
    drawn = {"duration": exchange.duration, "orig_bytes": exchange.orig_bytes, "resp_bytes": exchange.resp_bytes}
    value = {name: fixed[name] if name in fixed else lognormal(shape, n, rng) for name, shape in drawn.items()}
    sizes = _sizes(exchange, states[chosen], histories, chosen, value, rng)
    history = pl.Series([e[1] or None for e in exchange.ends], dtype=pl.String).gather(chosen)
    service = pl.Series([exchange.service if _spoke(exchange.proto, e[1]) else None for e in exchange.ends], dtype=pl.String).gather(chosen)
    return Draft(
        ts=day.start + ts,
        orig_h=fixed["orig_h"] if "orig_h" in fixed else day.net.sources(who, resp_h),
        orig_p=fixed.get("orig_p", rng.integers(1024 if rng.random() < 0.5 else 32_768, 65_535, n) if exchange.proto != "icmp" else np.full(n, 8)),
        resp_h=resp_h,
        resp_p=fixed.get("resp_p", np.full(n, exchange.port)),
        proto=text(exchange.proto, n),
        service=service,
        conn_state=pl.Series(states[chosen]),
        history=history,
        duration=sizes["duration"],
        orig_bytes=sizes["orig_bytes"],
        resp_bytes=sizes["resp_bytes"],
        orig_pkts=sizes["orig_pkts"],
        resp_pkts=sizes["resp_pkts"],
    )  # fmt: skip


def _spoke(proto: str, history: str) -> bool:
    return ("D" in history and "d" in history) or (proto == "udp" and "D" in history)


def _sizes(
    exchange: Exchange, state: np.ndarray, histories: np.ndarray, chosen: np.ndarray, value: dict[str, np.ndarray], rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Return duration, bytes and packets that agree with state and history."""
    icmp = exchange.proto == "icmp"
    sent = (np.char.find(histories, "D") >= 0)[chosen] | icmp
    answered = (np.char.find(histories, "d") >= 0)[chosen] | icmp
    letters = {way: np.array([sum(c.isalpha() and c.isupper() == way for c in h) for h in histories])[chosen] for way in (True, False)}
    orig, resp = np.where(sent, value["orig_bytes"], 0), np.where(answered, value["resp_bytes"], 0)
    orig_pkts = np.ceil(orig / 1_250) + np.where(exchange.proto == "tcp", letters[True], 0)
    resp_pkts = np.ceil(resp / 1_320) + np.where(exchange.proto == "tcp", letters[False], 0)
    duration = value["duration"]
    if exchange.proto == "tcp":
        tries = np.where(state == "S0", rng.choice([1, 2, 3, 4, 5, 6], len(state), p=[0.35, 0.2, 0.2, 0.15, 0.05, 0.05]), 1)
        waited = _RETRY_S[tries - 1] * rng.uniform(1.0, 1.03, len(state))
        orig_pkts = np.where(state == "S0", tries, orig_pkts)
        duration = np.where(np.isin(state, _UNPAID), np.where(state == "S0", waited, rng.exponential(0.08, len(state))), duration)
    one = (orig_pkts + resp_pkts <= 1) & ((resp == 0) | (orig == 0))
    return {
        "duration": np.where(one, np.nan, np.maximum(duration, 1e-5)),
        "orig_bytes": orig, "resp_bytes": resp, "orig_pkts": orig_pkts, "resp_pkts": resp_pkts,
    }  # fmt: skip
