"""Settings of notification: who gets severe alerts and cases at once, and word of a pipeline that stands still."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import NoDecode

from mlids.settings.mail import MailSettings, checked_address


def checked_webhook(url: str) -> str:
    """Return the URL of a webhook. Raises ValueError, which does not hold it, for one that is no https://, except to this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        raise ValueError("it is no URL") from None
    if not host or parts.scheme not in ("https", "http"):
        raise ValueError("it is no URL of a webhook; write https://HOST/PATH")
    if parts.scheme == "http" and not _is_here(host):
        raise ValueError("it would be sent in clear text: use https://")
    return url


class NotificationSettings(MailSettings):
    """Settings of mail and of notification. Without `notify_to` and a webhook nobody is notified."""

    notify_to: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Who gets a mail about severe alerts and cases, and about a pipeline that stands still; comma-separated; empty: nobody.",
    )
    notify_webhook: SecretStr | None = Field(None, description="URL that is sent the same by POST; whoever knows it may write there.")
    notify_webhook_file: Path | None = Field(None, description="File with that URL.")
    notify_format: Literal["json", "slack"] = Field(
        "json", description="What the webhook gets: json, or slack for Slack and what is compatible."
    )
    notify_severity: Literal["medium", "high", "critical"] = Field(
        "critical", description="Severity from which an alert or a case is notified."
    )
    notify_an_hour: int = Field(
        6, ge=1, le=1_000, description="Messages an hour at most, by mail and by webhook; what comes meanwhile is in the next one."
    )

    @field_validator("notify_to", mode="before")
    @classmethod
    def _notified(cls, value: object) -> object:
        found = [a.strip() for a in value.split(",") if a.strip()] if isinstance(value, str) else value
        return tuple(checked_address(str(a)) for a in found) if isinstance(found, (list, tuple)) else found

    @field_validator("notify_webhook")
    @classmethod
    def _webhook(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            checked_webhook(url.get_secret_value())
        return url


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
