"""Writes frames with Zeek's column names and types as Zeek logs: TSV or JSON, plain or gzip."""

from __future__ import annotations

import io
from datetime import datetime
from pathlib import Path

import polars as pl

from mlids.files import write_atomic
from mlids.zeek.log_types import LOG_COLUMNS
from mlids.zeek.types import CONN, Column


def header_lines(log: str, columns: tuple[Column, ...], opened: datetime) -> bytes:
    """Return the eight header lines that Zeek writes above a TSV log."""
    lines = [
        "#separator \\x09",
        "#set_separator\t,",
        "#empty_field\t(empty)",
        "#unset_field\t-",
        f"#path\t{log}",
        f"#open\t{opened:%Y-%m-%d-%H-%M-%S}",
        "#fields\t" + "\t".join(c.name for c in columns),
        "#types\t" + "\t".join(c.zeek_type for c in columns),
    ]
    return ("\n".join(lines) + "\n").encode()


def footer_line(closed: datetime) -> bytes:
    """Return the `#close` line."""
    return f"#close\t{closed:%Y-%m-%d-%H-%M-%S}\n".encode()


def tsv_rows(frame: pl.DataFrame, columns: tuple[Column, ...] = CONN) -> bytes:
    """Return the rows as TSV lines without a header; unset is `-`, empty is `(empty)`."""
    out = io.BytesIO()
    frame.select(_cell(c) for c in columns).write_csv(
        out, include_header=False, separator="\t", quote_style="never", null_value="-", float_precision=6
    )
    return out.getvalue()


def json_rows(frame: pl.DataFrame, columns: tuple[Column, ...] = CONN) -> bytes:
    """Return the rows as JSON lines as Zeek writes them: times in epoch seconds, unset fields left out."""
    cells = [(pl.col(c.name).dt.epoch("us") / 1e6).alias(c.name) if c.zeek_type == "time" else pl.col(c.name) for c in columns]
    out = io.BytesIO()
    frame.select(cells).write_ndjson(out)
    # polars writes an unset field as null; Zeek leaves it out.
    data = out.getvalue()
    for c in columns:
        data = data.replace(f'"{c.name}":null,'.encode(), b"").replace(f',"{c.name}":null}}'.encode(), b"}")
    return data


def _cell(column: Column) -> pl.Expr:
    cell = pl.col(column.name)
    match column.zeek_type:
        case "time":
            micros = cell.dt.epoch("us")
            whole = (micros // 1_000_000).cast(pl.String)
            part = (micros % 1_000_000).cast(pl.String).str.zfill(6)
            return pl.concat_str(whole, pl.lit("."), part).alias(column.name)
        case "bool":
            return pl.when(cell).then(pl.lit("T")).when(~cell).then(pl.lit("F")).alias(column.name)
    if column.zeek_type.startswith(("set", "vector")):
        joined = cell.list.join(",")
        return pl.when(joined == "").then(pl.lit("(empty)")).otherwise(joined).alias(column.name)
    if column.dtype == pl.String:
        return pl.when(cell == "").then(pl.lit("(empty)")).otherwise(_escaped(cell)).alias(column.name)
    return cell


def _escaped(cell: pl.Expr) -> pl.Expr:
    for raw, shown in (("\t", "\\x09"), ("\n", "\\x0a"), ("\r", "\\x0d")):
        cell = cell.str.replace_all(raw, shown, literal=True)
    return cell


def write_log(
    path: Path, frame: pl.DataFrame, *, log: str, columns: tuple[Column, ...] | None = None,
    form: str = "tsv", opened: datetime, closed: datetime | None = None,
) -> None:  # fmt: skip
    """Write one log file under a temporary name and rename it; a name that ends in `.gz` is compressed.

    `columns` are those of the log type in LOG_COLUMNS by default; `closed` adds the `#close` line of TSV.
    """
    columns = columns or LOG_COLUMNS[log]
    if form == "json":
        data = json_rows(frame, columns)
    else:
        data = header_lines(log, columns, opened) + tsv_rows(frame, columns)
        if closed is not None:
            data += footer_line(closed)
    if path.suffix == ".gz":
        from isal import igzip

        data = igzip.compress(data, compresslevel=1)
    write_atomic(path, data, sync=False)
