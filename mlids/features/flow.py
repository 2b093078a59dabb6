"""Features of a single conn: sizes, ratios, state, history, direction. No address, raw port or clock time is a feature."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from socket import AF_INET, AF_INET6, inet_pton

import numpy as np
import polars as pl

from mlids.features.ports import ADMIN, DNS, HTTP, LOGIN, MAIL, PUSH, TLS, USUAL_SERVICES, WEB, WELL_KNOWN, is_odd, is_upkeep, uses_of
from mlids.zeek.types import LONGEST_S

# Always local: link-local, loopback, and the unspecified address of hosts that have none yet.
ON_LINK_NETWORKS = ("169.254.0.0/16", "fe80::/10", "127.0.0.0/8", "::1/128", "0.0.0.0/32", "::/128")
# With RFC 1918 and RFC 4193: the default networks of a site.
PRIVATE_NETWORKS = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", *ON_LINK_NETWORKS)
# Multicast addresses, and broadcast addresses of networks of /24 or shorter prefix.
TO_MANY = r"^(?:22[4-9]|23\d)\.|^[fF]{2}[0-9a-fA-F]{2}:|\.255$"
# Larger counters are capture faults (1.96 GB in 2 packets: zeek/zeek#3313).
MAX_BYTES = 1e12
# Up to this many rows, evaluating each row is faster than finding distinct values (measured break-even: 5,000).
_FEW = 4096
_MIDSTREAM = ["OTH"]
_REJECTED = ["REJ", "RSTRH", "RSTOS0"]
_RESET = ["RSTO", "RSTR", "RSTOS0", "RSTRH"]
_SILENT = ["S0", "SH"]


class Distinct:
    """The distinct texts of a column: expressions are evaluated once per text and mapped back to rows."""

    def __init__(self, texts: pl.Series) -> None:
        self._codes: np.ndarray | None = None
        self.texts = texts  # one per row for few rows; else each distinct text once, then null
        if len(texts) > _FEW:
            coded = texts.cast(pl.Categorical(pl.Categories.random()))
            once = coded.unique().drop_nulls()
            self.texts = pl.concat([once.cast(pl.String), pl.Series(texts.name, [None], pl.String)])
            at = np.empty((int(once.to_physical().max()) + 1 if len(once) else 0) + 1, np.intp)  # type: ignore[arg-type]
            at[once.to_physical().to_numpy()] = np.arange(len(once))
            at[-1] = len(once)
            self._codes = at[coded.to_physical().fill_null(len(at) - 1).to_numpy()]

    def rows(self, of_texts: pl.Series) -> pl.Series:
        """Map values of `texts` to rows."""
        if self._codes is None:
            return of_texts
        return pl.Series(of_texts.name, of_texts.to_numpy()[self._codes])

    def inside(self, networks: Sequence[str]) -> pl.Series:
        """Return for each row whether its address is in one of `networks`; False for null and unreadable addresses."""
        is_inside = _membership(tuple(networks))
        return self.rows(pl.Series([a is not None and is_inside(a) for a in self.texts], dtype=pl.Boolean))


def local_ends(conns: pl.DataFrame, networks: Sequence[str], hosts: Mapping[str, Distinct] | None = None) -> tuple[pl.Series, pl.Series]:
    """Return for each conn whether its originator and its responder belong to the site.

    Without `networks`, the default are PRIVATE_NETWORKS. With these, Zeek's own `local_orig` and `local_resp` count as well, as a site may use public
    addresses. Configured networks replace both, except that ON_LINK_NETWORKS are always local.
    `hosts` are the distinct addresses by column, if known.
    """
    hosts = hosts or {name: Distinct(conns[name]) for name in ("id.orig_h", "id.resp_h")}
    ends = []
    networks = tuple(networks) or PRIVATE_NETWORKS
    default = networks == PRIVATE_NETWORKS
    for host, flag in (("id.orig_h", "local_orig"), ("id.resp_h", "local_resp")):
        inside = hosts[host].inside(networks if default else (*networks, *ON_LINK_NETWORKS))
        if default and flag in conns.columns:
            inside = inside | conns[flag].fill_null(False)
        ends.append(inside)
    return ends[0], ends[1]


@lru_cache(maxsize=16)
def _membership(networks: tuple[str, ...]) -> Callable[[str], bool]:
    """Return a cached membership test of one address, as the same hosts recur in every batch."""
    nets = [ipaddress.ip_network(n) for n in networks]
    v4, v6 = ([(int(n.network_address), int(n.netmask)) for n in nets if n.version == version] for version in (4, 6))

    @lru_cache(maxsize=1 << 17)
    def inside(address: str) -> bool:
        six = ":" in address
        try:
            ip = int.from_bytes(inet_pton(AF_INET6 if six else AF_INET, address.split("%", 1)[0]))
        except (OSError, ValueError):  # not an address, or no text that could be one
            return False
        return any(ip & mask == net for net, mask in (v6 if six else v4))

    return inside


def _log(expression: pl.Expr, high: float = MAX_BYTES) -> pl.Expr:
    """Return ln(1 + x), 0 for null; `no_duration` tells null from zero."""
    return expression.cast(pl.Float64).fill_null(0.0).clip(0.0, high).log1p()


def flow_features(conns: pl.DataFrame, networks: Sequence[str] = ()) -> pl.DataFrame:
    """Return the flow features (Float32) of conns by name, one row each.

    Byte counts are IP bytes where Zeek wrote them, payload otherwise. Null counts give 0 beside
    `no_duration` = 1: Zeek leaves both unset together.
    """
    numeric, of_texts = _expressions(conns["orig_ip_bytes"].null_count() == 0), _of_texts()
    if conns.height <= _FEW:
        frame = conns.select_seq(*numeric, *(e for expressions in of_texts.values() for e in expressions))
        orig_local, resp_local = local_ends(conns, networks)
    else:
        distinct = {name: Distinct(conns[name]) for name in ("history", "service", "id.orig_h", "id.resp_h")}
        from_texts = [
            distinct[name].rows(values)
            for name, expressions in of_texts.items()
            for values in distinct[name].texts.to_frame().select(expressions)
        ]
        frame = conns.select(numeric).with_columns(*from_texts)
        orig_local, resp_local = local_ends(conns, networks, distinct)
    return frame.with_columns(
        orig_local=orig_local.cast(pl.Float32), resp_local=resp_local.cast(pl.Float32), **_port_features(conns, frame)
    )


def _port_features(conns: pl.DataFrame, frame: pl.DataFrame) -> dict[str, pl.Series]:
    """Return the features that depend on the responder's port, with the transport or the service; `frame` has the others."""
    uses = uses_of(conns["id.resp_p"])
    tcp, udp, tls, http = (frame[name].to_numpy() > 0.5 for name in ("is_tcp", "is_udp", "is_tls", "is_http"))
    flags = {
        "is_dns": (frame["is_dns"].to_numpy() > 0.5) | (uses & DNS > 0),
        "port_well_known": uses & WELL_KNOWN > 0,
        "port_web": (uses & WEB > 0) & tcp,
        "port_infra": is_upkeep(uses, udp),
        "port_mail": (uses & MAIL > 0) & tcp,
        "port_push": (uses & PUSH > 0) & tcp,
        "port_admin": (uses & ADMIN > 0) & tcp,
        "port_login": (uses & LOGIN > 0) & tcp,
        "port_odd": is_odd(conns, uses, tcp | udp),
        "tls_odd_port": tls & tcp & (uses & TLS == 0),
        "http_odd_port": http & (uses & HTTP == 0),
    }
    return {name: pl.Series(values, dtype=pl.Boolean).cast(pl.Float32) for name, values in flags.items()}


