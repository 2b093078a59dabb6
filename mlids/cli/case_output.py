"""Cases in a terminal of 80 columns: a line that says what happened, then evidence, times, uids and the next step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlids.cli.output import console, safe
from mlids.text import span

COLOURS = {"critical": "bold red", "high": "red", "medium": "yellow", "low": ""}
_LOW_SHOWN, _EVIDENCE_SHOWN = 3, 4
# Weaker evidence than this stands in the details only, unless there is no other.
_SHOWN_FROM = 0.2


def block(screen: Any, mark: str, style: str, title: str, lines: Sequence[tuple[str, str]]) -> None:
    """Print a title with a mark before it, and lines under it, each with a label; all of it wrapped and indented."""
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True, min_width=8)
    table.add_column(overflow="fold")
    table.add_row(Text(mark, style=style), Text(title, style="bold"))
    for label, text in lines:
        table.add_row(Text(label, style="dim"), Text(text))
    screen.print(Padding(table, (0, 0, 1, 0), expand=False))


def print_cases(cases: Sequence[dict[str, Any]], *, low: int = _LOW_SHOWN) -> None:
    """Print cases, given as `Case.as_dict`; of the low ones only the first few."""
    screen = console()
    shown = [c for c in cases if c["severity"] != "low"]
    lows = [c for c in cases if c["severity"] == "low"]
    if not shown:
        screen.print("[bold green]Nothing stands out[/]: no case of medium severity or more.")
    else:
        screen.print(f"[bold]{len(shown):,} case{'s' * (len(shown) != 1)} to look at[/], the most severe first:")
    for case in [*shown, *lows[:low]]:
        print_case(screen, case)
    if len(lows) > low:
        screen.print(f"{len(lows) - low:,} more cases of low severity are in --format json.")


def print_case(screen: Any, case: dict[str, Any], *, whole: bool = False) -> None:
    """Print one case; `whole` with all its evidence in order of time, and all steps."""
    pieces = case["evidence"]
    pieces = sorted(pieces, key=lambda e: e["first"] or "") if whole else _clearest(pieces)
    lines = [("when", _when(case))]
    names = {o["address"]: o for o in case["others"]}
    for e in pieces:
        count = f", {e['count']:,} {'conns' if e['log'] == 'conn' else 'times'}" if e["count"] > 1 else ""
        said = e["sentence"] if e["log"] == "conn" else e["text"]  # features that conn evidence comes from are in the details
        said = f"{e['first'][5:16].replace('T', ' ')}  {e['sentence']}: {e['text']}" if whole and e["first"] else said
        lines.append((safe(e["log"]), safe(f"{said}{count}{_other(names.get(e['target']))}")))
    more = len(case["evidence"]) - len(pieces)
    if more > 0:
        lines.append(("", f"and {more:,} more piece{'s' * (more != 1)} of evidence"))
    lines += [("next", safe(step)) for step in (case["next_steps"] if whole else case["next_steps"][:1])]
    if case["uids"]:
        lines.append(("uids", safe(" ".join(case["uids"][:4]))))
    facts = [f"case {case['id'][:8]}", *case["techniques"][:4]]
    if case.get("state"):
        facts.insert(1, " ".join(str(case[n]) for n in ("state", "verdict", "who", "note") if case.get(n)))
    lines.append(("", safe("  ".join(facts))))
    block(screen, f"{case['severity']}", COLOURS.get(case["severity"], ""), safe(case["title"]), lines)


def _clearest(pieces: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the strongest pieces; of what conn.log says about one other side only the strongest."""
    shown: list[dict[str, Any]] = []
    sides: set[str | None] = set()
    for e in pieces:
        if e["log"] == "conn" and e["target"] in sides:
            continue
        if shown and (len(shown) == _EVIDENCE_SHOWN or e["score"] < _SHOWN_FROM):
            break
        shown.append(e)
        if e["log"] == "conn":
            sides.add(e["target"])
    return shown


def _other(known: dict[str, Any] | None) -> str:
    if not known:
        return ""
    parts = [
        known["name"] or "",
        f"{known['hosts']:,} host{'s' * (known['hosts'] != 1)} of the site contacted it" if known["hosts"] else "",
    ]
    text = ", ".join(p for p in parts if p)
    return f"; {known['address']}: {text}" if text else ""


def _when(case: dict[str, Any]) -> str:
    from datetime import datetime

    if not case["first"]:
        return "not known"
    first, last = (datetime.fromisoformat(case[n]) for n in ("first", "last"))
    if (last - first).total_seconds() < 1.0:
        return f"{first:%Y-%m-%d %H:%M:%S} UTC"
    return f"{first:%Y-%m-%d %H:%M} to {last:%m-%d %H:%M} UTC ({span((last - first).total_seconds())})"


def print_background(background: Any) -> None:
    """Print how much outside hosts tried that got nothing."""
    if background.conns:
        console().print(
            f"Background, no case: {background.sources:,} outside host{'s' * (background.sources != 1)} tried "
            f"{background.services:,} services and got nothing ({background.conns:,} conns).\n"
        )
