"""DNS queries of benign conns. Every name that a host sends to a server was answered with that server's address before.

The DNS conns of a site are given; each server's name is asked for in the last answered one of the client before its first
conn to the server, or of another host of the site where the client has none. What is contacted before a day's first
answer was known from the day before; such names are asked for in the first conns. The other DNS conns ask for ordinary names.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from mlids.synth.ordinary.names import SiteNames, numbers_of
from mlids.synth.profiles.logs import log_frame
from mlids.zeek.types import TIME

_KEPT_S = 4 * 3_600  # a client asks again after this time
_MOST_PAIRS = 400_000
_LAST, _FIRST = 200, 5  # look-ups of other hosts to choose from
_NEED = (pl.col("id.orig_h"), pl.col("id.resp_h").alias("address"), pl.col("_name").alias("name"), pl.col("ts"))
_PAIR = {"id.orig_h": pl.String(), "address": pl.String(), "name": pl.String()}
_MULTICAST = (
    ("_googlecast._tcp.local", "PTR"),
    ("_ipp._tcp.local", "PTR"),
    ("_spotify-connect._tcp.local", "PTR"),
    ("printer-2.local", "A"),
    ("_airplay._tcp.local", "PTR"),
)
_TYPES = {"A": 1, "AAAA": 28, "HTTPS": 65, "PTR": 12, "SRV": 33, "NB": 32}


class Resolving:
    """Look-ups of a site in batches that follow each other in time. State is bounded: who asked for which name lately."""

    def __init__(self, names: SiteNames) -> None:
        self._names = names
        self._asked_at = pl.DataFrame(schema=_PAIR | {"at": TIME})

    def lookups(self, conns: pl.DataFrame, sent: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
        """Return rows of dns.log for the DNS conns of a batch.

        `conns` are benign, described as by `SiteNames`, and in the order of their starts. `sent` has `id.orig_h`, `address`,
        `name` and `ts` of further names that hosts ask for, those of attacks.
        """
        needed = self._needed(pl.concat([conns.filter(_needs_name(conns)).select(*_NEED), sent.select([*_PAIR, "ts"])]))
        answered = _answered(conns)
        asked = needed.join_asof(answered, left_on="ts", right_on="answered_at", by="id.orig_h", check_sortedness=False)
        asked = pl.concat([asked.drop_nulls("conn"), _by_others(asked.filter(pl.col("conn").is_null()), answered, rng)])
        self._remember(asked)
        unique = asked.unique(["conn", "name", "address"], maintain_order=True)
        return pl.concat([self._asked(conns, unique, rng), self._others(conns, unique["conn"], rng), _multicast(conns, rng)])

    def _needed(self, sent: pl.DataFrame) -> pl.DataFrame:
        """Return the first need of each client for each name, and each one that comes hours after the last look-up."""
        piece = (pl.col("ts").dt.epoch("s") // _KEPT_S).alias("piece")
        first = sent.sort("ts", maintain_order=True).group_by([*_PAIR, piece], maintain_order=True).agg(pl.col("ts").first())
        joined = first.join(self._asked_at, on=list(_PAIR), how="left", maintain_order="left")
        fresh = (pl.col("ts") - pl.col("at")).dt.total_seconds() < _KEPT_S
        return joined.filter(~fresh.fill_null(value=False)).select(*_PAIR, "ts").sort("ts", maintain_order=True)

    def _remember(self, asked: pl.DataFrame) -> None:
        both = (
            pl.concat([self._asked_at, asked.select(*_PAIR, at=pl.col("ts"))])
            .group_by(list(_PAIR), maintain_order=True)
            .agg(pl.col("at").max())
        )
        self._asked_at = both.sort("at", descending=True, maintain_order=True).head(_MOST_PAIRS)

    def _asked(self, conns: pl.DataFrame, asked: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
        """Return the look-ups of servers that hosts then contact."""
        asked = asked.sort("conn", maintain_order=True)
        of = asked["conn"].to_numpy()
        each = conns[of]
        place = np.arange(len(of)) - np.searchsorted(of, of)
        kind = np.where(asked["address"].str.contains(":", literal=True).to_numpy(), "AAAA", "A")
        alias = pl.select(pl.lit("edge-") + asked["name"].str.replace_all(".", "-", literal=True) + ".example-cdn.net").to_series()
        chained = pl.Series(numbers_of(asked["name"]) % 3 == 0)
        answers = pl.DataFrame({"a": asked["address"], "c": alias, "chained": chained}).select(
            pl.when("chained").then(pl.concat_list("c", "a")).otherwise(pl.concat_list("a"))
        ).to_series()  # fmt: skip
        return _frame(each, asked["name"], kind, answers, np.zeros(len(of), np.int64), place, rng)

    def _others(self, conns: pl.DataFrame, asked: pl.Series, rng: np.random.Generator) -> pl.DataFrame:
        """Return a query of each DNS conn of the batch that no server's look-up is in."""
        used = np.zeros(conns.height, bool)
        used[asked.to_numpy()] = True
        rows = conns.filter(pl.Series(~used) & _is_dns(conns) & (conns["id.resp_p"] == 53))
        n = rows.height
        answered = (rows["resp_bytes"].fill_null(0) > 0).to_numpy()
        outside = [(a, name) for a, name in self._names.outside.items() if ":" not in a]
        pool, own = pl.DataFrame(outside, ["address", "name"], orient="row"), list(self._names.inside.items())
        pick = pool[np.minimum(rng.pareto(0.6, n) * 8, 1e9).astype(np.int64) % pool.height]
        inner = rng.integers(0, len(own), n)
        inside = pl.DataFrame({"a": pl.Series([a for a, _ in own]).gather(inner), "n": pl.Series([name for _, name in own]).gather(inner)})
        server, drawn = rows["id.orig_h"].is_in(self._names.servers).to_numpy(), rng.random(n)
        back = pick["address"].str.split(".").list.reverse().list.join(".")
        lost = pl.select(pick["name"].str.replace(r"\.example-", ".exmaple-")).to_series()
        kinds = np.select(
            [drawn < 0.05, server & (drawn < 0.45), drawn < 0.09, drawn < 0.15, drawn < 0.30, drawn < 0.50, drawn < 0.60],
            ["reverse", "list", "unknown", "service", "inside", "six", "record"], "plain",
        )  # fmt: skip
        which = pl.Series(kinds)
        frame = pl.DataFrame(
            {
                "k": which,
                "name": pick["name"],
                "address": pick["address"],
                "in": inside["n"],
                "ina": inside["a"],
                "back": back,
                "lost": lost,
            }
        )
        texts = frame.select(
            q=pl.when(pl.col("k") == "reverse").then(pl.col("back") + ".in-addr.arpa").when(pl.col("k") == "list").then(pl.col("back") + ".bl.example-filter.org")
            .when(pl.col("k") == "unknown").then("lost").when(pl.col("k") == "service").then(pl.lit(f"_ldap._tcp.dc._msdcs.{self._names.domain}"))
            .when(pl.col("k") == "inside").then("in").otherwise("name"),
            a=pl.when(pl.col("k").is_in(["unknown", "list", "six", "record"])).then(None).when(pl.col("k") == "reverse").then(pl.concat_list("name"))
            .when(pl.col("k") == "inside").then(pl.concat_list("ina")).when(pl.col("k") == "service").then(pl.concat_list(pl.lit(f"dc1.{self._names.domain}")))
            .otherwise(pl.concat_list("address")),
        )  # fmt: skip
        kind = np.select([kinds == "reverse", kinds == "service", kinds == "six", kinds == "record"], ["PTR", "SRV", "AAAA", "HTTPS"], "A")
        rcode = np.where(np.isin(kinds, ["unknown", "list"]), 3, 0)
        answers = texts.select(pl.when(pl.Series(answered)).then("a")).to_series()
        return _frame(rows, texts["q"], kind, answers, np.where(answered, rcode, -1), np.zeros(n, np.int64), rng)