def _flag(expression: pl.Expr) -> pl.Expr:
    return expression.fill_null(False).cast(pl.Float32)


@lru_cache(maxsize=1)
def _of_texts() -> dict[str, list[pl.Expr]]:
    """Return the features that depend on a single text column, by column."""
    history, service = pl.col("history"), pl.col("service")
    expressions = {
        "history": {
            "orig_data": _flag(history.str.contains("D", literal=True)),
            "resp_data": _flag(history.str.contains("d", literal=True)),
            "retransmits": _flag(history.str.contains("[tT]")),
            "history_length": _log(history.str.len_bytes()).cast(pl.Float32),
        },
        "service": {
            "service_known": _flag(service.is_not_null() & (service != "")),
            "is_dns": _flag(service.str.contains("dns", literal=True)),
            "is_web": _flag(service.str.contains("http|ssl|quic")),
            "is_tls": _flag(service.str.contains("ssl", literal=True)),
            "is_http": _flag(service.str.contains("http", literal=True)),
            "odd_service": _flag(service.str.split(",").list.eval(~pl.element().str.contains(USUAL_SERVICES)).list.any() & (service != "")),
        },
        "id.resp_h": {"resp_multicast": _flag(pl.col("id.resp_h").str.contains(TO_MANY))},
    }
    return {column: [e.alias(n) for n, e in features.items()] for column, features in expressions.items()}


@lru_cache(maxsize=2)
def _expressions(ip_bytes: bool) -> list[pl.Expr]:
    """Return the features that depend on numbers and short names; cached, as building them costs as much as a small batch."""
    if ip_bytes:
        orig, resp = pl.col("orig_ip_bytes").cast(pl.Float64), pl.col("resp_ip_bytes").cast(pl.Float64)
    else:
        orig = pl.coalesce("orig_ip_bytes", "orig_bytes").cast(pl.Float64)
        resp = pl.coalesce("resp_ip_bytes", "resp_bytes").cast(pl.Float64)
    orig, resp = orig.fill_null(0.0).clip(0, MAX_BYTES), resp.fill_null(0.0).clip(0, MAX_BYTES)
    state, total = pl.col("conn_state"), orig + resp
    flags = {
        "no_duration": pl.col("duration").is_null(),
        "is_tcp": pl.col("proto") == "tcp",
        "is_udp": pl.col("proto") == "udp",
        "is_icmp": pl.col("proto") == "icmp",
        "no_answer": state.is_in(_SILENT),
        "rejected": state.is_in(_REJECTED),
        "completed": state == "SF",
        "was_reset": state.is_in(_RESET),
        "midstream": state.is_in(_MIDSTREAM),
    }
    numbers = {
        "duration": _log(pl.col("duration"), LONGEST_S),
        "orig_bytes": _log(orig),
        "resp_bytes": _log(resp),
        "orig_pkts": _log(pl.col("orig_pkts")),
        "resp_pkts": _log(pl.col("resp_pkts")),
        "orig_share": pl.when(total > 0).then(orig / total).otherwise(0.5),
        "orig_pkt_size": _log(orig / pl.col("orig_pkts").cast(pl.Float64).fill_null(0.0).clip(1.0)),
        "resp_pkt_size": _log(resp / pl.col("resp_pkts").cast(pl.Float64).fill_null(0.0).clip(1.0)),
        "byte_rate": _log(total / pl.col("duration").fill_null(0.0).clip(0.001)),
        "missed_bytes": _log(pl.col("missed_bytes")),
    }
    return [
        *(_flag(e).alias(n) for n, e in flags.items()),
        *(e.cast(pl.Float32).alias(n) for n, e in numbers.items()),
    ]
