"""Labels from Zeek's notice.log, joined by uid, or by host and time."""

from __future__ import annotations

from typing import ClassVar

import polars as pl

from mlids.features.context import FAILED_STATES
from mlids.training.label_sources.base import MAX_LABELS

# Notices about attacks. Others (certificates, capture loss, new hosts) give no label.
_NOTICES = {
    "Scan::Address_Scan": "horizontal_scan",
    "Scan::Port_Scan": "vertical_scan",
    "Scan::Random_Scan": "horizontal_scan",
    "SSH::Password_Guessing": "brute_force",
    "FTP::Bruteforcing": "brute_force",
    "RDP::RDP_Bruteforce": "brute_force",
    "HTTP::SQL_Injection_Attacker": "web_attack",
    "Heartbleed::SSL_Heartbeat_Attack_Success": "web_attack",
}
_SCANS = ("horizontal_scan", "vertical_scan")
# Zeek writes a notice once a threshold is passed: the conns that led to it come before it.
_BEFORE, _AFTER = pl.duration(minutes=15), pl.duration(minutes=1)
_HOSTS = pl.Schema({"src": pl.String(), "dst": pl.String(), "at": pl.Datetime("us", "UTC"), "attack": pl.String()})


class NoticeLabels:
    """Attacks that Zeek's notices name.

    A notice labels the conn of its uid, and the conns of its source from 15 minutes before to one minute after it
    (to its destination, where it names one). A scan notice labels failed conns only.
    """

    name: ClassVar[str] = "notice"
    priority: ClassVar[int] = 100
    log: ClassVar[str | None] = "notice"
    fields: ClassVar[tuple[str, ...]] = ("ts", "note", "uid", "src", "dst", "id.orig_h", "id.resp_h")

    def __init__(self) -> None:
        self._by_uid: dict[str, str] = {}
        self._hosts = pl.DataFrame(schema=_HOSTS)

    def add(self, rows: pl.DataFrame) -> None:
        """Take a batch of notice.log. Notices that are not about an attack are ignored."""
        if not {"note", "ts"} <= set(rows.columns):
            return
        rows = rows.with_columns([pl.lit(None, pl.String).alias(n) for n in self.fields if n not in rows.columns])
        found = rows.select(
            "uid", pl.coalesce("src", "id.orig_h").alias("src"), pl.coalesce("dst", "id.resp_h").alias("dst"), pl.col("ts").alias("at"),
            pl.col("note").replace_strict(_NOTICES, default=None, return_dtype=pl.String).alias("attack"),
        ).drop_nulls("attack")  # fmt: skip
        for uid, attack in found.drop_nulls("uid").select("uid", "attack").iter_rows():
            if len(self._by_uid) < MAX_LABELS:
                self._by_uid.setdefault(uid, attack)
        hosts = found.filter(pl.col("src").is_not_null() & pl.col("at").is_not_null()).select(_HOSTS.names())
        self._hosts = pl.concat([self._hosts, hosts.cast(_HOSTS)]).unique(maintain_order=True).head(MAX_LABELS)  # type: ignore[arg-type]

    def labels(self, conns: pl.DataFrame) -> pl.Series:
        """Return the attack of each conn; null without a notice about it. A notice with its uid comes before one of its host."""
        by_uid = conns["uid"].replace_strict(self._by_uid, default=None, return_dtype=pl.String)
        if self._hosts.is_empty():
            return by_uid
        rows = conns.select("ts", "id.orig_h", "id.resp_h", "conn_state").with_row_index("i")
        near = rows.join(self._hosts, left_on="id.orig_h", right_on="src", how="inner").filter(
            (pl.col("ts") >= pl.col("at") - _BEFORE) & (pl.col("ts") <= pl.col("at") + _AFTER)
            & (pl.col("dst").is_null() | (pl.col("dst") == pl.col("id.resp_h")))
            & (~pl.col("attack").is_in(_SCANS) | pl.col("conn_state").is_in(FAILED_STATES))
        )  # fmt: skip
        first = near.group_by("i").agg(pl.col("attack").first())
        by_host = rows.select("i").join(first, on="i", how="left", maintain_order="left")["attack"]
        return pl.select(pl.coalesce(by_uid, by_host)).to_series()


LABEL_SOURCE = NoticeLabels
