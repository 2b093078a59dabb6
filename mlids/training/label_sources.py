"""Who else has a say on a row: Zeek's own notices, joined by uid or by host and time, and analysts' verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from mlids.features.context import FAILED_STATES
from mlids.training.labels import BENIGN, family

# Notices that tell of an attack; the others (certificates, capture loss, new hosts) tell of none.
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
# A notice comes once a threshold is passed: what its host did so long before it belongs to it.
_BEFORE, _AFTER = pl.duration(minutes=15), pl.duration(minutes=1)
_HOSTS = pl.Schema({"src": pl.String(), "dst": pl.String(), "at": pl.Datetime("us", "UTC"), "told": pl.String()})
MAX_LABELS = 200_000


class LabelSources:
    """Labels by uid, and by host within a span of time. A verdict outweighs a notice."""

    def __init__(self) -> None:
        self._labels: dict[str, str] = {}  # by uid …
        self._sources: dict[str, str] = {}  # … and who said so
        self._hosts = pl.DataFrame(schema=_HOSTS)

    def add_notices(self, notices: pl.DataFrame) -> None:
        """Take a batch of notice.log; rows without a note that tells of an attack are passed over."""
        if not {"note", "ts"} <= set(notices.columns):
            return
        wanted = {"uid": pl.String, "src": pl.String, "dst": pl.String, "id.orig_h": pl.String, "id.resp_h": pl.String}
        notices = notices.with_columns([pl.lit(None, t).alias(n) for n, t in wanted.items() if n not in notices.columns])
        found = notices.select(
            "uid", pl.coalesce("src", "id.orig_h").alias("src"), pl.coalesce("dst", "id.resp_h").alias("dst"), pl.col("ts").alias("at"),
            pl.col("note").replace_strict(_NOTICES, default=None, return_dtype=pl.String).alias("told"),
        ).drop_nulls("told")  # fmt: skip
        for uid, told in found.drop_nulls("uid").select("uid", "told").iter_rows():
            if len(self._labels) < MAX_LABELS and uid not in self._labels:
                self._labels[uid], self._sources[uid] = told, "notice"
        hosts = found.filter(pl.col("src").is_not_null() & pl.col("at").is_not_null()).select(_HOSTS.names())
        self._hosts = pl.concat([self._hosts, hosts.cast(_HOSTS)]).unique(maintain_order=True).head(MAX_LABELS)  # type: ignore[arg-type]

    def add_verdicts(self, alerts: Iterable[Mapping[str, Any]]) -> None:
        """Take alert documents with their `verdict`: a true positive is an attack of its kind, a false positive benign."""
        for alert in alerts:
            verdict = str(alert.get("verdict") or "").replace("_", " ").lower()
            if verdict in {"true positive", "false positive"}:
                told = BENIGN if verdict == "false positive" else family(alert["mlids"]["attack_class"] or alert["mlids"]["kind"])
                uids = alert["mlids"]["uids"]
                self._labels |= dict.fromkeys(uids, told)
                self._sources |= dict.fromkeys(uids, "verdict")

    def tell(self, conns: pl.DataFrame) -> pl.DataFrame:
        """Return `label` and `source` (verdict or notice) of each row; null where nobody says anything."""
        out = conns.select(
            label=pl.col("uid").replace_strict(self._labels, default=None, return_dtype=pl.String),
            source=pl.col("uid").replace_strict(self._sources, default=None, return_dtype=pl.String),
        )
        if self._hosts.is_empty():
            return out
        rows = conns.select("ts", "id.orig_h", "id.resp_h", "conn_state").with_row_index("i")
        near = rows.join(self._hosts, left_on="id.orig_h", right_on="src", how="inner").filter(
            (pl.col("ts") >= pl.col("at") - _BEFORE) & (pl.col("ts") <= pl.col("at") + _AFTER)
            & (pl.col("dst").is_null() | (pl.col("dst") == pl.col("id.resp_h")))
            & (~pl.col("told").is_in(_SCANS) | pl.col("conn_state").is_in(FAILED_STATES))
        )  # fmt: skip
        by_host = rows.select("i").join(near.group_by("i").agg(pl.col("told").first()), on="i", how="left", maintain_order="left")["told"]
        return out.with_columns(
            label=pl.coalesce("label", by_host), source=pl.coalesce("source", pl.when(by_host.is_not_null()).then(pl.lit("notice")))
        )
