"""`mlids alerts`: list and show alerts, give verdicts, suppress, send dead letters again."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import typer

from mlids.cli.options import Json
from mlids.cli.output import console, safe, show

app = typer.Typer(help="List and show alerts, give verdicts, suppress conns, send dead letters again.")
AlertId = Annotated[str, typer.Argument(help="The alert's id, or its beginning.")]
Why = Annotated[str, typer.Option(help="The reason; it is stored with the rule.")]


class Verdict(StrEnum):
    """An analyst's verdict on an alert."""

    true_positive = "true-positive"
    false_positive = "false-positive"


@app.callback(invoke_without_command=True)
def latest(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Number of alerts to list.")] = 20,
    suppressed: Annotated[bool, typer.Option("--suppressed", help="Include alerts that a suppression rule hides.")] = False,
    as_json: Json = False,
) -> None:
    """List the latest alerts, newest first; the commands below work on one alert."""
    if context.invoked_subcommand is not None:
        return
    from mlids import pipeline

    found = pipeline.list_alerts(limit=limit, suppressed=suppressed)
    if as_json:
        show(found, True)
        return
    rows = [
        (a["id"][:8], f"{a['score']:.0f}", a["ts"][:19], a["observer"]["name"], a["src"], a["dst"], f"{a['mlids']['count']:,}", _why(a))
        for a in found
    ]
    _table(("id", "risk", "when (UTC)", "sensor", "from", "to", "conns", "why"), rows, "no alerts yet")
    suppressed_conns = sum(r["conns"] for r in pipeline.suppression_rules(in_force=True))
    if suppressed_conns:
        console().print(f"{suppressed_conns:,} conns were suppressed by rules: mlids alerts rules")


def _why(alert: dict[str, Any]) -> str:
    notes = [alert["verdict"], f"rule {alert['suppressed_by']}" if alert["suppressed_by"] is not None else None]
    shown = ", ".join(n for n in notes if n)
    return f"[{shown}] {alert['mlids']['reasons']}" if shown else str(alert["mlids"]["reasons"])


def _table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]], empty: str) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold", justify="right" if column in {"risk", "conns"} else "left", no_wrap=column == "id")
    for row in rows:
        table.add_row(*(Text(safe(c)) for c in row))
    console().print(table if rows else empty)


@app.command("show")
def show_one(alert_id: AlertId, as_json: Json = False) -> None:
    """Show the whole document of one alert."""
    from mlids import pipeline

    show(pipeline.find_alert(alert_id), as_json)


@app.command()
def verdict(
    alert_id: AlertId,
    verdict: Annotated[Verdict, typer.Argument(help="Whether the alert was right.")],
    note: Annotated[str | None, typer.Option(help="A note, stored with the verdict.")] = None,
) -> None:
    """Give a verdict on an alert; the next training uses it as a label."""
    from mlids import pipeline

    found = pipeline.give_verdict(alert_id, verdict.value.replace("-", " "), who=getpass.getuser(), note=note)
    print(f"{found}: {verdict.value}")


@app.command()
def suppress(
    why: Why,
    alert: Annotated[str | None, typer.Option(help="Take kind, sensor, source, destination and port from this alert.")] = None,
    kind: Annotated[str | None, typer.Option(help="Kind of the alert: a behaviour, an attack class, or anomaly.")] = None,
    src: Annotated[str | None, typer.Option(help="Originator: address or network.")] = None,
    dst: Annotated[str | None, typer.Option(help="Responder: address or network.")] = None,
    port: Annotated[int | None, typer.Option(help="Responder's port.")] = None,
    sensor: Annotated[str | None, typer.Option(help="Name of the sensor.")] = None,
    days: Annotated[float | None, typer.Option(min=0.01, max=3_650, help="Days until the rule expires; default: never.")] = None,
) -> None:
    """Suppress conns that match all conditions, from now on, and hide stored alerts of only such conns."""
    from mlids import pipeline

    rule = pipeline.suppress(why=why, who=getpass.getuser(), alert=alert, kind=kind, src=src, dst=dst, port=port, sensor=sensor, days=days)
    number = rule["rule"]
    print(f"rule {number}: {_words(rule)}; scorers apply it within seconds. To end it: mlids alerts unsuppress {number}")


@app.command()
def unsuppress(rule: Annotated[int, typer.Argument(help="Number of the rule.")]) -> None:
    """End a rule; alerts that only it hid are shown again."""
    from mlids import pipeline

    pipeline.unsuppress(rule)
    print(f"rule {rule} is no longer in force")


@app.command()
def rules(as_json: Json = False) -> None:
    """List the suppression rules, with the number of conns that each suppressed."""
    from mlids import pipeline

    found = pipeline.suppression_rules()
    if as_json:
        show(found, True)
        return
    rows = [
        (str(r["id"]), _state(r), _words(r), f"{r['conns']:,}", (r["last_at"] or "")[:19], f"{r['why']} ({r['who']}, {r['at'][:10]})")
        for r in found
    ]
    _table(("rule", "state", "suppresses", "conns", "last", "why"), rows, "no rules; see mlids alerts suppress --help")


@app.command()
def resend(
    sink: Annotated[str | None, typer.Option(help="Only the dead letters of this sink; default: of every sink in MLIDS_SINKS.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count the dead letters by sink and send nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Send dead letters again, and remove those that arrived. Exit code 1 while some are left; running it again is safe."""
    from mlids import pipeline

    found = pipeline.resend_dead_letters(sink, dry_run=dry_run)
    if as_json:
        show(found, True)
    else:
        for r in found:
            why = f" ({safe(r['error'])})" if r["error"] else ""
            print(
                f"{safe(r['sink'])}: {r['letters']:,} dead letters, {r['sent']:,} sent, {r['refused']:,} refused again, {r['left']:,} left{why}"
            )
        if not found:
            print("no dead letters")
    if not dry_run and any(r["refused"] or r["left"] for r in found):
        raise typer.Exit(1)


def _state(row: dict[str, Any]) -> str:
    if row["ended_at"]:
        return "ended"
    if row["expires_at"]:
        return "expired" if datetime.fromisoformat(row["expires_at"]) < datetime.now(UTC) else f"until {row['expires_at'][:16]}"
    return "in force"


def _words(rule: dict[str, Any]) -> str:
    words = (("kind", "{}"), ("sensor", "at {}"), ("src", "from {}"), ("dst", "to {}"), ("port", "port {}"))
    return " ".join(text.format(rule[name]) for name, text in words if rule[name] is not None)
