"""`mlids alerts`: list and show alerts, give verdicts, suppress, send dead letters again."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime
from enum import Enum, StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from mlids.cli.alert_output import print_alert, print_alerts, print_lines
from mlids.cli.options import Json, needs_home
from mlids.cli.output import console, safe, show

app = typer.Typer(help="List and show alerts, give verdicts, suppress conns, send dead letters again.")
AlertId = Annotated[str, typer.Argument(help="The alert's id, or its beginning.")]
Why = Annotated[str, typer.Option(help="The reason; it is stored with the rule.")]


_ACTIONS = {"add": "added", "force": "added by force", "end": "ended"}


class Verdict(StrEnum):
    """An analyst's verdict on an alert."""

    true_positive = "true-positive"
    false_positive = "false-positive"


class Sort(Enum):
    """What alerts are sorted by."""

    time = "time"
    risk = "risk"
    count = "count"


@app.callback(invoke_without_command=True)
def latest(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Number of alerts to list.")] = 20,
    src: Annotated[str | None, typer.Option(help="Only alerts of this source: address or network.")] = None,
    kind: Annotated[str | None, typer.Option(help="Only alerts of this kind: a behaviour, an attack class, or anomaly.")] = None,
    since: Annotated[str | None, typer.Option(help="Only alerts that began since: 24h, 7d, 2026-11-20 or 2026-11-20T14:30 (UTC).")] = None,
    min_risk: Annotated[float, typer.Option(min=0, max=100, help="Only alerts with this risk_score or more.")] = 0.0,
    sort: Annotated[Sort, typer.Option(help="Sort by time (newest first), risk or count (highest first).")] = Sort.time,
    unjudged: Annotated[bool, typer.Option("--open", help="Only alerts without a verdict.")] = False,
    suppressed: Annotated[bool, typer.Option("--suppressed", help="Include alerts that a suppression rule hides.")] = False,
    as_json: Json = False,
) -> None:
    """List the latest alerts, newest first; the commands below work on one alert."""
    if context.invoked_subcommand is not None:
        return
    from mlids import pipeline

    pipeline.need_home()
    found = pipeline.list_alerts(
        limit=limit, suppressed=suppressed, src=src, kind=kind, since=since, min_risk=min_risk, sort=sort.value, unjudged=unjudged
    )
    if as_json:
        show(found, True)
        return
    print_alerts(found, "no alerts yet" if not (src or kind or since or min_risk or unjudged) else "no alert is like this")
    suppressed_conns = sum(r["conns"] for r in pipeline.suppression_rules(in_force=True))
    if suppressed_conns:
        console().print(f"{suppressed_conns:,} conns were suppressed by rules: mlids alerts rules")


@app.command("show")
@needs_home
def show_one(alert_id: AlertId, as_json: Json = False) -> None:
    """Show one alert: what, when, between whom, why, and what to do next. --json prints the whole document."""
    from mlids import pipeline

    found = pipeline.find_alert(alert_id)
    if as_json:
        show(found, True)
    else:
        print_alert(found)


@app.command()
@needs_home
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
@needs_home
def suppress(
    why: Why,
    alert: Annotated[str | None, typer.Option(help="Take kind, sensor, source, destination and port from this alert.")] = None,
    kind: Annotated[str | None, typer.Option(help="Kind of the alert: a behaviour, an attack class, or anomaly.")] = None,
    src: Annotated[str | None, typer.Option(help="Originator: address or network.")] = None,
    dst: Annotated[str | None, typer.Option(help="Responder: address or network.")] = None,
    port: Annotated[int | None, typer.Option(help="Responder's port.")] = None,
    sensor: Annotated[str | None, typer.Option(help="Name of the sensor.")] = None,
    days: Annotated[float | None, typer.Option(min=0.01, max=3_650, help="Days until the rule expires; default: never.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Store nothing; say how many stored alerts the rule would have hidden.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Store the rule even if it covers too much; the history has it.")] = False,
) -> None:
    """Suppress conns that match all conditions, from now on, and hide stored alerts of only such conns.

    A rule that covers more than MLIDS_SUPPRESS_LIMIT_PERCENT of the alerts of the last 7 days, or an alert marked true, is
    refused with exit code 2; --force stores it.
    """
    from mlids import pipeline

    rule = pipeline.suppress(
        why=why, who=getpass.getuser(), alert=alert, kind=kind, src=src, dst=dst, port=port, sensor=sensor, days=days,
        force=force, dry_run=dry_run,
    )  # fmt: skip
    number, counts = rule["rule"], rule["coverage"]
    if dry_run:
        needs = f". Without --force it is refused: it covers {rule['refusal']}" if rule["refusal"] else ""
        print(
            safe(
                f"{_words(rule)}: would have hidden {counts['covered']:,} alerts of the last 7 days, {counts['true']:,} of them marked true "
                f"({counts['alerts']:,} alerts in all){needs}"
            )
        )
        return
    print(safe(f"rule {number}: {_words(rule)}; it hides {counts['covered']:,} of the {counts['alerts']:,} alerts of the last 7 days."))
    print(f"Scorers apply it within seconds. To end it: mlids alerts unsuppress {number}")


