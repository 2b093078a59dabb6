"""One kind of connection as Zeek logs it: port, service, sizes, ends, and what a capture that loses packets shows of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from mlids.synth.draft import Draft, text
from mlids.synth.hosts import log_uniform
from mlids.synth.profiles.pace import Calls

Ends = tuple[tuple[str, str, float], ...]

# conn_state, history and share. Clients that close, servers that close, resets by either side.
CLIENT_ENDS: Ends = (("SF", "ShADadFf", 0.9), ("RSTO", "ShADadFR", 0.06), ("RSTR", "ShADadfr", 0.04))
SERVER_ENDS: Ends = (("SF", "ShADadfF", 0.85), ("RSTR", "ShADadr", 0.1), ("S3", "ShADadf", 0.05))
RESET_ENDS: Ends = (("RSTO", "ShADadR", 0.7), ("SF", "ShADadFf", 0.3))
_SEGMENT = 1_380  # bytes of payload of a full packet


@dataclass(frozen=True)
class Channel:
    """One kind of connection of a profile. Ranges hold for the draw of each instance, log-uniformly; bytes are payload."""

    ports: tuple[int, ...]
    service: str | None
    up: tuple[float, float]
    down: tuple[float, float]
    lasts: tuple[float, float] = (0.05, 2.0)  # seconds
    proto: str = "tcp"
    spread: float = 0.12  # upper bound of the share by which calls of an instance differ
    task: tuple[float, float] = (3_000, 300_000)  # bytes, down or up, of a call with a task
    ends: Ends = CLIENT_ENDS
    any_port: float = 0.0  # chance of a random high port in place of `ports`

    def port(self, rng: np.random.Generator) -> int:
        """Return the port of one instance."""
        if not self.ports or rng.random() < self.any_port:
            return int(rng.integers(1_025, 60_000))
        return int(rng.choice(self.ports))


def conns(
    channel: Channel, calls: Calls, orig: str, resp_h: pl.Series, resp_p: np.ndarray, rng: np.random.Generator, *, lossy: bool = True
) -> Draft:
    """Return the conns of calls over a channel. In one instance of six the capture has lost packets, unless `lossy` is False."""
    draft = _answered(channel, calls, orig, resp_h, resp_p, rng)
    _fail(draft, ~calls.answered, rng)
    if channel.proto == "tcp" and lossy:
        _lose(draft, calls.answered, rng)
    return draft


def _answered(channel: Channel, calls: Calls, orig: str, resp_h: pl.Series, resp_p: np.ndarray, rng: np.random.Generator) -> Draft:
    n = len(calls.ts)
    udp = channel.proto == "udp"
    spread = rng.uniform(0.0, channel.spread)
    up, down, lasts = (log_uniform(*r, rng) for r in (channel.up, channel.down, channel.lasts))
    sent = np.round(up * (1 + spread * rng.uniform(0, 1, n)))
    received = np.round(down * (1 + spread * rng.uniform(0, 1, n)))
    upload = calls.busy & (rng.random(n) < 0.3)
    task = np.exp(rng.uniform(np.log(channel.task[0]), np.log(channel.task[1]), n))
    sent, received = np.where(upload, sent + task, sent), np.where(calls.busy & ~upload, received + task, received)
    states, histories, shares = zip(*((("SF", "Dd", 1.0),) if udp else channel.ends), strict=True)
    end = rng.choice(len(states), n, p=np.array(shares) / sum(shares))
    data_o, data_r = np.ceil(sent / _SEGMENT), np.ceil(received / _SEGMENT)
    return Draft(
        ts=calls.ts,
        orig_h=text(orig, n),
        orig_p=_next_ports(n, rng),
        resp_h=resp_h,
        resp_p=resp_p,
        proto=text(channel.proto, n),
        service=text(channel.service, n),
        duration=np.maximum(lasts * rng.lognormal(0, 0.3, n) + (sent + received) / 2e6, 1e-5),
        orig_bytes=sent,
        resp_bytes=received,
        conn_state=pl.Series(np.array(states)[end]),
        history=pl.Series(np.array(histories)[end]),
        orig_pkts=np.maximum(data_o, 1) if udp else 4 + data_o + data_r // 2,
        resp_pkts=np.maximum(data_r, 1) if udp else 3 + data_r + data_o // 2,
        missed_bytes=np.zeros(n),
    )


def _next_ports(n: int, rng: np.random.Generator) -> np.ndarray:
    """Return source ports as a system gives them: one after another with gaps on Windows, at random on Linux."""
    if rng.random() < 0.5:
        return rng.integers(32_768, 60_999, n)
    return 49_152 + (rng.integers(0, 16_000) + np.cumsum(rng.integers(1, 12, n))) % 16_384


def _change(draft: Draft, rows: np.ndarray, **values: object) -> None:
    """Set columns of the given rows (bool[n]) to a value each, or to the values of an array of n."""
    for name, value in values.items():
        old = getattr(draft, name)
        if isinstance(old, pl.Series):
            new = value if isinstance(value, pl.Series) else text(value, len(old))  # type: ignore[arg-type]
            setattr(draft, name, pl.select(pl.when(pl.Series(rows)).then(new).otherwise(old)).to_series())
        else:
            setattr(draft, name, np.where(rows, value, old))  # type: ignore[call-overload]


def _fail(draft: Draft, rows: np.ndarray, rng: np.random.Generator) -> None:
    """Make rows unanswered: one instance refuses them, the others are silent and the client tries one to three times."""
    n = len(draft.ts)
    if not rows.any():
        return
    if draft.proto[0] == "udp":
        packets = rng.integers(1, 4)
        lasted = np.nan if packets == 1 else rng.uniform(0.5, 4, n)
        _change(
            draft, rows, conn_state="S0", history="D", service=None, resp_bytes=0, resp_pkts=0, duration=lasted,
            orig_pkts=packets, orig_bytes=np.minimum(draft.orig_bytes, 1_200) * packets,
        )  # fmt: skip
        return
    refused = rng.random() < 0.3
    tries = 1 if refused else rng.integers(1, 4)
    # Retries come after 3 and 9 s on Windows, after 1 and 3 s on Linux.
    silent = np.nan if tries == 1 else {2: 1.0, 3: 3.0}[int(tries)] * rng.choice([1.0, 3.0]) + rng.uniform(0, 0.05, n)
    _change(
        draft, rows, service=None, orig_bytes=0, resp_bytes=0, orig_pkts=tries, resp_pkts=1 if refused else 0,
        conn_state="REJ" if refused else "S0", history="Sr" if refused else "S", duration=rng.exponential(0.05, n) + 1e-4 if refused else silent,
    )  # fmt: skip


def _lose(draft: Draft, rows: np.ndarray, rng: np.random.Generator) -> None:
    """Make an instance as a capture shows it that misses one direction, single packets, or the beginnings."""
    n = len(draft.ts)
    kind = rng.choice(["whole", "responder", "originator", "gaps", "beginnings"], p=[0.82, 0.05, 0.02, 0.07, 0.04])
    if kind == "responder":  # the originator's packets are missed: Zeek takes the direction from the answer
        _change(draft, rows, orig_bytes=0, orig_pkts=0, service=None, conn_state="SHR", history="^hadf")
    elif kind == "originator":
        _change(draft, rows, resp_bytes=0, resp_pkts=0, service=None, conn_state="SH", history="SADF")
    elif kind == "gaps":
        some = rows & (rng.random(n) < rng.uniform(0.1, 0.9))
        lost = np.minimum(np.floor(draft.resp_bytes * rng.uniform(0.1, 0.8, n)), draft.resp_bytes)
        _change(
            draft,
            some & (lost > 0),
            missed_bytes=lost,
            history="ShADadgFf",
            conn_state="SF",
            resp_pkts=np.maximum(draft.resp_pkts - lost // _SEGMENT - 1, 3),
        )
    elif kind == "beginnings":
        some = rows & (rng.random(n) < rng.uniform(0.2, 1.0))
        _change(draft, some, service=None, conn_state="OTH", history="DadA")
