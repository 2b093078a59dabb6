"""Mail by SMTP: the server as values, and sending one message. Nothing is read from settings."""

from __future__ import annotations

import ipaddress
import smtplib
import ssl
from dataclasses import dataclass, field
from email.message import EmailMessage
from enum import StrEnum
from urllib.parse import urlsplit

from mlids.errors import SettingsError, StoreError
from mlids.text import short

TIMEOUT_S = 30.0


class Tls(StrEnum):
    """How the connection to the mail server is encrypted."""

    FROM_START = "TLS"
    STARTTLS = "STARTTLS"
    NONE = "none"


@dataclass(frozen=True)
class MailServer:
    """Where mail is handed in. The password is not shown."""

    host: str
    port: int
    tls: Tls
    user: str = ""
    password: str = field(default="", repr=False)


def mail_server(url: str, user: str = "", password: str = "") -> MailServer:
    """Return the server of `smtp://HOST:PORT` or `smtps://HOST:PORT`; STARTTLS is required, except to this machine or with `?starttls=no`.

    Raises SettingsError for a password that would be sent in clear text to another machine, or a user without one.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    here = _is_here(host)
    if parts.scheme == "smtps":
        tls = Tls.FROM_START
    elif parts.query == "starttls=no" or (here and parts.query != "starttls=yes"):
        tls = Tls.NONE
    else:
        tls = Tls.STARTTLS
    if user and not password:
        raise SettingsError("MLIDS_SMTP_USER is set without a password: set MLIDS_SMTP_PASSWORD_FILE")
    if user and tls == Tls.NONE and not here:
        raise SettingsError(
            "MLIDS_SMTP_URL says starttls=no: the password would be sent in clear text; use STARTTLS or smtps://, or no user"
        )
    return MailServer(host, parts.port or (465 if tls == Tls.FROM_START else 587 if tls == Tls.STARTTLS else 25), tls, user, password)


def send(server: MailServer, message: EmailMessage) -> None:
    """Hand a message in at the server. Raises StoreError when it cannot be reached, or refuses login, sender or a recipient."""
    where = f"mail server {server.host}:{server.port}"
    try:
        context = ssl.create_default_context()
        if server.tls == Tls.FROM_START:
            link: smtplib.SMTP = smtplib.SMTP_SSL(server.host, server.port, timeout=TIMEOUT_S, context=context)
        else:
            link = smtplib.SMTP(server.host, server.port, timeout=TIMEOUT_S)
        with link:
            if server.tls == Tls.STARTTLS:
                link.starttls(context=context)
            if server.user:
                link.login(server.user, server.password)
            refused = link.send_message(message)
    except smtplib.SMTPRecipientsRefused as error:
        raise StoreError(f"{where} refuses every recipient: {_answers(error.recipients)}") from None
    except smtplib.SMTPAuthenticationError as error:
        raise StoreError(f"{where} refuses the login of {server.user}: {error.smtp_code}; check MLIDS_SMTP_USER and its password") from None
    except smtplib.SMTPNotSupportedError as error:
        raise StoreError(f"{where}: {short(error, 200)}; without encryption: ?starttls=no in MLIDS_SMTP_URL") from None
    except (smtplib.SMTPException, OSError) as error:
        raise StoreError(f"{where}: {short(error, 300) or type(error).__name__}") from None
    if refused:
        raise StoreError(f"{where} took the mail, but refuses {_answers(refused)}")


def _answers(refused: dict[str, tuple[int, bytes]]) -> str:
    return "; ".join(f"{who} ({code} {short(text.decode('utf-8', 'replace'), 120)})" for who, (code, text) in refused.items())


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
