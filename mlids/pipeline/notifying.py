"""Notifies people of severe alerts and cases, and of a pipeline that stands still: each thing once, by mail and by webhook."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from functools import partial
from typing import TYPE_CHECKING, Any

from mlids.errors import SettingsError, StoreError
from mlids.locks import locked_file
from mlids.pipeline.mailing import mail_sender, open_mail_server, secret_of
from mlids.pipeline.stores import open_stores
from mlids.pipeline.watch import live_faults
from mlids.settings import Settings, load_settings

if TYPE_CHECKING:
    from mlids.alerts.notification import Notice

    Channel = Callable[[Sequence[Notice]], None]

LOOK_BACK = timedelta(hours=48)  # the night scores the day before
_UNREAD_DAYS = 2  # a day is ingested in the night after it
_MOST = 1_000
_PIPELINE = "pipeline:"


def notify(*, dry_run: bool = False, test: bool = False) -> dict[str, Any]:
    """Send what was not sent yet by every channel that is set; return by channel how many notices were `sent`, and how many are `waiting` for the next hour.

    Without a channel nothing is looked for, and `why` says so.

    `dry_run` sends nothing and counts; `test` sends one notice that says so. Raises StoreError naming every channel that failed:
    what it lacks is sent the next time. Raises SettingsError for a channel that cannot be used.
    """
    from mlids.alerts.notification import Notice, Notified

    settings = load_settings()
    channels = _channels(settings)
    if not channels:
        return {"found": 0, "channels": {}, "why": "neither MLIDS_NOTIFY_TO nor MLIDS_NOTIFY_WEBHOOK is set"}
    now = datetime.now(UTC)
    notices = [Notice("test", "pipeline", "test", "this is a test of mlids' notifications", "")] if test else found_now(settings, now)
    done: dict[str, Any] = {"found": len(notices), "channels": {}}
    faults = []
    with locked_file(settings.state / "notified.lock"):
        for name, send in channels.items():
            notified = Notified(settings.state / f"notified-{name}.json")
            new = notices if test else notified.new(notices)
            ready = bool(new) and (test or notified.may_send(now, settings.notify_an_hour))
            try:
                if ready and not dry_run:
                    send(new)
                    if not test:
                        notified.mark(new, now)
                if not dry_run and not test:
                    notified.forget(_PIPELINE, [n.key for n in notices])
            except StoreError as error:
                faults.append(f"{name}: {error}")
                continue
            done["channels"][name] = {"sent": len(new) if ready and not dry_run else 0, "waiting": 0 if ready and not dry_run else len(new)}
    if faults:
        raise StoreError("not everybody was notified: " + "; ".join(faults))
    return done


def found_now(settings: Settings, now: datetime) -> list[Notice]:
    """Return everything there is to notify of: cases and alerts of the last days from the severity on, and what stands still."""
    from mlids.alerts.notification import Notice
    from mlids.alerts.stores.alerts import AlertFilter
    from mlids.alerts.stores.cases import NOT_CLOSED
    from mlids.cases.severity import LEVELS, Severity
    from mlids.features.behaviours import kind_title
    from mlids.window import stamp

    stores = open_stores(settings)
    least = Severity(settings.notify_severity)
    levels = settings.severity or LEVELS
    chosen = AlertFilter(least_risk=levels[least.rank - 1], unjudged=True)
    since = now - LOOK_BACK
    cases = stores.cases.latest(states=NOT_CLOSED, least=least, since=stamp(since), limit=_MOST)
    alerts = stores.alerts.latest(since=since, limit=_MOST, chosen_by=chosen, sort="risk")
    return [
        *still_standing(settings, now),
        *(Notice(f"case:{c['id']}:{c['severity']}", "case", c["severity"], c["title"], c["first"] or "") for c in cases),
        *(
            Notice(
                f"alert:{a['id']}", "alert", f"risk {a['score']:.0f}", f"{kind_title(a['mlids']['kind'])}: {a['src']} → {a['dst']}", a["ts"]
            )
            for a in alerts
        ),
    ]


def still_standing(settings: Settings, now: datetime) -> list[Notice]:
    """Return a notice for each sensor that live scoring has followed and does not any more, and for one of which no day was read lately."""
    from mlids.alerts.notification import Notice

    found = [
        Notice(f"{_PIPELINE}live:{sensor}", "pipeline", "standstill", f"live scoring of {sensor}: {fault}", "")
        for sensor, fault in live_faults(settings, settings.lag_bound_s, ever_followed=True).items()
    ]
    names = {s.name for s in settings.sensors()}
    oldest = (now.date() - timedelta(days=_UNREAD_DAYS)).isoformat()
    for sensor, last in sorted(open_stores(settings).weeks.last_days().items()):
        if sensor in names and last < oldest:
            text = f"the last day that was read of {sensor} is {last}; look at the DAG zeek_ingest, or at `mlids doctor`"
            found.append(Notice(f"{_PIPELINE}days:{sensor}", "pipeline", "standstill", text, ""))
    return found


def _channels(settings: Settings) -> dict[str, Channel]:
    """Return what sends to each channel that is set. Raises SettingsError when none is, or one cannot be used."""
    out: dict[str, Channel] = {}
    if settings.notify_to:
        if not settings.smtp_url:
            raise SettingsError("MLIDS_NOTIFY_TO is set without MLIDS_SMTP_URL: name the mail server")
        out["mail"] = partial(_mail, settings)
    url = _webhook(settings)
    if url:
        out["webhook"] = partial(_post, url, settings.notify_format)
    return out


def _webhook(settings: Settings) -> str:
    from mlids.settings.notification import checked_webhook

    if settings.notify_webhook is not None:
        return settings.notify_webhook.get_secret_value()
    if settings.notify_webhook_file is None:
        return ""
    try:
        return checked_webhook(secret_of(settings.notify_webhook_file, "MLIDS_NOTIFY_WEBHOOK_FILE"))
    except ValueError as error:
        raise SettingsError(f"MLIDS_NOTIFY_WEBHOOK_FILE: {settings.notify_webhook_file}: {error}") from None


def _mail(settings: Settings, notices: Sequence[Notice]) -> None:
    from mlids.alerts.mail import send
    from mlids.alerts.notification import body, subject

    message = EmailMessage()
    message["Subject"] = f"mlids: {subject(notices)}"
    message["From"], message["To"] = mail_sender(settings), ", ".join(settings.notify_to)
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(body(notices) + "\n")
    send(open_mail_server(settings), message)


def _post(url: str, form: str, notices: Sequence[Notice]) -> None:
    from mlids.alerts.notification import payload, post

    post(url, payload(notices, form))
