"""Reports a task that failed: by mail and to a Slack-compatible webhook, as Airflow's connections say.

`mlids_mail` is a connection of type smtp with `to` in its extra. `mlids_webhook` has the secret part of the URL as its password, or
all of it. Where a connection is missing, nothing is sent there; the text is in the task's log in any case.
"""

import json
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from airflow.exceptions import AirflowNotFoundException
from airflow.sdk import BaseHook, BaseNotifier, Connection, Context

MAIL, WEBHOOK = "mlids_mail", "mlids_webhook"
_SECONDS = 15.0


class FailureNotifier(BaseNotifier):
    """Sends sensor, day, cause and the command that mends it. A channel that fails is in the log, and holds up no other."""

    def __init__(self, *, first_only: bool = False) -> None:
        super().__init__()
        self.first_only = first_only

    def notify(self, context: Context) -> None:
        """Send the text to each channel that has a connection; with `first_only`, unless the run before failed as well."""
        if self.first_only and _failed_before(context):
            return
        subject, text = _message(context)
        self.log.warning("%s\n%s", subject, text)
        for name, send in ((MAIL, _send_mail), (WEBHOOK, _post)):
            try:
                send(name, subject, text, context)
            except AirflowNotFoundException:
                self.log.info("no report by %s: there is no such connection", name)
            except Exception as error:  # noqa: BLE001  whatever a mail server answers, the other channel is still to be used
                self.log.error("the failure could not be reported by %s: %s", name, type(error).__name__)


def _failed_before(context: Mapping[str, Any]) -> bool:
    """Return whether the run before did not succeed; not known is no."""
    succeeded, start = context.get("prev_data_interval_end_success"), context.get("data_interval_start")
    return succeeded is not None and start is not None and succeeded < start


def _message(context: Mapping[str, Any]) -> tuple[str, str]:
    """Return subject and text about the task of a context."""
    from mlids import pipeline

    ti, run = context.get("ti"), context.get("dag_run")
    task = getattr(ti, "task", None)
    given = [*(getattr(task, "op_args", None) or ()), *(getattr(task, "op_kwargs", None) or {}).values()]
    what = next((v for v in given if isinstance(v, Mapping) and "sensor" in v), {})
    days = what.get("days") or ([what["day"]] if what.get("day") else [])
    facts = pipeline.failure_message(
        str(getattr(ti, "dag_id", "")), str(getattr(ti, "task_id", "")), context.get("exception"),
        sensor=what.get("sensor"), days=days if isinstance(days, list) else [], conf=getattr(run, "conf", None) or {},
        log_url=getattr(ti, "log_url", None),
    )  # fmt: skip
    return facts["subject"], facts["text"]


def _send_mail(name: str, subject: str, text: str, context: Context) -> None:
    to = BaseHook.get_connection(name).extra_dejson.get("to")
    if not to:
        raise AirflowNotFoundException(name)
    from airflow.providers.smtp.notifications.smtp import SmtpNotifier

    # What a sensor is named or answers is not part of a template, and is HTML nowhere.
    context.update({"mlids_subject": subject, "mlids_text": text})  # type: ignore[call-overload]
    SmtpNotifier(to=to, subject="{{ mlids_subject }}", html_content="<pre>{{ mlids_text | e }}</pre>", smtp_conn_id=name)(context)


def _post(name: str, subject: str, text: str, context: Context) -> None:
    url = webhook_url(BaseHook.get_connection(name))
    shown = f"*{subject}*\n{text}"
    for plain, escaped in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):  # otherwise <!channel> calls everybody
        shown = shown.replace(plain, escaped)
    request = urllib.request.Request(url, json.dumps({"text": shown}).encode(), {"Content-Type": "application/json"})  # noqa: S310
    with _open(request, timeout=_SECONDS) as answer:
        answer.read(1_000)


def webhook_url(connection: Connection) -> str:
    """Return the URL of a webhook: the password when it is a URL, otherwise host and password. Raises ValueError for one that is not HTTP."""
    secret = connection.password or ""
    if secret.startswith(("https://", "http://")):
        url = secret
    else:
        host = connection.host or ""
        host = host if "://" in host else f"{connection.schema or 'https'}://{host}"
        url = f"{host}:{connection.port}" if connection.port else host
        url = f"{url.rstrip('/')}/{secret.lstrip('/')}"
    if urlsplit(url).scheme not in {"https", "http"} or not urlsplit(url).hostname:
        raise ValueError(f"the connection {WEBHOOK} has no address of a webhook")
    return url


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A webhook answers itself: the text goes to no other address."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        """Return nothing: the redirect is an error."""


_open: Callable[..., Any] = urllib.request.build_opener(_NoRedirect).open
