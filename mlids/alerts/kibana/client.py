"""Requests to Kibana's HTTP API, and its refusals in words."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from mlids.errors import DeniedError, SettingsError, StoreError
from mlids.settings import Settings
from mlids.text import short

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, PoolManager

log = logging.getLogger(__name__)

TIMEOUT_S = 60.0
ANSWER_BYTES = 32 << 20
_LOGIN = "MLIDS_KIBANA_API_KEY, or MLIDS_KIBANA_USER and MLIDS_KIBANA_PASSWORD"


@dataclass(frozen=True)
class Answer:
    """An answer of Kibana: its HTTP status, and the JSON objects in it, one for each line of NDJSON."""

    status: int
    objects: list[Any]

    @property
    def body(self) -> dict[str, Any]:
        """The first object; an empty one when there is none."""
        return self.objects[0] if self.objects and isinstance(self.objects[0], dict) else {}


class KibanaClient:
    """Sends requests to one space of a Kibana. It connects with the first request, and follows no redirect."""

    def __init__(self, url: str, space: str, pool: PoolManager, authorization: str) -> None:
        self.where = url
        self._base = url.rstrip("/") + (f"/s/{space}" if space and space != "default" else "")
        self._space, self._pool, self._authorization = space, pool, authorization

    def ask(
        self, method: str, path: str, body: object = None, *, file: tuple[str, bytes] | None = None, passes: tuple[int, ...] = ()
    ) -> Answer:
        """Send a request with a JSON body or a file and return the answer when it is 200, or one of `passes`.

        Raises DeniedError when the login is refused or lacks a privilege, and StoreError for every other answer, or none.
        """
        from urllib3.exceptions import HTTPError

        headers = {"kbn-xsrf": "mlids", "authorization": self._authorization}
        options: dict[str, Any] = {"headers": headers, "redirect": False, "retries": False, "timeout": TIMEOUT_S, "preload_content": False}
        if file is not None:
            options["fields"] = {"file": (*file, "application/ndjson")}
        elif body is not None:
            options["body"] = json.dumps(body).encode()
            headers["content-type"] = "application/json"
        try:
            answer = self._pool.request(method, self._base + path, **options)
            content = answer.read(ANSWER_BYTES + 1)
            answer.release_conn()
        except (HTTPError, OSError) as error:
            raise self._unanswered(error) from error
        if len(content) > ANSWER_BYTES:
            raise StoreError(f"Kibana {self.where}: the answer to {method} {path} is larger than {ANSWER_BYTES >> 20} MiB; is it Kibana?")
        return self._checked(answer, content, f"{method} {path}", passes)

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def _checked(self, answer: BaseHTTPResponse, content: bytes, what: str, passes: tuple[int, ...]) -> Answer:
        if answer.status in (301, 302, 303, 307, 308):
            raise StoreError(
                f"Kibana {self.where} sends {what} to {short(answer.headers.get('location', ''), 200)}: check MLIDS_KIBANA_URL (its server.basePath?)"
            )
        if answer.status == 200 or answer.status in passes:
            try:
                return Answer(answer.status, [json.loads(line) for line in _documents(content)])
            except ValueError as error:
                raise StoreError(f"{self.where} does not answer {what} with JSON; is MLIDS_KIBANA_URL the address of Kibana?") from error
        raise self._refusal(answer.status, content, what)

    def _refusal(self, status: int, content: bytes, what: str) -> StoreError:
        reason = _message(content)
        if status == 401:
            return DeniedError(f"Kibana {self.where} does not accept the login; check {_LOGIN}")
        if status == 403:
            return DeniedError(
                f"Kibana {self.where} refuses {what}: {reason}; the login needs all rights to Saved Objects Management, and to Stack Rules for the rule"
            )
        if status == 404 and self._space:
            return StoreError(f"Kibana {self.where}: {what} is not found: {reason}; is there a space {self._space!r} (MLIDS_KIBANA_SPACE)?")
        return StoreError(f"Kibana {self.where} refuses {what} with {status}: {reason}")

    def _unanswered(self, error: Exception) -> StoreError:
        text = short(error, 300)
        mend = "; its certificate is not accepted: set MLIDS_KIBANA_CA_FILE" if "CERTIFICATE_VERIFY_FAILED" in text else ""
        return StoreError(f"Kibana {self.where} does not answer: {text}{mend}")


def connect_to_kibana(settings: Settings) -> KibanaClient:
    """Return a client for the Kibana of the settings, which connects to nothing yet. Raises SettingsError when one is missing or cannot be used."""
    url = urlsplit(settings.kibana_url)
    if url.scheme not in ("http", "https") or not url.hostname:
        raise SettingsError(f"MLIDS_KIBANA_URL is {short(settings.kibana_url, 100)!r}: set it, for example to https://kibana.example:5601")
    if url.username or url.password:
        raise SettingsError(f"MLIDS_KIBANA_URL holds a login, which logs would show: use {_LOGIN}")
    try:
        from urllib3 import PoolManager, make_headers
    except ModuleNotFoundError as error:
        raise SettingsError("the package urllib3 is not installed; install mlids with the extra `elastic`") from error
    if settings.kibana_api_key is not None:
        authorization = f"ApiKey {settings.kibana_api_key.get_secret_value()}"
    elif settings.kibana_password is not None:
        authorization = make_headers(basic_auth=f"{settings.kibana_user}:{settings.kibana_password.get_secret_value()}")["authorization"]
    else:
        raise SettingsError(f"there is no login for Kibana: set {_LOGIN}")
    return KibanaClient(
        urlunsplit(url._replace(query="", fragment="")), settings.kibana_space, PoolManager(**_tls(settings)), authorization
    )


def _tls(settings: Settings) -> dict[str, Any]:
    if not settings.kibana_url.startswith("https:"):
        return {}
    if not settings.kibana_verify:
        import urllib3

        log.warning("MLIDS_KIBANA_VERIFY is false: whoever is on the way to Kibana can steal the login; set MLIDS_KIBANA_CA_FILE instead")
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        return {"cert_reqs": "CERT_NONE", "assert_hostname": False}
    if settings.kibana_ca_file is None:
        return {}
    if not settings.kibana_ca_file.is_file():
        raise SettingsError(f"MLIDS_KIBANA_CA_FILE {settings.kibana_ca_file}: there is no such file")
    return {"ca_certs": str(settings.kibana_ca_file)}


def _documents(content: bytes) -> list[bytes]:
    """Return the JSON documents of an answer: one, or one a line."""
    text = content.strip()
    if not text:
        return []
    try:
        json.loads(text)
    except ValueError:
        return [line for line in text.splitlines() if line.strip()]
    return [text]


def _message(content: bytes) -> str:
    try:
        found = json.loads(content)
        return short(found["message"], 300)
    except (ValueError, KeyError, TypeError):
        return short(content[:300].decode("utf-8", "replace"), 300)
