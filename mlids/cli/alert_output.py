"""Alerts in a terminal of any width: one line each where it fits, else at most four; addresses are never broken."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from mlids.cli.case_output import COLOURS, block
from mlids.cli.output import console, safe
from mlids.text import span

_GAP = 2
_HOST_CHARACTERS = 45  # of the longest address
_REASONS_FROM = 24  # characters that are left for them
_UIDS_SHOWN = 8
_COLUMNS = ("id", "severity", "behaviour", "from -> to", "conns", "verdict", "began (UTC)")


def print_alerts(alerts: Sequence[dict[str, Any]], empty: str) -> None:
    """Print a list of alerts, or the text `empty`."""
    from rich.text import Text

    screen = console()
    if not alerts:
        screen.print(empty)
        return
    rows = [_cells(a) for a in alerts]
    widths = [max(len(row[n]) for row in (_COLUMNS, *rows)) for n in range(len(_COLUMNS))]
    left = screen.width - sum(widths) - _GAP * (len(widths) - 1)
    if left < 0:
        for alert in alerts:
            _print_lines(screen, alert)
        return
    reasons = left - _GAP if left - _GAP >= _REASONS_FROM else 0
    screen.print(Text(_line(_COLUMNS, widths) + (f"{'':{_GAP}}reasons" if reasons else ""), style="dim"), soft_wrap=True)
    for alert, row in zip(alerts, rows, strict=True):
        text = _line(row, widths) + (f"{'':{_GAP}}{_short(_reasons(alert), reasons)}" if reasons else "")
        screen.print(_coloured(text.rstrip(), alert), soft_wrap=True)


def _cells(alert: dict[str, Any]) -> tuple[str, ...]:
    return (
        safe(alert["id"][:8]),
        alert["severity"],
        safe(alert["mlids"]["kind"]),
        f"{_source(alert)} -> {_target(alert)}",
        f"{alert['mlids']['count']:,}",
        _judged(alert),
        _time(alert["ts"])[:16],
    )


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return (" " * _GAP).join(
        f"{c:>{w}}" if n == _COLUMNS.index("conns") else f"{c:<{w}}" for n, (c, w) in enumerate(zip(cells, widths, strict=True))
    )


def _coloured(text: str, alert: dict[str, Any]) -> Any:
    from rich.text import Text

    found = Text(text)
    start = text.find(alert["severity"])
    if COLOURS.get(alert["severity"]) and start >= 0:
        found.stylize(COLOURS[alert["severity"]], start, start + len(alert["severity"]))
    return found


def _print_lines(screen: Any, alert: dict[str, Any]) -> None:
    """Print an alert in three lines, in four when its two ends do not fit into one."""
    head, width = _cells(alert), screen.width
    facts = [head[0], head[1], head[2], f"{head[4]} conns", head[6], *([head[5]] if head[5] else [])]
    ends = f"  {head[3]}"
    lines = [" ".join(facts), *([ends] if len(ends) <= width else [f"  {_source(alert)}", f"    -> {_target(alert)}"])]
    for text in (*lines, f"  {_short(_reasons(alert), max(width - 2, 1))}"):
        screen.print(_coloured(text, alert), soft_wrap=True)


def _host(text: object) -> str:
    return _short(safe(text), _HOST_CHARACTERS)


def _source(alert: dict[str, Any]) -> str:
    return _host(alert["src"])


def _target(alert: dict[str, Any]) -> str:
    host, port = _host(alert["dst"]), alert.get("destination", {}).get("port")
    if port is None:
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _judged(alert: dict[str, Any]) -> str:
    """Return the verdict, and the rule that hides the alert."""
    rule = alert.get("suppressed_by")
    return ", ".join(n for n in (alert["verdict"] or "", f"rule {rule}" if rule is not None else "") if n)


def _reasons(alert: dict[str, Any]) -> str:
    return safe(alert["mlids"]["reasons"] or alert["message"])


def _short(text: str, characters: int) -> str:
    return text if len(text) <= characters else f"{text[: characters - 1]}…"


def _time(text: str) -> str:
    return safe(text[:19].replace("T", " "))


def print_alert(alert: dict[str, Any]) -> None:
    """Print one alert in full, with what to do next."""
    facts, event = alert["mlids"], alert["event"]
    first, last = datetime.fromisoformat(event["start"]), datetime.fromisoformat(event["end"])
    lasted = f" to {_time(event['end'])} UTC ({span((last - first).total_seconds())})" if last > first else " UTC"
    lines = [
        ("when", f"{_time(event['start'])}{lasted}"),
        ("from", f"{_source(alert)}, sensor {safe(alert['observer']['name'])}"),
        ("to", f"{_target(alert)} {safe(alert['network']['transport'])}"),
        ("risk", f"{alert['score']:.0f} of 100"),
        ("conns", f"{facts['count']:,}"),
        ("why", _reasons(alert)),
        ("model", f"{safe(facts['model_version']) or 'none'}, scored {safe(alert['origin'])}"),
        ("verdict", safe(alert["verdict"]) or "none yet"),
    ]
    if alert["suppressed_by"] is not None:
        lines.append(("hidden", f"by suppression rule {alert['suppressed_by']}"))
    technique = alert.get("threat", {}).get("technique")
    if technique:
        lines.append(("ATT&CK", safe(f"{technique['id']} {technique['name']}")))
    uids = facts["uids"]
    lines.append(("uids", safe(" ".join(uids[:_UIDS_SHOWN])) + (f" and {len(uids) - _UIDS_SHOWN} more" if len(uids) > _UIDS_SHOWN else "")))
    lines.append(("id", safe(alert["id"])))
    beginning = safe(alert["id"][:8])
    lines += [
        ("next", f"mlids alerts verdict {beginning} true-positive (or false-positive)"),
        ("", f"mlids alerts suppress --alert {beginning} --why ..."),
    ]
    title = safe(alert["rule"]["description"])
    block(console(), alert["severity"], COLOURS.get(alert["severity"], ""), title, lines)


def print_lines(head: str, *texts: str) -> None:
    """Print a line, and others below it, indented; they are wrapped between words."""
    from rich.padding import Padding
    from rich.text import Text

    screen = console()
    screen.print(Text(safe(head), style="bold"))
    for text in texts:
        if text:
            screen.print(Padding(Text(safe(text)), (0, 0, 0, 2), expand=False))
