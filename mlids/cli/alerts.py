"""`mlids alerts`: what was found, what people think of it, and what they do not want to hear of again."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import typer

from mlids.cli.options import Json
from mlids.cli.output import console, safe, show

app = typer.Typer(help="List alerts; show one; judge it; hold back what you do not want to hear of again.")
AlertId = Annotated[str, typer.Argument(help="The alert's id, or its beginning.")]
Why = Annotated[str, typer.Option(help="Why; the audit keeps it.")]


class Verdict(StrEnum):
    """What an analyst says of an alert."""

    true_positive = "true-positive"
    false_positive = "false-positive"


@app.callback(invoke_without_command=True)
def latest(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=100_000)] = 20,
    suppressed: Annotated[bool, typer.Option("--suppressed", help="Also those that a rule hides.")] = False,
    as_json: Json = False,
) -> None:
    """List the latest alerts; see the commands below for one of them."""
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
    held = sum(r["conns"] for r in pipeline.suppression_rules(in_force=True))
    if held:
        console().print(f"{held:,} conns were held back by rules: mlids alerts rules")


def _why(alert: dict[str, Any]) -> str:
    notes = [alert["verdict"], f"rule {alert['suppressed_by']}" if alert["suppressed_by"] is not None else None]
    told = ", ".join(n for n in notes if n)
    return f"[{told}] {alert['mlids']['reasons']}" if told else str(alert["mlids"]["reasons"])


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
    """Show all that is known of one alert."""
    from mlids import pipeline

    show(pipeline.find_alert(alert_id), as_json)


@app.command()
def verdict(alert_id: AlertId, verdict: Verdict, note: Annotated[str | None, typer.Option(help="A word to it.")] = None) -> None:
    """Say whether an alert was right; the next training learns from it."""
    from mlids import pipeline

    found = pipeline.give_verdict(alert_id, verdict.value.replace("-", " "), who=getpass.getuser(), note=note)
    print(f"{found}: {verdict.value}")


@app.command()
def suppress(
    why: Why,
    alert: Annotated[str | None, typer.Option(help="Take kind, sensor, source and destination from this alert.")] = None,
    kind: Annotated[str | None, typer.Option(help="Behaviour, attack class, or anomaly.")] = None,
    src: Annotated[str | None, typer.Option(help="Originator: address or network.")] = None,
    dst: Annotated[str | None, typer.Option(help="Responder: address or network.")] = None,
    port: Annotated[int | None, typer.Option(help="Responder's port.")] = None,
    sensor: Annotated[str | None, typer.Option(help="Name of the sensor.")] = None,
    days: Annotated[float | None, typer.Option(min=0.01, max=3_650, help="The rule ends after so many days; else it stays.")] = None,
) -> None:
    """Hold back conns that match, from now on, and hide stored alerts that consist of nothing else."""
    from mlids import pipeline

    rule = pipeline.suppress(why=why, who=getpass.getuser(), alert=alert, kind=kind, src=src, dst=dst, port=port, sensor=sensor, days=days)
    number = rule["rule"]
    print(f"rule {number}: {_words(rule)}; scorers take it up within seconds. Take it back: mlids alerts unsuppress {number}")


@app.command()
def unsuppress(rule: Annotated[int, typer.Argument(help="Number of the rule.")]) -> None:
    """Take a rule back; alerts that only it hid are shown again."""
    from mlids import pipeline

    pipeline.unsuppress(rule)
    print(f"rule {rule} is no longer in force")


@app.command()
def rules(as_json: Json = False) -> None:
    """List the rules, and how many conns each has held back."""
    from mlids import pipeline

    found = pipeline.suppression_rules()
    if as_json:
        show(found, True)
        return
    rows = [
        (str(r["id"]), _state(r), _words(r), f"{r['conns']:,}", (r["last_at"] or "")[:19], f"{r['why']} ({r['who']}, {r['at'][:10]})")
        for r in found
    ]
    _table(("rule", "state", "holds back", "conns", "last", "why"), rows, "no rules; see mlids alerts suppress --help")


def _state(row: dict[str, Any]) -> str:
    if row["ended_at"]:
        return "taken back"
    if row["expires_at"]:
        return "ended" if datetime.fromisoformat(row["expires_at"]) < datetime.now(UTC) else f"until {row['expires_at'][:16]}"
    return "in force"


def _words(rule: dict[str, Any]) -> str:
    said = (("kind", "{}"), ("sensor", "at {}"), ("src", "from {}"), ("dst", "to {}"), ("port", "port {}"))
    return " ".join(text.format(rule[name]) for name, text in said if rule[name] is not None)
