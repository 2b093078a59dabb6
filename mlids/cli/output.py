"""What all commands share on their way out: safe text, errors without tracebacks, progress on stderr."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

_CONTROL = {c: f"\\x{c:02x}" for c in [*range(0x20), *range(0x7F, 0xA0)]}


def safe(value: object) -> str:
    """Return text for a terminal: control characters shown, not sent. Log contents are an attacker's."""
    return ("" if value is None else str(value)).translate(_CONTROL)


def console(*, stderr: bool = False) -> Any:
    """Return a rich console; imported late, since it costs as much as reading a small log."""
    from rich.console import Console

    found = Console(stderr=stderr, highlight=False)
    if not found.is_terminal and "COLUMNS" not in os.environ:
        found.width = 160  # into a file or a pipe: a table is no use in slices
    return found


class Progress:
    """One line on stderr that says how far the work is; silent when stderr is no terminal."""

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()
        self._last = 0.0
        self._width = 0

    def __call__(self, message: str) -> None:
        now = time.monotonic()
        if self._shown and now - self._last > 0.1:
            sys.stderr.write("\r" + message.ljust(self._width))
            sys.stderr.flush()
            self._width, self._last = len(message), now

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        """Wipe the line."""
        if self._shown and self._width:
            sys.stderr.write("\r" + " " * self._width + "\r")
            sys.stderr.flush()


def fail(message: str, code: int) -> int:
    """Print an error for a person and return the exit code."""
    sys.stderr.write(f"mlids: {safe(message)}\n")
    return code
