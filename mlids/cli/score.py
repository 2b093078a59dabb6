"""`mlids score`: a ranked list of unusual conns in a Zeek log; needs no set-up."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from mlids.cli.output import Progress, console, safe
from mlids.text import no_formula

if TYPE_CHECKING:
    from mlids.pipeline import Finding, Scored


def score(
    paths: Annotated[list[str], typer.Argument(help="Zeek logs (TSV, JSON, .gz, .zst), folders, or - for standard input.")],
    top: Annotated[int, typer.Option(min=0, max=10_000, help="How many findings to print.")] = 20,
    behaviour: Annotated[
        str | None, typer.Option(help="Rank only conns whose strongest behaviour is this one: beacon, horizontal_scan, dns_tunnel, …")
    ] = None,
    format: Annotated[str, typer.Option(help="table, json or csv.")] = "table",  # noqa: A002
    out: Annotated[Path | None, typer.Option(help="Write one row per conn to FILE.parquet, .csv or .jsonl.")] = None,
    model: Annotated[str | None, typer.Option(help="A trained model: a file, a folder or models:/mlids-conn@production.")] = None,
    train: Annotated[list[Path] | None, typer.Option(help="Train on these logs first (may be repeated).")] = None,
    threshold: Annotated[float | None, typer.Option(min=0, max=100, help="risk_score from which a conn is an alert.")] = None,
    network: Annotated[list[str] | None, typer.Option(help="An inside network, CIDR (may be repeated).")] = None,
    sensor: Annotated[str, typer.Option(help="Name of the sensor, for rows without one.")] = "zeek",
) -> None:
    """Rank the connections of a log by risk, with the reasons."""
    from mlids import pipeline
    from mlids.errors import InputError

    if format not in {"table", "json", "csv"}:
        raise InputError(f"--format {format}: use table, json or csv")
    sources: list[Path | BinaryIO] = [sys.stdin.buffer if p == "-" else Path(p) for p in paths]
    with Progress() as progress:
        scored = pipeline.score_logs(
            sources, model=model, train=train or (), networks=network or (),
            sensor=sensor, top=top, behaviour=behaviour, out=out, threshold=threshold, progress=progress,
        )  # fmt: skip
    if format == "json":
        print(json.dumps(_as_json(scored), default=str, ensure_ascii=True))
    elif format == "csv":
        print(_as_csv(scored.findings), end="")
    else:
        _print_table(scored, out, behaviour)
    if format != "table":
        _warn(scored)


def _flat(finding: Finding) -> dict[str, object]:
    row = dict(finding.conn)
    if row["ts"] is not None:
        row["ts"] = row["ts"].isoformat(timespec="microseconds")  # type: ignore[attr-defined]
    return row | {
        "attack_probability": finding.attack_probability,
        "attack_class": finding.attack_class,
        "anomaly_score": round(finding.anomaly_score, 4),
        "risk_score": round(finding.risk_score, 1),
        "alert": finding.alert,
        "behaviour": finding.behaviour,
        "alike": finding.alike,
        "reasons": finding.reasons,
    }


def _as_json(scored: Scored) -> dict[str, object]:
    reading = scored.reading
    return {
        "rows": reading.rows,
        "rejected": reading.rejected,
        "files": reading.files,
        "problems": [{"source": p.source, "reason": p.reason} for p in reading.problems],
        "rejects": [{"source": s, "line": r.line, "reason": r.reason} for s, r in reading.rejects[:20]],
        "alerts": scored.alerts,
        "threshold": scored.threshold,
        "trained_on": scored.trained_on,
        "model_version": scored.model_version,
        "findings": [_flat(f) for f in scored.findings],
    }


def _as_csv(findings: list[Finding]) -> str:
    held = io.StringIO()
    rows = [_flat(f) for f in findings]
    if rows:
        writer = csv.DictWriter(held, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: no_formula(v) if isinstance(v, str) else v for k, v in row.items()} for row in rows)
    return held.getvalue()


def _print_table(scored: Scored, out: Path | None, behaviour: str | None) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    screen = console()
    reading = scored.reading
    screen.print(f"{reading.rows:,} conns from {reading.files:,} file{'s' * (reading.files != 1)}; trained on: {scored.trained_on}.")
    like = f" whose strongest behaviour is {behaviour}" if behaviour else ""
    if scored.alerts:
        screen.print(f"[bold]{scored.alerts:,} conns{like}[/] have a risk score of {scored.threshold:.0f} or more.")
    else:
        screen.print(f"[bold green]Nothing stands out[/]: no conn{like} has a risk score of {scored.threshold:.0f} or more.")
        if scored.findings:
            screen.print("The conns with the highest risk score:")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, expand=True)
    table.add_column("risk", justify="right", no_wrap=True)
    table.add_column("when (UTC)", no_wrap=True)
    table.add_column("connection", overflow="fold", ratio=4)
    table.add_column("alike", justify="right", no_wrap=True)
    table.add_column("why", overflow="fold", ratio=6)
    table.add_column("uid", no_wrap=True)
    for finding in scored.findings:
        conn = finding.conn
        when = conn["ts"].strftime("%m-%d %H:%M:%S") if conn["ts"] is not None else "-"  # type: ignore[attr-defined]
        table.add_row(
            Text(f"{finding.risk_score:.0f}", style=_colour(finding)),
            when,
            Text(f"{_ended(conn['id.orig_h'], conn['id.orig_p'])} > {_ended(conn['id.resp_h'], conn['id.resp_p'])} {safe(conn['proto'])}"),
            f"{finding.alike:,}" if finding.alike > 1 else "",
            Text(safe(finding.reasons)),
            Text(safe(conn["uid"])),
        )
    if scored.findings:
        screen.print(table)
    _warn(scored)
    if out is not None:
        screen.print(f"One row per conn is in {safe(out)}.")


def _ended(host: object, port: object) -> str:
    name = safe(host) or "?"
    return f"[{name}]:{port}" if ":" in name else f"{name}:{port if port is not None else '?'}"


def _colour(finding: Finding) -> str:
    return "bold red" if finding.alert else "yellow" if finding.risk_score >= 40 else ""


def _warn(scored: Scored) -> None:
    reading = scored.reading
    lines = []
    if reading.rejected:
        lines.append(f"{reading.rejected:,} rows did not parse and were rejected:")
        lines += [f"  {source} line {r.line}: {r.reason}" for source, r in reading.rejects[:5]]
    lines += [p.reason if p.source in p.reason else f"{p.source}: {p.reason}" for p in reading.problems[:20]]
    for line in lines:
        sys.stderr.write(f"mlids: {safe(line)}\n")
