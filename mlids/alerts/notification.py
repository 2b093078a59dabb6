"""What people are notified of at once, as messages for mail and webhooks; and what was sent already, so that each thing is sent once."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mlids.errors import StoreError
from mlids.files import write_atomic
from mlids.text import safe
from mlids.window import stamp

LISTED = 20  # notices of one message; further ones are counted
TIMEOUT_S = 15.0
_KEPT = 20_000  # keys of a channel
_LONGEST = 400  # characters of a notice's text
_HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Notice:
    """One thing to notify people of. `key` is the same as long as it is the same thing."""

    key: str
    what: str  # alert, case or pipeline
    severity: str
    title: str
    at: str  # stamp, or empty

    @property
    def line(self) -> str:
        """One printable line."""
        when = f" ({self.at[:16].replace('T', ' ')} UTC)" if self.at else ""
        return f"{self.severity} {self.what}: {safe(self.title[:_LONGEST])}{when}"


def subject(notices: Sequence[Notice]) -> str:
    """Return how many things of each kind there are, in a few words."""
    counts = {what: sum(n.what == what for n in notices) for what in ("case", "alert", "pipeline")}
    words = [f"{n:,} {what}{'s' * (n != 1)}" for what, n in counts.items() if n and what != "pipeline"]
    return ", ".join([*words, *(["the pipeline stands still"] if counts["pipeline"] else [])])


def body(notices: Sequence[Notice]) -> str:
    """Return the notices as text, one a line, LISTED at most."""
    more = [f"and {len(notices) - LISTED:,} more: see the mlids page in Airflow, or `mlids cases`"] if len(notices) > LISTED else []
    return "\n".join([*(n.line for n in notices[:LISTED]), *more])


def payload(notices: Sequence[Notice], form: str) -> dict[str, Any]:
    """Return what a webhook is sent: for `slack` one text in which no mention or link can begin, for `json` the notices."""
    if form == "slack":
        text = f"mlids: {subject(notices)}\n{body(notices)}"
        return {"text": text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")}
    shown = [asdict(n) | {"title": safe(n.title[:_LONGEST])} for n in notices[:LISTED]]
    return {"source": "mlids", "summary": subject(notices), "count": len(notices), "notices": shown}


def post(url: str, content: Mapping[str, Any]) -> None:
    """Send JSON to a webhook. Raises StoreError, which holds host and answer only: whoever knows the URL may write there."""
    import requests

    host = urlsplit(url).hostname
    logging.getLogger("urllib3").setLevel(logging.INFO)  # at DEBUG it logs the path
    try:
        answer = requests.post(url, json=content, timeout=TIMEOUT_S, allow_redirects=False)
    except requests.RequestException as error:
        raise StoreError(f"the webhook at {host} cannot be reached ({type(error).__name__})") from None
    if not 200 <= answer.status_code < 300:
        raise StoreError(f"the webhook at {host} answers {answer.status_code}; check MLIDS_NOTIFY_WEBHOOK_FILE")


class Notified:
    """What was sent by one channel, in a file: the keys of notices, and when messages went out. Not for two processes at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        stored = _stored(path)
        self._keys: dict[str, str] = {str(k): str(v) for k, v in stored.get("keys", {}).items()}
        self._sent = [str(s) for s in stored.get("sent", [])]

    def new(self, notices: Iterable[Notice]) -> list[Notice]:
        """Return the notices that were not sent."""
        return [n for n in notices if n.key not in self._keys]

    def may_send(self, now: datetime, an_hour: int) -> bool:
        """Return whether another message may go out; a clock that was set back does not hold messages for longer than an hour."""
        return sum(stamp(now - _HOUR) < s <= stamp(now) for s in self._sent) < an_hour

    def mark(self, notices: Iterable[Notice], now: datetime) -> None:
        """Store that these notices were sent in one message. Raises OSError."""
        self._keys |= {n.key: stamp(now) for n in notices}
        self._sent = [s for s in self._sent if stamp(now - _HOUR) < s <= stamp(now)] + [stamp(now)]
        self._write()

    def forget(self, prefix: str, still: Iterable[str]) -> None:
        """Forget what begins with `prefix` and is not there `still`: when it comes again, it is sent again. Raises OSError."""
        there = set(still)
        over = [k for k in self._keys if k.startswith(prefix) and k not in there]
        if over:
            self._keys = {k: v for k, v in self._keys.items() if k not in over}
            self._write()

    def _write(self) -> None:
        newest = dict(sorted(self._keys.items(), key=lambda item: item[1])[-_KEPT:])
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(self._path, json.dumps({"keys": newest, "sent": self._sent}, indent=1))


def _stored(path: Path) -> dict[str, Any]:
    """Return what a file holds; nothing without it. Raises StoreError for one that cannot be read: everything would be sent again."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict) or not isinstance(found.get("keys", {}), dict) or not isinstance(found.get("sent", []), list):
            raise ValueError("not what mlids writes")
        return found
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: {error}; remove the file, and what is severe now is sent once more") from None
