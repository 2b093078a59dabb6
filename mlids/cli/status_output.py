"""What `mlids status` prints for people: model, cases, scorers, days, reports, within 80 columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlids.cli.alert_output import print_lines
from mlids.cli.output import console, safe
from mlids.text import span

_COUNTS = ("archived", "rejected", "live", "late", "missing", "alerts")
_SENSOR_CHARACTERS = 14


def print_status(facts: dict[str, Any]) -> None:
    """Print the facts of `status --json`."""
    print_lines("model", _model(facts))
    counts = ", ".join(f"{n:,} {severity}" for severity, n in reversed(facts["cases"].items()) if n) or "none"
    print_lines("cases that are not closed", counts)
    print_lines("scorers", *([] if facts["scorers"] else ["none has run: `mlids serve` follows the sensors"]))
    for scorer in facts["scorers"]:
        print_lines(*_scorer(scorer))
    _print_days(facts["days"])
    print_lines("reports", ", ".join(facts["reports"]) or "none yet: `mlids report`")


def _model(facts: dict[str, Any]) -> str:
    if facts["model_error"]:
        return f"version {facts['model']}: {facts['model_error']}" if facts["model"] else f"not known: {facts['model_error']}"
    return f"version {facts['model']} is in production" if facts["model"] else "none of this site yet: the reference model scores"


def _scorer(scorer: dict[str, Any]) -> list[str]:
    """Return the line of a scorer, and others for what is wrong with it."""
    behind = f", {span(scorer['lag_s'])} behind" if scorer["lag_s"] else ""
    when = f" (at {scorer['updated_at'][:19].replace('T', ' ')} UTC)" if scorer["updated_at"] else ""
    lines = [f"  {scorer['sensor']}: {scorer['state']}, {scorer['rows']:,} conns{behind}{when}"]
    if scorer["last_error"]:
        lines.append(f"  last error: {scorer['last_error']}")
    lines += [f"  sink {sink} is stopped: {why}" for sink, why in scorer["stopped_sinks"].items()]
    if error := scorer["other_logs"].get("error"):
        lines.append(f"  other logs: {error}")
    return lines


def _print_days(days: Sequence[dict[str, Any]]) -> None:
    from rich.text import Text

    screen = console()
    screen.print(Text("days", style="bold"))
    if not days:
        print_lines("  none in the ledger: `mlids pull` and `mlids ingest` bring them")
        return
    names = [safe(d["sensor"]) for d in days]
    names = [n if len(n) <= _SENSOR_CHARACTERS else f"{n[: _SENSOR_CHARACTERS - 1]}…" for n in names]
    rows = [
        ["day", "sensor", *_COUNTS],
        *([safe(d["day"]), n, *(_number(d[c]) for c in _COUNTS)] for d, n in zip(days, names, strict=True)),
    ]
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    for row in rows:
        cells = [c.ljust(w) if n < 2 else c.rjust(w) for n, (c, w) in enumerate(zip(row, widths, strict=True))]
        screen.print(Text(f"  {' '.join(cells)}"), soft_wrap=True)
    for day in days:
        for problem in day["problems"]:
            print_lines(f"  {day['day']} {day['sensor']}: {problem}")


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"
