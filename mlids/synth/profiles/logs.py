"""Rows of http.log, files.log, ssl.log, x509.log, ssh.log and dns.log that belong to the conns of an attack, with their uids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl

from mlids.synth.draft import uids
from mlids.synth.profiles.base import Logs, LogsOf
from mlids.zeek.log_types import LOG_COLUMNS

HEX, BASE32, BASE64 = (
    "0123456789abcdef",
    "abcdefghijklmnopqrstuvwxyz012345",
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_",
)
CHROME = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36"
IE11 = "Mozilla/5.0 (Windows NT 6.1; WOW64; Trident/7.0; rv:11.0) like Gecko"
_MOST_QUERIES = 300  # rows of dns.log for one conn
_EXECUTABLE_BYTES = 50_000  # a body from here on is a program in the profiles


def tokens(lengths: np.ndarray, alphabet: str, rng: np.random.Generator) -> list[str]:
    """Return random texts of the given lengths."""
    letters = "".join(np.array(list(alphabet))[rng.integers(0, len(alphabet), int(lengths.sum()))].tolist())
    ends = np.cumsum(lengths)
    return [letters[int(end - length) : int(end)] for end, length in zip(ends, lengths, strict=True)]


def log_frame(log: str, conns: pl.DataFrame, **columns: object) -> pl.DataFrame:
    """Return one row of a log for each conn: what conns and log have in common, the given columns, and null for the rest."""
    wanted = LOG_COLUMNS[log]
    given = {name.replace("__", "."): value for name, value in columns.items()}
    series = []
    for column in wanted:
        value = given.get(column.name)
        if isinstance(value, pl.Series):
            series.append(value.cast(column.dtype).alias(column.name))
        elif value is not None or column.name not in conns.columns or column.name in given:
            series.append(pl.Series(column.name, [value], dtype=column.dtype).new_from_index(0, conns.height))
        else:
            series.append(conns[column.name].cast(column.dtype))
    return pl.DataFrame(series)


def file_ids(n: int, rng: np.random.Generator) -> pl.Series:
    """Return n ids of files in Zeek's form: F and letters or digits."""
    return pl.select("F" + uids(n, rng).str.slice(1)).to_series()


def serving(conns: pl.DataFrame, service: str) -> pl.DataFrame:
    """Return the conns whose service has the given part."""
    return conns.filter(pl.col("service").str.split(",").list.contains(service).fill_null(False))


@dataclass(frozen=True)
class Web:
    """HTTP requests: one for each conn of the service http, and the file in its answer.

    `{}` in a path is a random token. Without `hosts` the Host header is the server's address. Requests with a body
    use the second method.
    """

    paths: Sequence[str]
    agents: Sequence[str | None] = (CHROME, IE11)
    hosts: Sequence[str] = ()
    methods: tuple[str, str] = ("GET", "POST")

    def __call__(self, conns: pl.DataFrame, rng: np.random.Generator) -> Logs:
        """Return rows of http.log and files.log."""
        rows = serving(conns, "http")
        n = rows.height
        if not n:
            return {}
        body = pl.Series(np.maximum(rows["resp_bytes"].fill_null(0).to_numpy().astype(np.int64) - 160, 0))
        sent = pl.Series(np.maximum(rows["orig_bytes"].fill_null(0).to_numpy().astype(np.int64) - 350, 0))
        fuid = pl.select(pl.when(body > 0).then(file_ids(n, rng))).to_series()
        mime = pl.select(
            pl.when(body > _EXECUTABLE_BYTES).then(pl.lit("application/x-dosexec")).when(body > 0).then(pl.lit("text/plain"))
        ).to_series()
        paths = [
            str(p).replace("{}", t) for p, t in zip(rng.choice(self.paths, n), tokens(rng.integers(6, 24, n), BASE64, rng), strict=True)
        ]
        port = rows["id.resp_p"].to_list()
        named = str(rng.choice(self.hosts)) if self.hosts else None
        host = [named or (a if p == 80 else f"{a}:{p}") for a, p in zip(rows["id.resp_h"], port, strict=True)]
        agent = self.agents[int(rng.integers(0, len(self.agents)))]
        http = log_frame(
            "http", rows, trans_depth=1, method=pl.select(pl.when(sent > 0).then(pl.lit(self.methods[1])).otherwise(pl.lit(self.methods[0]))).to_series(),
            host=pl.Series(host), uri=pl.Series(paths), version="1.1", user_agent=agent, request_body_len=sent, response_body_len=body,
            status_code=200, status_msg="OK", tags=pl.Series([[]] * n, dtype=pl.List(pl.String)), resp_fuids=_listed(fuid), resp_mime_types=_listed(mime),
        )  # fmt: skip
        return {"http": http} | self._files(rows, fuid, mime, body)

    def _files(self, rows: pl.DataFrame, fuid: pl.Series, mime: pl.Series, body: pl.Series) -> Logs:
        some = body > 0
        if not some.any():
            return {}
        kept = rows.filter(some)
        files = log_frame(
            "files", kept, fuid=fuid.filter(some), source="HTTP", depth=0, mime_type=mime.filter(some), is_orig=False, seen_bytes=body.filter(some),
            total_bytes=body.filter(some), missing_bytes=0, overflow_bytes=0, timedout=False,
        )  # fmt: skip
        return {"files": files}


