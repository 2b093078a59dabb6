"""SSH sessions of benign conns: logins that succeed, now and then after a wrong password, and rarely one that is given up."""

from __future__ import annotations

import numpy as np
import polars as pl

from mlids.synth.ordinary.names import later
from mlids.synth.profiles.base import Logs
from mlids.synth.profiles.logs import log_frame, serving

_CLIENTS = (
    "SSH-2.0-OpenSSH_9.6p1 Ubuntu-3ubuntu13.5",
    "SSH-2.0-OpenSSH_for_Windows_9.5",
    "SSH-2.0-PuTTY_Release_0.81",
    "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3",
)
_SERVERS = ("SSH-2.0-OpenSSH_9.6p1 Ubuntu-3ubuntu13.5", "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3", "SSH-2.0-OpenSSH_8.7")
_JOB_BYTES = 1_000_000  # a session that sends more is a job with a key, which mistypes no password


def logins(conns: pl.DataFrame, rng: np.random.Generator) -> Logs:
    """Return rows of ssh.log for the conns of the service ssh, described as by `SiteNames`."""
    rows = serving(conns, "ssh").filter(pl.col("resp_bytes").fill_null(0) > 0)
    n = rows.height
    if not n:
        return {}
    chance = rng.random(n)
    person = rows["orig_bytes"].fill_null(0).to_numpy() < _JOB_BYTES
    given_up = person & (chance < 0.02)
    unsure = person & (chance > 0.98)  # Zeek guesses from the sizes, and says nothing where it cannot
    mistyped = person & (chance < 0.09)
    tries = np.where(given_up, rng.integers(1, 4, n), np.where(mistyped, rng.integers(2, 4, n), 1))
    direction = (
        pl.when(pl.col("local_orig") & ~pl.col("local_resp"))
        .then(pl.lit("OUTBOUND"))
        .when(~pl.col("local_orig") & pl.col("local_resp"))
        .then(pl.lit("INBOUND"))
    )
    frame = log_frame(
        "ssh", rows, ts=later(rows, rng.exponential(0.03, n)), version=2,
        auth_success=pl.select(pl.when(~pl.Series(unsure)).then(pl.Series(~given_up))).to_series(), auth_attempts=pl.Series(tries),
        direction=rows.select(direction.alias("d"))["d"],
        client=pl.Series(_CLIENTS).gather(rows["_orig"].to_numpy() % len(_CLIENTS)), server=pl.Series(_SERVERS).gather(rows["_resp"].to_numpy() % len(_SERVERS)),
        cipher_alg="chacha20-poly1305@openssh.com", mac_alg="umac-64-etm@openssh.com", compression_alg="none", kex_alg="curve25519-sha256", host_key_alg="ssh-ed25519",
        host_key=_host_keys(rows["_resp"]),
    )  # fmt: skip
    return {"ssh": frame}


def _host_keys(servers: pl.Series) -> pl.Series:
    """Return a key fingerprint of each server, as Zeek writes it."""
    different = servers.unique()
    keys = [":".join(f"{(int(s) * 2_654_435_761 * (i + 3) >> 8) % 256:02x}" for i in range(16)) for s in different]
    return servers.replace_strict(different, pl.Series(keys, dtype=pl.String), return_dtype=pl.String)
