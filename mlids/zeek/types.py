"""Zeek's types and the columns of conn.log and dns.log, with the polars type that holds each.

`-` (unset) is null; `(empty)` is an empty string or an empty list: two different facts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

import polars as pl

TIME = pl.Datetime("us", "UTC")
STRINGS = pl.List(pl.String)

# Ports are UInt32: polars panics on NDJSON into UInt16 (polars 2.1).
_SCALARS: dict[str, pl.DataType] = {
    "time": TIME,
    "interval": pl.Float64(),  # seconds
    "double": pl.Float64(),
    "count": pl.UInt64(),
    "int": pl.Int64(),
    "port": pl.UInt32(),
    "bool": pl.Boolean(),
}


def dtype_of(zeek_type: str) -> pl.DataType:
    """Return the polars type for a Zeek type; String for every type that is not a number, a time, a boolean or a list."""
    if re.match(r"(set|vector|table)\[", zeek_type):
        return STRINGS
    return _SCALARS.get(zeek_type, pl.String())


@dataclass(frozen=True)
class Column:
    """One column of a Zeek log: its name and type as Zeek spells them."""

    name: str
    zeek_type: str
    meaning: str = ""

    @property
    def dtype(self) -> pl.DataType:
        """The polars type of the column."""
        return dtype_of(self.zeek_type)


CONN: tuple[Column, ...] = (
    Column("ts", "time", "when the first packet was seen, UTC"),
    Column("uid", "string", "unique id of the connection"),
    Column("id.orig_h", "addr", "originator's address"),
    Column("id.orig_p", "port", "originator's port; the ICMP type for ICMP"),
    Column("id.resp_h", "addr", "responder's address"),
    Column("id.resp_p", "port", "responder's port; the ICMP code for ICMP"),
    Column("proto", "enum", "transport: tcp, udp, icmp, unknown_transport"),
    Column("service", "string", "application protocols, a comma list"),
    Column("duration", "interval", "seconds from first to last packet; null with one packet"),
    Column("orig_bytes", "count", "payload bytes from the originator; null where duration is"),
    Column("resp_bytes", "count", "payload bytes from the responder; null where duration is"),
    Column("conn_state", "string", "how it ended: SF, S0, REJ, …"),
    Column("local_orig", "bool", "originator is in Site::local_nets"),
    Column("local_resp", "bool", "responder is in Site::local_nets"),
    Column("missed_bytes", "count", "payload bytes lost in capture"),
    Column("history", "string", "packet history letters; upper case from the originator"),
    Column("orig_pkts", "count", "packets from the originator"),
    Column("orig_ip_bytes", "count", "IP bytes from the originator"),
    Column("resp_pkts", "count", "packets from the responder"),
    Column("resp_ip_bytes", "count", "IP bytes from the responder"),
    Column("tunnel_parents", "set[string]", "uids of enclosing tunnels"),
)

# Columns of some conn logs only.
CONN_EXTRA: tuple[Column, ...] = (
    Column("ip_proto", "count", "IP protocol number"),
    Column("vlan", "int", "outer VLAN"),
    Column("inner_vlan", "int", "inner VLAN"),
    Column("orig_l2_addr", "string", "originator's link address"),
    Column("resp_l2_addr", "string", "responder's link address"),
    Column("community_id", "string", "Community ID v1"),
    Column("failed_service", "set[string]", "analyzers that gave up"),
    Column("label", "string", "Malicious, Benign, Background"),
    Column("detailed-label", "string", "the attack's name"),
    Column("detailedlabel", "string", "the attack's name"),
    Column("_node_name", "string", "cluster node that saw it"),
    Column("_path", "string", "log type, as JSON streams carry it"),
    Column("_system_name", "string", "sensor, as JSON streams carry it"),
    Column("_write_ts", "time", "when the row was written"),
)

DNS: tuple[Column, ...] = (
    Column("ts", "time"),
    Column("uid", "string"),
    Column("id.orig_h", "addr"),
    Column("id.orig_p", "port"),
    Column("id.resp_h", "addr"),
    Column("id.resp_p", "port"),
    Column("proto", "enum"),
    Column("trans_id", "count"),
    Column("rtt", "interval"),
    Column("query", "string"),
    Column("qclass", "count"),
    Column("qtype", "count"),
    Column("qtype_name", "string"),
    Column("rcode", "count"),
    Column("rcode_name", "string"),
    Column("AA", "bool"),
    Column("rejected", "bool"),
    Column("answers", "vector[string]"),
)

# Types of columns shared by many logs, for JSON and for tables without a #types line.
SHARED: dict[str, str] = {c.name: c.zeek_type for c in (*CONN, *CONN_EXTRA)} | {
    "id.orig_ep_status": "string",
    "id.orig_ep_cc": "string",
    "rtt": "interval",
    "trans_id": "count",
    "qclass": "count",
    "qtype": "count",
    "rcode": "count",
    "AA": "bool",
    "TC": "bool",
    "RD": "bool",
    "RA": "bool",
    "Z": "count",
    "rejected": "bool",
    "answers": "vector[string]",
    "TTLs": "vector[interval]",
    "trans_depth": "count",
    "request_body_len": "count",
    "response_body_len": "count",
    "status_code": "count",
    "tags": "set[enum]",
    "auth_success": "bool",
    "auth_attempts": "count",
    "suppress_for": "interval",
}

# Range of `ts` in seconds, which is part of its type: what the header of a captured packet holds, 1970 to February 2106.
# Times near year 9999 overflow when a duration is added. Other times (a certificate's end) may be in the years 1 to 9999.
MAX_TS_S = 2**32
# Range of `duration`, either side of 0 (Zeek writes negative ones when packets arrive out of order): the range of `ts`.
MAX_DURATION_S = 2**32


def in_range(series: pl.Series) -> bool:
    """Return whether every `ts` or `duration` of a column read is in its range; True for other columns."""
    low, high = (series.min(), series.max()) if series.name in {"ts", "duration"} else (None, None)
    if isinstance(low, datetime) and isinstance(high, datetime):
        return low.timestamp() >= 0 and high.timestamp() < MAX_TS_S
    if series.name == "duration" and isinstance(low, (int, float)) and isinstance(high, (int, float)):
        return low >= -MAX_DURATION_S and high <= MAX_DURATION_S
    return True


# Upper limit of a conn's duration: longer ones come from broken counters.
LONGEST_S = 7 * 86_400.0


def lasted() -> pl.Expr:
    """Return a conn's duration in seconds: 0 where it is unset, NaN or negative, at most LONGEST_S."""
    return pl.col("duration").fill_null(0.0).fill_nan(0.0).clip(0.0, LONGEST_S)


