"""The table of attacks that a run of the hostile tests prints, and writes into the document that MLIDS_HOSTILE_TABLE names."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

import pytest

_MARK = "<!-- attacks -->"
_COLUMNS = ("row", "attack", "happened", "held")


def note_attack(item: pytest.Item) -> None:
    """Keep what a test's `attack` marker says in its report."""
    marker = item.get_closest_marker("attack")
    if marker is not None:
        item.user_properties += [(name, str(marker.kwargs[name])) for name in ("row", "attack", "held")]


def attack_rows(reports: Iterable[pytest.TestReport]) -> list[dict[str, str]]:
    """Return one row for each attack, by number; `happened` joins what its tests saw, and says when one failed."""
    rows: dict[tuple[int, str], dict[str, str]] = {}
    for report in reports:
        seen = {name: str(value) for name, value in report.user_properties}
        if "attack" not in seen or not (report.when == "call" or report.failed):
            continue
        row = rows.setdefault((int(seen["row"]), seen["attack"]), {**seen, "happened": ""})
        happened = f"FAILED: {report.nodeid}" if report.failed else seen.get("happened", "")
        row["happened"] = "; ".join(dict.fromkeys(text for text in (*row["happened"].split("; "), happened) if text))
    return [rows[key] for key in sorted(rows)]


def as_markdown(rows: Iterable[dict[str, str]]) -> str:
    """Return the rows as a Markdown table."""
    lines = ["| row | attack | what happened | what is held |", "|---:|---|---|---|"]
    cells = [[re.sub(r"\s*\n\s*", " ", row[name]).replace("|", r"\|") for name in _COLUMNS] for row in rows]
    return "\n".join(lines + ["| " + " | ".join(cell) + " |" for cell in cells])


def write_table(rows: list[dict[str, str]]) -> None:
    """Put the table into the document that MLIDS_HOSTILE_TABLE names, if it is set."""
    target = os.environ.get("MLIDS_HOSTILE_TABLE")
    if not target or not rows:
        return
    document = Path(target)
    before, _, rest = document.read_text(encoding="utf-8").partition(_MARK)
    after = rest.partition(_MARK)[2]
    document.write_text(f"{before}{_MARK}\n{as_markdown(rows)}\n{_MARK}{after}", encoding="utf-8")
