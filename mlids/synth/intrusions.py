"""Intrusions of the demo: attacks that show in several logs at once, by tools that no training uses.

They are profiles that no class of attacks is drawn from, so that sites with classes in turn stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from mlids.synth.draft import Draft, joined, text
from mlids.synth.hosts import AttackHosts, log_uniform, pick
from mlids.synth.profiles.base import Logs, Profile, Span
from mlids.synth.profiles.calling_home import Beacon
from mlids.synth.profiles.channel import RESET_ENDS, Channel, conns
from mlids.synth.profiles.crowds import Guessing
from mlids.synth.profiles.logs import Ssh, Tls, Web, file_ids, log_frame, serving
from mlids.synth.profiles.moves import RemoteExecution
from mlids.synth.profiles.pace import Calls, Pace
from mlids.synth.profiles.registry import PROFILES

_GUESSES = 30  # failed sessions after which Zeek writes the notice SSH::Password_Guessing
_SERVICE = "RemComSvc.exe"


@dataclass(frozen=True)
class Downloads:
    """A few downloads from one outside address, one for each attempt to run what was downloaded."""

    channel: Channel

    def __call__(self, span: Span, hosts: AttackHosts, rng: np.random.Generator) -> Draft:
        """Return the conns of one instance."""
        n = int(rng.integers(2, 5))
        ts = span.start + rng.uniform(0, 0.3) * span.seconds + np.cumsum(rng.uniform(2, 90, n))
        calls = Calls(ts, np.ones(n, bool), np.zeros(n, bool))
        resp = text(pick(hosts.outside, rng), n)
        return conns(self.channel, calls, hosts.source(rng), resp, np.full(n, self.channel.port(rng)), rng, lossy=False)


@dataclass(frozen=True)
class GuessedLogin:
    """Password guessing whose last session gets in and stays for minutes."""

    guessing: Guessing

    def __call__(self, span: Span, hosts: AttackHosts, rng: np.random.Generator) -> Draft:
        """Return the conns of one instance; the one that starts last is the login."""
        tries = self.guessing(span, hosts, rng)
        sent, received, lasted = log_uniform(6_000, 80_000, rng), log_uniform(9_000, 400_000, rng), log_uniform(60, 1_500, rng)
        session = Draft(
            ts=tries.ts[-1:] + rng.uniform(3, 40), orig_h=tries.orig_h[-1:], orig_p=rng.integers(32_768, 60_999, 1), resp_h=tries.resp_h[-1:],
            resp_p=tries.resp_p[-1:], proto=text("tcp", 1), service=text("ssh", 1), duration=np.array([lasted]), orig_bytes=np.array([sent]),
            resp_bytes=np.array([received]), conn_state=text("SF", 1), history=text("ShADadFf", 1), orig_pkts=np.array([sent // 90 + 6]),
            resp_pkts=np.array([received // 300 + 5]),
        )  # fmt: skip
        return joined([tries, session])


def _guessed(conns: pl.DataFrame, rng: np.random.Generator) -> Logs:
    """Return rows of ssh.log and notice.log: every login fails but the last one."""
    ssh = Ssh(client="SSH-2.0-libssh2_1.11.0")(conns, rng)["ssh"].sort("ts", maintain_order=True)
    last = pl.int_range(pl.len()) == pl.len() - 1
    ssh = ssh.with_columns(auth_success=last, auth_attempts=pl.when(last).then(1).otherwise("auth_attempts").cast(pl.UInt64))
    if ssh.height <= _GUESSES:
        return {"ssh": ssh}
    at = ssh[_GUESSES - 1]
    source, server = at["id.orig_h"][0], at["id.resp_h"][0]
    notice = log_frame(
        "notice", at.select("ts"), note="SSH::Password_Guessing", msg=f"{source} appears to be guessing SSH passwords (seen in {_GUESSES} connections).",
        sub=f"Sampled servers:  {server}", src=source, peer_descr="zeek", actions=pl.Series([["Notice::ACTION_LOG"]]), suppress_for=3_600.0,
    )  # fmt: skip
    return {"ssh": ssh, "notice": notice}


def _service_started(conns: pl.DataFrame, rng: np.random.Generator) -> Logs:
    """Return rows of smb_mapping.log, smb_files.log, files.log and dce_rpc.log: a program on the admin share is started as a service."""
    rows = serving(conns, "smb").sort("ts", maintain_order=True)
    n = rows.height
    if not n:
        return {}

    def at(frame: pl.DataFrame, share: float) -> pl.Series:
        """Return times within the conns."""
        lasted = frame["duration"].fill_null(0.0) * share
        return frame["ts"] + (lasted * 1e6).cast(pl.Int64).cast(pl.Duration("us"))

    share = pl.select(pl.lit("\\\\") + rows["id.resp_h"] + "\\ADMIN$").to_series()
    mappings = [
        log_frame("smb_mapping", rows, ts=at(rows, 0.1), path=share, native_file_system="NTFS", share_type="DISK"),
        log_frame("smb_mapping", rows, ts=at(rows, 0.4), path=share.str.replace("ADMIN$", "IPC$", literal=True), share_type="PIPE"),
    ]
    first = rows["id.resp_h"].is_first_distinct()  # later commands on a host find the service there
    new, size = rows.filter(first), int(rng.integers(40_000, 70_000))
    ids = file_ids(new.height, rng)
    files = log_frame(
        "files", new.drop("duration"), ts=at(new, 0.25), fuid=ids, source="SMB", depth=0, mime_type="application/x-dosexec", filename=_SERVICE, is_orig=True,
        seen_bytes=size, missing_bytes=0, overflow_bytes=0, timedout=False,
    )  # fmt: skip
    shared = [
        log_frame("smb_files", new, ts=at(new, moment), fuid=ids if moment > 0.2 else None, action=action, path=share.filter(first), name=_SERVICE, size=0 if moment < 0.2 else size)
        for moment, action in ((0.2, "SMB::FILE_OPEN"), (0.25, "SMB::FILE_WRITE"))
    ]  # fmt: skip
    called = [
        log_frame("dce_rpc", frame, ts=at(frame, moment), rtt=0.002, named_pipe="\\pipe\\svcctl", endpoint="svcctl", operation=operation)
        for moment, operation, frame in ((0.5, "OpenSCManagerW", rows), (0.6, "CreateServiceW", new), (0.7, "StartServiceW", rows), (0.9, "CloseServiceHandle", rows))
    ]  # fmt: skip
    return {"smb_mapping": pl.concat(mappings), "smb_files": pl.concat(shared), "files": files, "dce_rpc": pl.concat(called)}


_OUTSIDE = "https://attack.mitre.org/techniques/"
INTRUSIONS: dict[str, Profile] = {profile.name: profile for profile in (
    Profile(
        "mythic_tls", "Mythic", "odd_port", "T1573.002", "docs.mythic-c2.net: TLS to a bare address with the server's own certificate, by default on 7443",
        Beacon(Pace((8, 90), (0.1, 0.3)), Channel((7443, 7443, 8444, 4444), "ssl", (500, 2_500), (400, 6_000), (0.05, 3)), lossy=False),
        Tls(versions=("TLSv12",)), trained=False,
    ),
    Profile(
        "certutil_download", "certutil", "command_and_control", "T1105", _OUTSIDE + "T1105/ and T1036.008/: certutil -urlcache fetches a program that is named as a picture",
        Downloads(Channel((8000, 8080, 8888, 80), "http", (90, 300), (150_000, 3_000_000), (0.3, 8))),
        Web(("/img/{}.png", "/assets/{}.jpg"), agents=("CertUtil URL Agent",)), trained=False,
    ),
    PROFILES["iodine"],
    Profile(
        "medusa_login", "Medusa", "brute_force", "T1110.001", _OUTSIDE + "T1110/001/ and T1021/004/: guessed SSH passwords, then a session with the right one",
        GuessedLogin(Guessing(Channel((22,), "ssh", (1_200, 2_600), (1_600, 3_000), (0.2, 5), ends=RESET_ENDS), (0.4, 6), (90, 260))), _guessed, trained=False,
    ),
    Profile(
        "remcom", "RemCom", "lateral_movement", "T1569.002", _OUTSIDE + "T1569/002/ and T1021/002/: a program on ADMIN$ that the service manager starts",
        RemoteExecution((Channel((445,), "gssapi,smb,ntlm,dce_rpc", (60_000, 900_000), (4_000, 40_000), (2, 40), ends=RESET_ENDS),), (3, 7), (1, 3), (20, 600), (0.0, 0.0)),
        _service_started, trained=False,
    ),
)}  # fmt: skip


def profile_named(name: str) -> Profile:
    """Return a profile or an intrusion. Raises KeyError for another name."""
    return INTRUSIONS.get(name) or PROFILES[name]