def ended() -> pl.Expr:
    """Return the time a conn ended, which is when Zeek wrote its row; null without a `ts`."""
    return pl.col("ts") + pl.duration(microseconds=(lasted() * 1e6).cast(pl.Int64))


def canonical_name(name: str) -> str:
    """Return Zeek's name of a column: `id_orig_h` and `id.orig_h` are the same column."""
    if name in {"id_orig_h", "id_orig_p", "id_resp_h", "id_resp_p"}:
        return "id." + name[3:]
    return name


_CONN_TYPES = tuple((c.name, c.dtype) for c in CONN)


def conn_columns(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the frame with every conn column present, in Zeek's types; missing ones are null. Other columns are kept."""
    schema = frame.schema
    if all(schema.get(name) == dtype for name, dtype in _CONN_TYPES):
        return frame
    wanted = [_cast(c, schema[c.name]) if c.name in frame.columns else pl.lit(None, c.dtype).alias(c.name) for c in CONN]
    rest = [name for name in frame.columns if name not in {c.name for c in CONN}]
    return frame.select(*wanted, *rest)


def _cast(column: Column, found: pl.DataType) -> pl.Expr:
    if column.dtype == TIME and found == pl.String:  # a header that calls `ts` a string: polars casts no text to times
        return pl.lit(None, TIME).alias(column.name)
    cell = pl.col(column.name).cast(column.dtype, strict=False)
    if column.dtype == TIME:  # a header may give it another type, whose range the reader does not check
        return pl.when(cell.dt.epoch("us").is_between(0, MAX_TS_S * 1_000_000)).then(cell).alias(column.name)
    return cell
