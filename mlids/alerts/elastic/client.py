"""Connections to Elasticsearch: TLS as the settings say, and its refusals in words."""

from __future__ import annotations

import logging
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from mlids.errors import DeniedError, SettingsError, StoreError
from mlids.settings import Settings
from mlids.text import short

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

log = logging.getLogger(__name__)

ADMIN_TIMEOUT_S = 30.0
BUSY_S = 20.0  # a cluster that has just begun makes its index of roles and keys, and answers 503 meanwhile
_PAUSE_S = 0.5
_GRANTED_BY = re.compile(r"action \[(\S+?)\].*?granted by the (index|cluster) privileges \[([^]]+)\]", re.DOTALL)
_ADMIN = "MLIDS_ELASTIC_ADMIN_USER and MLIDS_ELASTIC_ADMIN_PASSWORD (or …_FILE), or MLIDS_ELASTIC_ADMIN_API_KEY"


@dataclass(frozen=True)
class Tls:
    """How the server's certificate is verified: by the system's CAs, by a CA file, or by the SHA-256 of the certificate itself."""

    ca_file: Path | None = None
    fingerprint: str = ""
    verify: bool = True

    def options(self) -> dict[str, Any]:
        """Return the options of the client."""
        if not self.verify:
            return {"verify_certs": False, "ssl_show_warn": False}
        found: dict[str, Any] = {"ca_certs": str(self.ca_file)} if self.ca_file else {}
        return found | ({"ssl_assert_fingerprint": self.fingerprint} if self.fingerprint else {})


def tls_of(settings: Settings) -> Tls:
    """Return how the settings verify the server's certificate; verification that is off is logged as a warning."""
    if not settings.elastic_verify:
        log.warning(
            "MLIDS_ELASTIC_VERIFY is false: whoever is on the way to Elasticsearch can read and change alerts and steal the key; "
            "set MLIDS_ELASTIC_CA_FILE or MLIDS_ELASTIC_FINGERPRINT instead"
        )
    # REQUESTS_CA_BUNDLE may be set for other programs: it is no fault beside a server without TLS, or one that is not verified.
    needed = settings.elastic_verify and settings.elastic_url.startswith("https:")
    ca_file = settings.elastic_ca_file if needed or not settings.has_ca_of_all_programs() else None
    return Tls(ca_file, settings.elastic_fingerprint, settings.elastic_verify)


def connect(url: str, tls: Tls, timeout_s: float, **login: object) -> Elasticsearch:
    """Return a client, which connects to nothing yet. `login` is the client's `api_key` or `basic_auth`.

    Raises ValueError or OSError for a URL or file that cannot be used, and SettingsError without the package elasticsearch.
    """
    try:
        from elasticsearch import Elasticsearch
    except ModuleNotFoundError as error:
        raise SettingsError("the package elasticsearch is not installed; install mlids with the extra `elastic`") from error

    # At DEBUG this logger writes each body, among them the key that the node has just made. Without a handler it does not even decode them.
    logging.getLogger("elastic_transport.node").propagate = False
    options: dict[str, Any] = {"request_timeout": timeout_s, "max_retries": 0, **login, **tls.options()}
    return Elasticsearch(url, **options)


def connect_as_admin(settings: Settings) -> Elasticsearch:
    """Return a client that signs in with the admin credential of the settings; without one, as the URL says.

    Raises SettingsError when a setting is missing, or a file cannot be read.
    """
    if not settings.elastic_url:
        raise SettingsError("MLIDS_ELASTIC_URL must be set, for example https://es.example:9200")
    login: dict[str, object] = {}
    password = _admin_password(settings)
    if password is not None:
        login = {"basic_auth": (settings.elastic_admin_user, password)}
    elif settings.elastic_admin_api_key is not None:
        login = {"api_key": settings.elastic_admin_api_key.get_secret_value()}
    url = _without_login(settings.elastic_url) if login else settings.elastic_url
    try:
        return connect(url, tls_of(settings), ADMIN_TIMEOUT_S, **login)
    except (ValueError, OSError) as error:
        raise unusable(error) from error


def unusable(error: Exception) -> SettingsError:
    """Return the error for a URL, CA file or fingerprint that the client does not take."""
    return SettingsError(
        f"MLIDS_ELASTIC_URL, MLIDS_ELASTIC_CA_FILE or MLIDS_ELASTIC_FINGERPRINT cannot be used (the last two are for https): {short(error, 300)}"
    )


def request(client: Elasticsearch, where: str, method: str, path: str, body: object = None) -> dict[str, Any] | None:
    """Return the answer to a request of the admin, or None for 404; 503 is waited for.

    Raises DeniedError that names what the credential lacks, and StoreError for every other refusal, or without an answer.
    """
    from elasticsearch import ApiError, TransportError

    headers = {"accept": "application/json"} | ({"content-type": "application/json"} if body is not None else {})
    end = time.monotonic() + BUSY_S
    while True:
        try:
            return dict(client.perform_request(method, path, headers=headers, body=body).body)
        except ApiError as error:
            if error.meta.status == 404 and method == "GET":
                return None
            if error.meta.status != 503 or time.monotonic() > end:
                raise _refusal(where, f"{method} {path}", error) from error
        except TransportError as error:
            raise unanswered(where, error) from error
        time.sleep(_PAUSE_S)


def _refusal(where: str, what: str, error: Any) -> StoreError:
    if error.meta.status == 401:
        return DeniedError(f"Elasticsearch {where} does not accept the admin credential; check {_ADMIN}")
    if error.meta.status == 403 and (lack := lacking(str(error))):
        return DeniedError(f"Elasticsearch {where}: the admin credential lacks {lack}; use one that may do this ({_ADMIN})")
    return StoreError(f"Elasticsearch {where} refuses {what}: {short(error, 400)}")


def unanswered(where: str, error: Exception, words: str = "does not answer") -> StoreError:
    """Return the error for a server that gives no answer, or shows a certificate that is not accepted; `words` say what it does not do."""
    from elasticsearch import SSLError

    mend = (
        "; its certificate is not accepted: check MLIDS_ELASTIC_CA_FILE or MLIDS_ELASTIC_FINGERPRINT" if isinstance(error, SSLError) else ""
    )
    return StoreError(f"Elasticsearch {where} {words}: {short(error, 300)}{mend}")


def lacking(reason: str, indices: str = "") -> str:
    """Return the missing privilege that Elasticsearch's refusal names, on `indices` if it is one of an index; else an empty text."""
    found = _GRANTED_BY.search(reason)
    if found is None:
        return ""
    action, level, privileges = found.groups()
    return f"one of the privileges {privileges}{f' on {indices}' if level == 'index' and indices else ''} (for {action})"


def _admin_password(settings: Settings) -> str | None:
    if settings.elastic_admin_password is not None:
        return settings.elastic_admin_password.get_secret_value()
    path = settings.elastic_admin_password_file
    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"MLIDS_ELASTIC_ADMIN_PASSWORD_FILE {path} cannot be read: {getattr(error, 'strerror', None) or 'not text'}"
        ) from error


def _without_login(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
