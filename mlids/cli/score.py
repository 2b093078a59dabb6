"""`mlids score`: a ranked list of unusual conns in a Zeek log; needs no set-up."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from mlids.cli.case_output import block, print_background, print_cases
from mlids.cli.output import Progress, console, safe
from mlids.cli.records import ended, print_records, records_as_json
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
    out: Annotated[
        Path | None,
        typer.Option(help="Write one row per conn to FILE.parquet, .csv or .jsonl; records of other logs beside it, as FILE.dns.parquet."),
    ] = None,
    logs: Annotated[
        str | None, typer.Option(help="Score these logs: a comma list of conn, http, dns, ssh and ssl. Default: those that are there.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="A trained model: a file, a folder or models:/mlids-conn@production.")] = None,
    train: Annotated[list[Path] | None, typer.Option(help="Learn normal traffic from these logs first (may be repeated).")] = None,
    fit: Annotated[bool, typer.Option("--fit", help="Learn normal traffic from the scored rows themselves.")] = False,
    threshold: Annotated[float | None, typer.Option(min=0, max=100, help="risk_score from which a conn is an alert.")] = None,
    network: Annotated[list[str] | None, typer.Option(help="An inside network, CIDR (may be repeated).")] = None,
    sensor: Annotated[str, typer.Option(help="Name of the sensor, for rows without one.")] = "zeek",
) -> None:
    """Print the cases of a log or a folder of logs, its conns ranked by risk with the reasons, and the most unusual records of http, dns, ssh and ssl. Without --model, --train or --fit, the reference model scores."""
    from mlids import pipeline
    from mlids.errors import InputError

    if format not in {"table", "json", "csv"}:
        raise InputError(f"--format {format}: use table, json or csv")
    sources: list[Path | BinaryIO] = [sys.stdin.buffer if p == "-" else Path(p) for p in paths]
    with Progress() as progress:
        scored = pipeline.score_logs(
            sources, model=model, train=train or (), fit=fit, networks=network or (),
            sensor=sensor, top=top, behaviour=behaviour, out=out, threshold=threshold, logs=logs, progress=progress,
        )  # fmt: skip
    if format == "json":
        print(json.dumps(_as_json(scored), default=str, ensure_ascii=True))
    elif format == "csv":
        print(_as_csv(scored.findings), end="")
    else:
        if scored.reading.rows or not scored.records:
            _print_table(scored, out, behaviour)
        print_records(scored.records)
        _warn(scored)
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
        "cases": [c.as_dict() for c in scored.gathered.cases],
        "background": {
            "sources": scored.gathered.background.sources,
            "services": scored.gathered.background.services,
            "conns": scored.gathered.background.conns,
        },
        "findings": [_flat(f) for f in scored.findings],
        "logs": records_as_json(scored.records),
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
    screen = console()
    reading = scored.reading
    screen.print(f"{reading.rows:,} conns from {reading.files:,} file{'s' * (reading.files != 1)}; trained on: {scored.trained_on}.")
    if scored.public_hosts:
        named = ", ".join(safe(h) for h in scored.public_hosts[:3])
        screen.print(
            f"Taken for hosts of the site, as most conns between public addresses are theirs: {named}. Name the site's networks with --network."
        )
    if behaviour is None:
        print_cases([c.as_dict() for c in scored.gathered.cases])
        print_background(scored.gathered.background)
    like = f" whose strongest behaviour is {behaviour}" if behaviour else ""
    if scored.alerts:
        screen.print(f"[bold]{scored.alerts:,} conns{like}[/] have a risk score of {scored.threshold:.0f} or more.")
    else:
        screen.print(f"There is no conn{like} with a risk score of {scored.threshold:.0f} or more.")
    if scored.findings:
        screen.print("\nThe conns with the highest risk score, one of each group:" if not behaviour else "")
    for finding in scored.findings:
        conn = finding.conn
        when = conn["ts"].strftime("%m-%d %H:%M:%S") if conn["ts"] is not None else "-"  # type: ignore[attr-defined]
        ends = f"{ended(conn['id.orig_h'], conn['id.orig_p'])} > {ended(conn['id.resp_h'], conn['id.resp_p'])} {safe(conn['proto'])}"
        alike = f"  {finding.alike:,} alike" if finding.alike > 1 else ""
        lines = [("", safe(finding.reasons)), ("uid", safe(conn["uid"]))]
        block(screen, f"{finding.risk_score:3.0f}", _colour(finding), f"{when}  {ends}{alike}", lines)
    if out is not None:
        screen.print(f"One row per conn is in {safe(out)}.", soft_wrap=True)


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