def _listed(values: pl.Series) -> pl.Series:
    """Return a list of one value for each row, null for null."""
    frame = pl.DataFrame({"v": values})
    return frame.select(pl.when(pl.col("v").is_not_null()).then(pl.concat_list("v"))).to_series()


@dataclass(frozen=True)
class Tls:
    """TLS handshakes: one for each conn of the service ssl.

    `named` is the chance that an instance sends a server name of `names`; `status` is what Zeek says of a certificate
    that it can see. TLS 1.3 hides certificates, and so does a resumed session.
    """

    names: Sequence[str] = ()
    named: float = 0.3
    status: str = "self signed certificate"
    versions: Sequence[str] = ("TLSv12", "TLSv13")

    def __call__(self, conns: pl.DataFrame, rng: np.random.Generator) -> Logs:
        """Return rows of ssl.log and x509.log."""
        rows = serving(conns, "ssl")
        n = rows.height
        if not n:
            return {}
        version = str(rng.choice(self.versions))
        modern = version == "TLSv13"
        resumed = pl.Series((rng.random(n) < 0.3) & (np.arange(n) > 0) & (rng.random() < 0.5))
        name = str(rng.choice(self.names)) if self.names and rng.random() < self.named else None
        seen = ~resumed & (not modern)
        status = pl.select(pl.when(seen).then(pl.lit(self.status))).to_series()
        mark = tokens(np.array([64]), HEX, rng)
        ids = file_ids(int(seen.sum()), rng)
        prints = pl.Series([mark] * n, dtype=pl.List(pl.String))
        frame = log_frame(
            "ssl", rows, version=version, cipher="TLS_AES_256_GCM_SHA384" if modern else "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
            curve="x25519", server_name=name, resumed=resumed, established=True,
            ssl_history=pl.select(pl.when(seen).then(pl.lit("CsxknGIi")).otherwise(pl.lit("CsiI"))).to_series(),
            cert_chain_fps=pl.select(pl.when(seen).then(prints)).to_series(), validation_status=status,
            cert_chain_fuids=_spread(seen, ids),
            sni_matches_cert=pl.select(pl.when(seen & (name is not None)).then(pl.lit(self.status == "ok"))).to_series(),
        )  # fmt: skip
        return {"ssl": frame} | ({"x509": self._certificates(rows.filter(seen), ids, mark[0], name, rng)} if seen.any() else {})

    def _certificates(self, rows: pl.DataFrame, ids: pl.Series, mark: str, name: str | None, rng: np.random.Generator) -> pl.DataFrame:
        """Return a row for each certificate seen: one of the instance's own, or of a public CA where the status is ok."""
        subject = f"CN={name or tokens(np.array([9]), BASE32, rng)[0]}"
        issuer = {"ok": "CN=R11,O=Let's Encrypt,C=US", "self signed certificate": subject}.get(self.status, "CN=operators")
        days = 90 if self.status == "ok" else int(rng.choice([365, 730, 3_650]))
        begins = rows["ts"].dt.truncate("1d").min()
        return log_frame(
            "x509", rows.select("ts"), id=ids, fingerprint=mark, certificate__version=3, certificate__serial=mark[:32].upper(), certificate__subject=subject,
            certificate__issuer=issuer, certificate__not_valid_before=begins, certificate__not_valid_after=begins + timedelta(days=days),  # type: ignore[operator]
            certificate__key_alg="rsaEncryption", certificate__sig_alg="sha256WithRSAEncryption", certificate__key_type="rsa", certificate__key_length=2048,
            certificate__exponent="65537", basic_constraints__ca=self.status != "ok", host_cert=True, client_cert=False,
        )  # fmt: skip


