"""Text that others chose, made safe to show: control characters escaped, spreadsheet formulas quoted, passwords removed."""

from __future__ import annotations

import logging
import re
from types import TracebackType

_FORMULA = tuple("=+-@＝＋－＠")
# A password ends at the last @ before a space or quote: it may hold / and @ itself, which drivers of databases accept.
_PASSWORD = re.compile(r"(?P<user>[A-Za-z][A-Za-z0-9+.\-]*://[^\s:/?#@'\"]*:)[^\s'\"]*@")
# Addresses and times in a text, at most 60 characters each; what follows them is not looked at.
_ADDRESS = re.compile(r"((?:\d{1,3}\.){3}\d{1,3}|(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f.]{0,15})", re.ASCII)
_MARKDOWN = re.compile(r"[\\`*\[\]|~<>&]")
_PARAMETER = re.compile(r"(?P<name>[?&;](?:password|passwd|sslpassword|pwd|secret|token|api_?key)=)[^\s&;'\"]+", re.IGNORECASE)


def safe(value: object) -> str:
    """Return text with escapes for all that is not printable: control, bidirectional and invisible characters, line ends.

    Log contents and names on servers are chosen by an attacker.
    """
    text = "" if value is None else str(value)
    return text if text.isprintable() else "".join(c if c.isprintable() else _escape(ord(c)) for c in text)


def _escape(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def span(seconds: float) -> str:
    """Return a span of time in words: `27 s`, `3 minutes`, `5 hours`, `2 days`."""
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.2g} s"
    for size, name in ((86_400.0, "days"), (3_600.0, "hours"), (60.0, "minutes")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.0f} {name}"
    return f"{seconds:.0f} s"


def address_parts(text: str) -> list[tuple[str, bool]]:
    """Return a text in parts, each with whether it looks like an address or a time: a page breaks no line inside such a part."""
    return [(part, n % 2 == 1) for n, part in enumerate(_ADDRESS.split(text)) if part]


def no_formula(text: str) -> str:
    """Return a cell that a spreadsheet neither runs as a formula nor breaks into lines."""
    cell = safe(text)
    return "'" + cell if cell.startswith(_FORMULA) and len(cell) > 1 else cell


def markdown(text: object) -> str:
    """Return text in one line that Markdown and HTML show as it is: no tag, link, image, code or cell of a table can begin in it."""
    return _MARKDOWN.sub(lambda m: f"&#{ord(m[0])};", safe(text))


def redact(text: str) -> str:
    """Return text with `***` for the password of each URL in it, and for secrets among their parameters."""
    if "://" not in text:
        return text
    return _PARAMETER.sub(r"\g<name>***", _PASSWORD.sub(r"\g<user>***@", text))


def short(text: object, characters: int) -> str:
    """Return the beginning of a text without passwords, which are removed first: half of a URL would not be recognized."""
    return redact(str(text))[:characters]


class LineFormatter(logging.Formatter):
    """Formats a record as one line without passwords; the lines of a traceback are indented, so that none looks like a record."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return safe(redact(super().formatMessage(record)))

    def formatException(self, ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]) -> str:
        """Return the traceback."""
        return _indented(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:
        """Return the stack."""
        return _indented(super().formatStack(stack_info))


def _indented(text: str) -> str:
    return "\n".join(f"  | {safe(line)}" for line in redact(text).split("\n"))


def log_to_stderr() -> None:
    """Write the log of this process to its standard error, one line for each record."""
    handler = logging.StreamHandler()
    handler.setFormatter(LineFormatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("paramiko").setLevel(logging.WARNING)
