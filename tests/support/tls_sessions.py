"""Logs of a beacon over TLS to a bare address, beside another host's look-ups."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from mlids.zeek.log_types import LOG_COLUMNS
from mlids.zeek.writer import header_lines, tsv_rows

NOW = datetime(2026, 11, 6, 9, 0, tzinfo=UTC)
C2, HOST = "203.0.113.77", "10.1.2.3"


def sessions(n: int = 120, every_s: float = 60.0) -> dict[str, pl.DataFrame]:
    """Return conn.log and ssl.log of a beacon to a bare address, with the look-ups of another host's browsing."""
    at = [NOW + timedelta(seconds=i * every_s) for i in range(n)]
    ends = {"id.orig_h": HOST, "id.resp_h": C2, "id.resp_p": 449, "proto": "tcp"}
    conn = pl.DataFrame({"ts": at, "uid": [f"C{i}" for i in range(n)], "id.orig_p": list(range(40_000, 40_000 + n))}).with_columns(
        **{k: pl.lit(v) for k, v in ends.items()}, service=pl.lit("ssl"), duration=pl.lit(1.5), orig_bytes=pl.lit(900), resp_bytes=pl.lit(1_400),
        conn_state=pl.lit("SF"), history=pl.lit("ShADadFf"), orig_pkts=pl.lit(9), resp_pkts=pl.lit(8), orig_ip_bytes=pl.lit(1_300), resp_ip_bytes=pl.lit(1_800),
    )  # fmt: skip
    ssl = conn.select("ts", "uid", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p").with_columns(
        version=pl.lit("TLSv12"), cipher=pl.lit("TLS_RSA_WITH_AES_128_CBC_SHA"), established=pl.lit(value=True), ssl_history=pl.lit("CsxknGIti"),
        subject=pl.lit("CN=example"), issuer=pl.lit("CN=example"), validation_status=pl.lit("self signed certificate"),
    )  # fmt: skip
    names = [f"www{i}.example.org" for i in range(30)]
    dns = pl.DataFrame({"ts": at[:30], "uid": [f"D{i}" for i in range(30)], "query": names}).with_columns(
        **{"id.orig_h": pl.lit("10.1.2.9"), "id.resp_h": pl.lit("10.1.0.1"), "id.resp_p": pl.lit(53)}, proto=pl.lit("udp"),
        qtype_name=pl.lit("A"), rcode_name=pl.lit("NOERROR"), answers=pl.concat_list(pl.lit("192.0.2.5")),
    )  # fmt: skip
    return {"conn": _typed("conn", conn), "ssl": _typed("ssl", ssl), "dns": _typed("dns", dns)}


def _typed(log: str, frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select(
        pl.col(c.name).cast(c.dtype) if c.name in frame.columns else pl.lit(None, c.dtype).alias(c.name) for c in LOG_COLUMNS[log]
    )


def write(folder: Path, log: str, rows: pl.DataFrame) -> None:
    path = folder / f"{log}.log"
    folder.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.write_bytes(header_lines(log, LOG_COLUMNS[log], NOW))
    with path.open("ab") as out:
        out.write(tsv_rows(rows, LOG_COLUMNS[log]))
