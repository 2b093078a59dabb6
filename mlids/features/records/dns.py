"""dns.log: which name is asked for, how, and what the answer is like."""

from __future__ import annotations

import polars as pl

from mlids.features.records.base import RecordLog, count, flag, length, level, text_features
from mlids.zeek.types import STRINGS

# IANA's types by what they are for: addresses of a host; finding services and zones. The others are rare or carry data.
_ADDRESS = ("A", "AAAA", "HTTPS", "SVCB")
_FINDING = ("PTR", "SRV", "NAPTR", "MX", "NS", "SOA", "CNAME", "DNAME", "DS", "DNSKEY", "RRSIG", "NSEC", "NSEC3", "NB", "NBSTAT")
_query = pl.col("query")
_rcode = pl.col("rcode")
_answers = pl.col("answers")

DNS = RecordLog(
    "dns",
    columns={
        "proto": pl.String(), "rtt": pl.Float64(), "query": pl.String(), "qclass": pl.Float64(), "qtype_name": pl.String(),
        "rcode": pl.Float64(), "AA": pl.Boolean(), "RD": pl.Boolean(), "TC": pl.Boolean(), "rejected": pl.Boolean(), "answers": STRINGS,
        "TTLs": pl.List(pl.Float64),
    },
    texts=("query",),
    shown=("query", "qtype_name"),
    features=(
        count("query_bytes", "length of the name in bytes", length("query"), 20.0),
        count("query_labels", "dots in the name", _query.str.count_matches(".", literal=True), 2.0),
        *text_features("query", "name", entropy=3.3, longest=8.0),
        flag("name", "name given", _query.is_not_null(), neutral=True),
        flag("reverse", "look-up of the name of an address", _query.str.ends_with(".arpa")),
        flag("single_label", "name without a dot", ~_query.str.contains(".", literal=True)),
        flag("finding_type", "type that finds services or zones", pl.col("qtype_name").is_in(_FINDING)),
        flag("other_type", "type for neither addresses nor services and zones", ~pl.col("qtype_name").is_in([*_ADDRESS, *_FINDING])),
        flag("other_class", "class other than Internet", pl.col("qclass") != 1),
        flag("answered", "answer to the query", _rcode.is_not_null(), neutral=True),
        flag("no_such_name", "answer that there is no such name", _rcode == 3),
        flag("error", "error in the answer", (_rcode != 0) & (_rcode != 3)),
        flag("rejected", "query that the server rejected", pl.col("rejected")),
        flag("authoritative", "authoritative answer", pl.col("AA")),
        flag("recursive", "query that asks for recursion", pl.col("RD"), neutral=True),
        flag("truncated", "truncated answer", pl.col("TC")),
        flag("tcp", "query over TCP", pl.col("proto") == "tcp"),
        count("rtt_ms", "milliseconds until the answer", pl.col("rtt") * 1_000, 20.0),
        count("answers", "records in the answer", _answers.list.len(), 1.0),
        count("answer_bytes", "bytes of the answer's records", _answers.list.join("", ignore_nulls=True).str.len_bytes(), 15.0),
        count("ttl", "shortest time to live in seconds", pl.col("TTLs").list.min(), 300.0),
        level("ttl_zero", "share of records that must not be kept", (pl.col("TTLs").list.eval(pl.element() == 0).list.mean()), 0.0),
    ),
)  # fmt: skip