def _by_others(asked: pl.DataFrame, answered: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Return the needs of hosts without an answered look-up before, each with one of the last look-ups of other hosts, or of the first."""
    if answered.is_empty():
        return asked.head(0)
    before = answered["answered_at"].search_sorted(asked["ts"], "right").to_numpy().astype(np.int64)
    first = rng.integers(0, min(answered.height, _FIRST), asked.height)
    chosen = np.where(before > 0, before - 1 - rng.integers(0, np.clip(before, 1, _LAST)), first)
    return asked.drop("conn", "answered_at").hstack(answered[chosen].select("conn", "answered_at")).select(asked.columns)


def _needs_name(conns: pl.DataFrame) -> pl.Series:
    """Return which conns a host makes to a server that it knows by name; those to inside servers only with TLS."""
    tls = pl.col("service").str.contains("ssl").fill_null(value=False)
    outward = pl.col("local_orig").fill_null(value=False) & (~pl.col("local_resp").fill_null(value=False) | tls)
    return conns.select((outward & pl.col("_name").is_not_null() & (pl.col("id.resp_p") != 53)).alias("n"))["n"]


def _is_dns(conns: pl.DataFrame) -> pl.Series:
    return (conns["service"] == "dns").fill_null(value=False)


def _answered(conns: pl.DataFrame) -> pl.DataFrame:
    """Return client, number (`conn`) and time of the answer of each answered DNS conn, in the order of that time."""
    rows = conns.with_row_index("conn").filter(
        _is_dns(conns) & (conns["id.resp_p"] == 53) & (conns["resp_bytes"].fill_null(0) > 0) & (conns["orig_bytes"].fill_null(0) > 0)
    )
    done = pl.col("ts") + pl.duration(microseconds=(pl.col("duration") * 1e6).cast(pl.Int64))
    return rows.select("id.orig_h", "conn", answered_at=done).sort("answered_at", maintain_order=True)


def _frame(
    rows: pl.DataFrame,
    query: pl.Series,
    kind: np.ndarray,
    answers: pl.Series,
    rcode: np.ndarray,
    place: np.ndarray,
    rng: np.random.Generator,
) -> pl.DataFrame:
    """Return rows of dns.log; `rcode` −1 stands for no answer, `place` counts the queries of one conn."""
    n = rows.height
    lasted = rows["duration"].fill_null(0.0).to_numpy()
    shift = lasted * (1 - 1 / (1 + place)) * 0.5
    code = pl.Series(rcode)
    known = pl.select(pl.when(code >= 0).then(code)).to_series()
    return log_frame(
        "dns", rows, ts=rows["ts"] + pl.Series((shift * 1e6).astype(np.int64)).cast(pl.Duration("us")), trans_id=pl.Series(rng.integers(0, 65_536, n)),
        rtt=pl.select(pl.when(code >= 0).then(pl.Series(np.round(lasted - shift, 6)))).to_series(), query=query, qclass=1,
        qtype=pl.Series([_TYPES[str(k)] for k in kind], dtype=pl.UInt64),
        qtype_name=pl.Series(kind.astype(object), dtype=pl.String), rcode=known,
        rcode_name=known.replace_strict({0: "NOERROR", 3: "NXDOMAIN"}, default=None, return_dtype=pl.String), AA=False, rejected=False, answers=answers,
    )  # fmt: skip


def _multicast(conns: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Return the queries of name services on the link, which nobody answers."""
    rows = conns.filter(_is_dns(conns) & conns["id.resp_p"].is_in([5353, 5355, 137]) & (conns["orig_bytes"].fill_null(0) > 0))
    n, port = rows.height, rows["id.resp_p"].to_numpy()
    pick = rng.integers(0, len(_MULTICAST), n)
    many = port == 5353
    query = np.select([many, port == 137], [np.array([q for q, _ in _MULTICAST])[pick], "WORKGROUP"], "wpad")
    kind = np.select([many, port == 137], [np.array([k for _, k in _MULTICAST])[pick], "NB"], "A")
    nothing = pl.Series([None], dtype=pl.List(pl.String)).new_from_index(0, n)
    return _frame(rows, pl.Series(query.astype(object), dtype=pl.String), kind, nothing, np.full(n, -1), np.zeros(n, np.int64), rng)
