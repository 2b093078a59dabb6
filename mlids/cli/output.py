"""Output of all commands: text that is safe for a terminal, results, errors without tracebacks, progress on stderr."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

from mlids.text import redact, safe

__all__ = ["Progress", "console", "fail", "safe", "show"]


def console(*, stderr: bool = False) -> Any:
    """Return a rich console. It is imported here because the import takes as long as scoring a small log."""
    from rich.console import Console

    found = Console(stderr=stderr, highlight=False)
    if not found.is_terminal and "COLUMNS" not in os.environ:
        found.width = 160  # a file or a pipe: tables are not wrapped to 80 columns
    return found


def show(facts: Any, as_json: bool) -> None:
    """Print a result: as JSON, or one `name: value` a line."""
    if as_json:
        print(json.dumps(facts, indent=1, default=str))
        return
    for name, value in facts.items() if isinstance(facts, dict) else enumerate(facts):
        shown = json.dumps(value, default=str) if isinstance(value, (dict, list)) else value
        print(f"{safe(name)}: {safe(shown)}")


class Progress:
    """One line of progress on stderr. When stderr is not a terminal: nothing, or with `lines` a line per message."""

    def __init__(self, *, lines: bool = False) -> None:
        self._shown = sys.stderr.isatty()
        self._lines = lines and not self._shown
        self._last = 0.0
        self._width = 0

    def __call__(self, message: str) -> None:
        now = time.monotonic()
        if self._lines:
            print(safe(message), file=sys.stderr, flush=True)
        if self._shown and now - self._last > 0.1:
            shown = safe(message)
            sys.stderr.write("\r" + shown.ljust(self._width))
            sys.stderr.flush()
            self._width, self._last = len(shown), now

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        """Clear the line."""
        if self._shown and self._width:
            sys.stderr.write("\r" + " " * self._width + "\r")
            sys.stderr.flush()


def fail(message: str, code: int) -> int:
    """Print an error as one line on stderr and return the exit code."""
    sys.stderr.write(f"mlids: {safe(redact(message))}\n")
    return code
