"""The names of outside addresses, from dns.log, ssl.log and http.log.

Of benign pairs of hosts that talk regularly most carry a name that was looked up; of malicious ones few do. A name is what
a host asked for, so that it is a fact about an address and not a promise: SNI and Host are the client's own words.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from mlids.evidence.tables import columns, fold

# The fields that are read of each log.
LOGS = {"dns": ("query", "answers"), "ssl": ("id.resp_h", "server_name"), "http": ("id.resp_h", "host")}
_ADDRESS = r"^(\d{1,3}(\.\d{1,3}){3}(:\d+)?|\[?[0-9a-fA-F]*:[0-9a-fA-F:.]*:[0-9a-fA-F:.]*\]?(:\d+)?)$"
_SCHEMA = {"address": pl.String(), "name": pl.String(), "how": pl.String(), "n": pl.Int64()}


class Names:
    """Names by address. State is bounded: the names that were seen most are kept.

    `judged` are the logs of which rows were seen: without dns.log an address without a name says nothing.
    """

    def __init__(self) -> None:
        self.judged: set[str] = set()
        self._table: pl.DataFrame | None = None

    def add(self, log: str, rows: pl.DataFrame) -> None:
        """Take a batch of rows of one of LOGS; other logs are ignored."""
        if log not in LOGS or rows.is_empty():
            return
        self.judged.add(log)
        found = {"dns": _answers, "ssl": _server_names, "http": _hosts}[log](rows)
        fresh = (
            found.drop_nulls(["address", "name"])
            .filter(~pl.col("name").str.contains(_ADDRESS) & (pl.col("name").str.len_bytes() > 0))
            .group_by(["address", "name"], maintain_order=True)
            .agg(pl.len().cast(pl.Int64).alias("n"))
            .select("address", "name", pl.lit(log).alias("how"), "n")
        )
        how: Mapping[str, pl.Expr] = {"n": pl.col("n").sum()}
        self._table = fold(self._table, fresh, ["address", "name", "how"], how, largest="n")

    def of(self, addresses: pl.Series) -> pl.DataFrame:
        """Return one row per address, in their order: `address`, `name` (the most frequent; null: none), and whether it was `resolved` (dns) or `sent` (SNI or Host)."""
        asked = pl.DataFrame({"address": addresses.cast(pl.String)})
        table = self._table if self._table is not None else pl.DataFrame(schema=_SCHEMA)
        known = (
            table.join(asked.unique(), on="address", how="semi")
            .sort("n", descending=True, maintain_order=True)
            .group_by("address", maintain_order=True)
            .agg(pl.col("name").first(), resolved=(pl.col("how") == "dns").any(), sent=(pl.col("how") != "dns").any())
        )
        return asked.join(known, on="address", how="left", maintain_order="left").with_columns(
            pl.col("resolved", "sent").fill_null(value=False)
        )

    def state(self) -> dict[str, pl.DataFrame]:
        """Return the state as tables."""
        judged = pl.DataFrame({"log": sorted(self.judged)}, schema={"log": pl.String})
        return {"judged": judged} | ({} if self._table is None else {"names": self._table})

    def restore(self, state: Mapping[str, pl.DataFrame]) -> None:
        """Take over the state that another one returned."""
        self.judged = set(state["judged"]["log"].to_list()) if "judged" in state else set()
        self._table = state.get("names")


def _answers(rows: pl.DataFrame) -> pl.DataFrame:
    wanted = columns(rows, {"query": pl.String(), "answers": pl.List(pl.String)})
    return (
        wanted.drop_nulls()
        .select(name=pl.col("query").str.to_lowercase(), address=pl.col("answers").list.head(32))
        .explode("address")
        .filter(pl.col("address").str.contains(r"^[0-9a-fA-F:.]+$"))
    )


def _server_names(rows: pl.DataFrame) -> pl.DataFrame:
    wanted = columns(rows, {"id.resp_h": pl.String(), "server_name": pl.String()})
    return wanted.select(name=pl.col("server_name").str.to_lowercase(), address=pl.col("id.resp_h"))


def _hosts(rows: pl.DataFrame) -> pl.DataFrame:
    wanted = columns(rows, {"id.resp_h": pl.String(), "host": pl.String()})
    return wanted.select(name=pl.col("host").str.to_lowercase(), address=pl.col("id.resp_h"))
