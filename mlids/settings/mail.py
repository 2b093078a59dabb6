"""Settings of mail: the server, the sender, and who gets the weekly report."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode

_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,255}\Z", re.ASCII)
_URL = re.compile(r"smtps?://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?/?(?:\?starttls=(?:yes|no))?\Z", re.ASCII)


def checked_address(address: str) -> str:
    """Return a mail address. Raises ValueError for what is none: `name@example.org` alone, without a name in front of it."""
    if not _ADDRESS.match(address):
        raise ValueError(f"{address[:80]!r} is no mail address; write it as name@example.org")
    return address


class MailSettings(BaseSettings):
    """Settings of mail. Without `smtp_url` nothing is mailed."""

    smtp_url: str = Field(
        "",
        description="Mail server: smtp://mail.example:587 (STARTTLS, except to this machine), smtps://mail.example:465; ?starttls=no for a server without it.",
    )
    smtp_user: str = Field("", description="User at the mail server; empty: no login.")
    smtp_password: SecretStr | None = Field(None, description="Password of that user.")
    smtp_password_file: Path | None = Field(None, description="File with that password.")
    mail_from: str = Field("", description="Sender of mails; default: mlids at the name of this machine.")
    report_to: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Who gets the weekly report by mail, addresses, comma-separated; empty: nobody."
    )

    @field_validator("smtp_url")
    @classmethod
    def _smtp(cls, url: str) -> str:
        if "@" in url:
            raise ValueError("it has a user or password: set smtp_user and smtp_password_file instead, as this setting is shown")
        if url and not _URL.match(url):
            raise ValueError(f"{url[:80]!r} is no mail server; write smtp://HOST:PORT or smtps://HOST:PORT")
        return url

    @field_validator("mail_from")
    @classmethod
    def _from(cls, address: str) -> str:
        return checked_address(address) if address else address

    @field_validator("report_to", mode="before")
    @classmethod
    def _addresses(cls, value: object) -> object:
        found = [a.strip() for a in value.split(",") if a.strip()] if isinstance(value, str) else value
        return tuple(checked_address(str(a)) for a in found) if isinstance(found, (list, tuple)) else found