@app.command()
@needs_home
def unsuppress(
    rule: Annotated[int, typer.Argument(help="Number of the rule.")],
    why: Annotated[str, typer.Option(help="The reason; it is stored in the history.")] = "",
) -> None:
    """End a rule; alerts that only it hid are shown again."""
    from mlids import pipeline

    pipeline.unsuppress(rule, who=getpass.getuser(), why=why)
    print(f"rule {rule} is no longer in force")


@app.command()
@needs_home
def history(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Number of entries to list.")] = 50,
    as_json: Json = False,
) -> None:
    """List who added and ended which suppression rule, when and why, newest first. Entries are never changed."""
    from mlids import pipeline

    found = pipeline.suppression_history(limit)
    if as_json:
        show(found, True)
        return
    for h in found:
        covered = f"  covered {h['alerts']:,} alerts of 7 days" if h["alerts"] is not None else ""
        head = f"rule {h['rule']}  {_ACTIONS.get(h['action'], h['action'])}  {h['at'][:16].replace('T', ' ')} UTC by {h['who'] or 'unknown'}{covered}"
        print_lines(head, _words(h["conditions"]), h["why"])
    if not found:
        print("no rule was ever added")


@app.command()
@needs_home
def rules(as_json: Json = False) -> None:
    """List the suppression rules, with the number of conns that each suppressed."""
    from mlids import pipeline

    found = pipeline.suppression_rules()
    if as_json:
        show(found, True)
        return
    for r in found:
        last = f", last {r['last_at'][:16].replace('T', ' ')}" if r["last_at"] else ""
        print_lines(
            f"rule {r['id']}  {_state(r)}  {r['conns']:,} conns suppressed{last}",
            _words(r | {"expires_at": None}),
            f"{r['why']} ({r['who']}, {r['at'][:10]})",
        )
    if not found:
        print("no rules; see mlids alerts suppress --help")


@app.command("export")
@needs_home
def export_rules(file: Annotated[Path, typer.Argument(help="File to write, .csv or .json; one that is there stays.")]) -> None:
    """Write the suppression rules in force to a file."""
    from mlids import pipeline

    print(safe(f"{file}: {pipeline.export_rules(file):,} rules written"))


@app.command("import")
@needs_home
def import_rules(
    file: Annotated[Path, typer.Argument(help="File of rules, .csv or .json, as `mlids alerts export` writes it.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Store nothing; say how many stored alerts each rule would have hidden.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Store also rules that cover too much; the history has it.")] = False,
) -> None:
    """Store the suppression rules of a file; those in force already are left out. All are checked before the first is stored."""
    from mlids import pipeline

    for rule in pipeline.import_rules(file, who=getpass.getuser(), force=force, dry_run=dry_run):
        counts = rule["coverage"]
        head = "would have hidden" if dry_run else f"rule {rule['rule']} hides"
        needs = ", needs --force" if rule["refusal"] else ""
        print(
            safe(f"{_words(rule)}: {head} {counts['covered']:,} alerts of the last 7 days, {counts['true']:,} of them marked true{needs}")
        )


@app.command()
@needs_home
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
    found = " ".join(text.format(_plain(name, rule[name])) for name, text in words if rule[name] is not None)
    return f"{found} until {rule['expires_at'][:16].replace('T', ' ')}" if rule.get("expires_at") else found


def _plain(name: str, value: object) -> str:
    """Return a value of a rule; a network of one address as the address."""
    return str(value).removesuffix("/32" if "." in str(value) else "/128") if name in {"src", "dst"} else str(value)