def _spread(rows: pl.Series, values: pl.Series) -> pl.Series:
    """Return a list of one value for each chosen row, in turn, and null for the others."""
    place = rows.cast(pl.Int64).cum_sum() - 1
    frame = pl.DataFrame(
        {
            "chosen": rows,
            "v": values.gather(place.clip(0, max(len(values) - 1, 0))) if len(values) else pl.Series([None] * len(rows), dtype=pl.String),
        }
    )
    return frame.select(pl.when("chosen").then(pl.concat_list("v"))).to_series()


@dataclass(frozen=True)
class Queries:
    """DNS queries that carry data under a zone: one for each packet of a conn's originator, at most 300 a conn.

    Their length is that of the conn's mean query. `types` are number and name of the query types in use.
    """

    types: Sequence[tuple[int, str]] = ((16, "TXT"),)
    alphabet: str = HEX
    zone: str = "t.example.net"
    failed: float = 0.02

    def __call__(self, conns: pl.DataFrame, rng: np.random.Generator) -> Logs:
        """Return rows of dns.log."""
        rows = serving(conns, "dns").filter(pl.col("orig_pkts") > 0)
        if rows.is_empty():
            return {}
        packets = rows["orig_pkts"].to_numpy().astype(np.int64)
        count = np.minimum(packets, _MOST_QUERIES)
        of = np.repeat(np.arange(rows.height), count)
        each = rows[of]
        n = each.height
        part = (np.arange(n) - np.repeat(np.cumsum(count) - count, count)) / np.repeat(count, count)
        later = pl.Series((part * each["duration"].fill_null(0.0).to_numpy() * 1e6).astype(np.int64)).cast(pl.Duration("us"))
        size = each["orig_bytes"].fill_null(60).to_numpy() / packets[of]
        length = np.clip(np.round((size - 18 - len(self.zone)) * rng.uniform(0.8, 1.1, n)), 8, 230).astype(int)
        query = [f"{_in_labels(t)}.{self.zone}" for t in tokens(length, self.alphabet, rng)]
        kind = rng.integers(0, len(self.types), n)
        bad = pl.Series(rng.random(n) < self.failed)
        frame = log_frame(
            "dns", each, ts=each["ts"] + later, trans_id=pl.Series(rng.integers(0, 65_536, n)), rtt=pl.Series(rng.exponential(0.08, n)),
            query=pl.Series(query), qclass=1, qtype=pl.Series([self.types[k][0] for k in kind]), qtype_name=pl.Series([self.types[k][1] for k in kind]),
            rcode=pl.select(pl.when(bad).then(3).otherwise(0)).to_series(),
            rcode_name=pl.select(pl.when(bad).then(pl.lit("NXDOMAIN")).otherwise(pl.lit("NOERROR"))).to_series(), AA=False, rejected=False,
            answers=pl.Series([None if b else [t] for b, t in zip(bad, tokens(np.full(n, 24), self.alphabet, rng), strict=True)], dtype=pl.List(pl.String)),
        )  # fmt: skip
        return {"dns": frame}


def _in_labels(data: str) -> str:
    return ".".join(data[i : i + 60] for i in range(0, len(data), 60))


@dataclass(frozen=True)
class Ssh:
    """SSH sessions: one for each conn of the service ssh, none of them with a successful login."""

    client: str = "SSH-2.0-libssh_0.9.6"
    server: str = "SSH-2.0-OpenSSH_9.2p1"

    def __call__(self, conns: pl.DataFrame, rng: np.random.Generator) -> Logs:
        """Return rows of ssh.log."""
        rows = serving(conns, "ssh")
        if rows.is_empty():
            return {}
        tries = pl.Series(rng.integers(1, 7, rows.height))
        frame = log_frame(
            "ssh", rows, version=2, auth_success=False, auth_attempts=tries, client=self.client, server=self.server,
            cipher_alg="chacha20-poly1305@openssh.com", mac_alg="hmac-sha2-256-etm@openssh.com", compression_alg="none",
            kex_alg="curve25519-sha256", host_key_alg="ssh-ed25519",
        )  # fmt: skip
        return {"ssh": frame}


def together(*parts: LogsOf) -> LogsOf:
    """Return evidence that has the rows of all parts."""

    def rows(conns: pl.DataFrame, rng: np.random.Generator) -> Logs:
        out: Logs = {}
        for part in parts:
            for log, frame in part(conns, rng).items():
                out[log] = pl.concat([out[log], frame]) if log in out else frame
        return out

    return rows
