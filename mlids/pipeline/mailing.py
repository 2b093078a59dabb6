"""Mails the weekly report, when a mail server and addresses are set."""

from __future__ import annotations

import socket
from email.message import EmailMessage
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlids.errors import InputError, SettingsError, os_fault
from mlids.pipeline.weekly import report_span, week_facts
from mlids.settings import Settings, load_settings
from mlids.text import safe

if TYPE_CHECKING:
    from mlids.alerts.mail import MailServer

_LONGEST_SUBJECT = 150
_LONGEST_PASSWORD = 4_096  # bytes of its file


def mail_report(name: str) -> dict[str, Any]:
    """Mail a filed report (`weekly-2026-W48`) as text with its PDF and HTML; return whom it went `to`, and `why` when to nobody.

    Raises InputError when it is not filed, SettingsError for settings that do not fit, StoreError when the server refuses it.
    """
    settings = load_settings()
    unset = [n for n, value in (("MLIDS_SMTP_URL", settings.smtp_url), ("MLIDS_REPORT_TO", settings.report_to)) if not value]
    if unset:
        return {"to": [], "why": f"{' and '.join(unset)} {'is' if len(unset) == 1 else 'are'} not set"}
    from mlids.alerts.mail import send

    send(open_mail_server(settings), report_message(settings, name))
    return {"to": list(settings.report_to), "why": None}


def report_message(settings: Settings, name: str) -> EmailMessage:
    """Return the mail of a filed report. Written again it has the same id, so that a repeated one is recognized."""
    from mlids.reporting.report import as_text, content

    files = [p for p in (settings.reports / f"{name}.{ending}" for ending in ("pdf", "html")) if p.is_file()]
    if not files:
        raise InputError(f"no report {name[:80]!r} is filed in {settings.reports}; write it first: `mlids report --start DAY --end DAY`")
    facts = week_facts(settings, *report_span(name))
    shown = content(facts)
    message = EmailMessage()
    sender = mail_sender(settings)
    message["Subject"] = safe(f"mlids, {facts.span.split(',')[0]}: {shown['answer']}")[:_LONGEST_SUBJECT]
    message["From"], message["To"] = sender, ", ".join(settings.report_to)
    message["Message-ID"] = f"<{name}.report@{sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(as_text(shown))
    for path in files:
        kind = {"pdf": ("application", "pdf"), "html": ("text", "html")}[path.suffix[1:]]
        message.add_attachment(path.read_bytes(), maintype=kind[0], subtype=kind[1], filename=path.name)
    return message


def mail_sender(settings: Settings) -> str:
    """Return the address that mails come from."""
    host = "".join(c for c in socket.getfqdn() if c.isalnum() or c in ".-") or "localhost"
    return settings.mail_from or f"mlids@{host}"


def open_mail_server(settings: Settings) -> MailServer:
    """Return the mail server of the settings. Raises SettingsError when its password cannot be read, or would be sent in clear text."""
    from mlids.alerts.mail import mail_server

    password = settings.smtp_password.get_secret_value() if settings.smtp_password is not None else ""
    if settings.smtp_password_file is not None:
        password = secret_of(settings.smtp_password_file, "MLIDS_SMTP_PASSWORD_FILE")
    return mail_server(settings.smtp_url, settings.smtp_user, password)


def secret_of(path: Path, setting: str) -> str:
    """Return the secret that a file holds, without the line end. Raises SettingsError when it cannot be read, or is empty."""
    try:
        with path.open("rb") as file:
            found = file.read(_LONGEST_PASSWORD).decode().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{setting}: {os_fault(error, path) if isinstance(error, OSError) else f'{path} is no text'}") from None
    if not found:
        raise SettingsError(f"{setting}: {path} is empty")
    return found
