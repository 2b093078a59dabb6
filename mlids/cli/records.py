"""What `mlids score` prints of the logs beside conn.log: the most unusual records of each."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from mlids.cli.case_output import block
from mlids.cli.output import console, safe

if TYPE_CHECKING:
    from mlids.pipeline import ScoredLog

_IDENTITY = ("uid", "ts", "sensor", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "proto")
_SHOWN_CHARACTERS = 60  # of each text


def ended(host: object, port: object) -> str:
    """Return one end of a connection as `host:port`."""
    name = safe(host) or "?"
    return f"[{name}]:{port}" if ":" in name else f"{name}:{port if port is not None else '?'}"


def records_as_json(logs: Sequence[ScoredLog]) -> list[dict[str, object]]:
    """Return what was scored of each log, with the file that holds all its records."""
    return [
        {
            "log": log.log,
            "rows": log.rows,
            "trained_on": log.trained_on,
            "file": str(log.file) if log.file is not None else None,
            "unusual": [
                {k: v.isoformat(timespec="microseconds") if isinstance(v, datetime) else v for k, v in u.record.items()}
                | {"anomaly_score": round(u.anomaly_score, 4), "reason": u.reason}
                for u in log.unusual
            ],
        }
        for log in logs
    ]


def print_records(logs: Sequence[ScoredLog]) -> None:
    """Print the most unusual records of each log, one line each, and the files that were written."""
    if not logs:
        return
    screen = console()
    counts = ", ".join(f"{log.rows:,} of {log.log}" for log in logs)
    screen.print(f"Other logs, scored record by record: {counts}. The most unusual:")
    for log in logs:
        for unusual in log.unusual:
            record, when = unusual.record, unusual.record["ts"]
            shown = " ".join(safe(str(v)[:_SHOWN_CHARACTERS]) for k, v in record.items() if k not in _IDENTITY and v is not None)
            at = when.strftime("%m-%d %H:%M:%S") if isinstance(when, datetime) else "-"
            ends = f"{ended(record['id.orig_h'], record['id.orig_p'])} > {ended(record['id.resp_h'], record['id.resp_p'])}"
            lines = [("", f"{shown or '-'}: {safe(unusual.reason)}"), ("uid", safe(record["uid"]))]
            block(screen, f"{unusual.anomaly_score:.2f}", "", f"{log.log}  {at}  {ends}", lines)
    trained = sorted({log.trained_on for log in logs})
    for words in trained:
        screen.print(f"Forests of {', '.join(log.log for log in logs if log.trained_on == words)} trained on: {safe(words)}.")
    for log in logs:
        if log.file is not None:
            screen.print(f"One row per record of {log.log} is in {safe(log.file)}.", soft_wrap=True)
