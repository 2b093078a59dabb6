"""Puts policy, templates, roles and the writer's key into Elasticsearch, each where it lacks or is older; and says what is there."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from mlids.alerts.elastic import templates
from mlids.alerts.elastic.client import request, unanswered
from mlids.alerts.elastic.templates import TEMPLATE_VERSION, Request
from mlids.errors import SettingsError, StoreError
from mlids.text import short

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

# What a cluster without security answers where one with it says who is signed in.
_WITHOUT_SECURITY = ("no handler found", "Incorrect HTTP method", "Security must be explicitly enabled")
NOT_VISIBLE = "this key may not see them"


@dataclass(frozen=True)
class Part:
    """One part of what is installed, and what became of it: `installed`, `updated`, `unchanged` or why it was left out."""

    name: str
    done: str


@dataclass(frozen=True)
class Installed:
    """What an installation did. `key` is the secret of a key that was made, and None when none was."""

    parts: list[Part]
    key: str | None = None


@dataclass(frozen=True)
class Plan:
    """What is to be installed: for which index prefix, with what retention in days (0: for ever, or no cold phase), and for which writer.

    `append_only`: the writer may not replace what is stored. `make_key`: whether it gets a key; None makes one when it has none.
    """

    prefix: str
    keep_days: int
    cold_days: int = 0
    append_only: bool = False
    make_key: bool | None = None

    def requests(self) -> list[Request]:
        """Return all requests that write to a cluster that has nothing of it, in their order."""
        made = [] if self.make_key is False else [templates.key(self.prefix, self.append_only)]
        return [self._policy(), *templates.templates(self.prefix), *templates.roles(self.prefix, self.append_only), *made]

    def _policy(self) -> Request:
        return templates.policy(self.prefix, self.keep_days, self.cold_days)


def install(client: Elasticsearch, where: str, plan: Plan) -> Installed:
    """Put into Elasticsearch what it lacks of the plan or has in an older version; what is there already stays as it is.

    `where` is the URL for messages. Raises StoreError, before anything is written, when a newer version or a part that is not of mlids is there; DeniedError
    when the admin's credential lacks a privilege; StoreError for every other refusal. A second run continues where one failed.
    """
    ask = partial(request, client, where)
    login = _login(ask)
    secured = login is not None
    if login is not None and plan.make_key is not False:
        _refuse_an_api_key(login, where)
    wanted = [r for r in plan.requests() if r.method == "PUT" and (secured or r.name != "role")]
    found = {r.path: _marks(r, ask("GET", r.path)) for r in wanted}
    _refuse_foreign(found, where)
    parts = []
    for r in wanted:
        before = found[r.path]
        done = "installed" if before is None else "unchanged" if before == _marks(r, r.body) else "updated"
        if done != "unchanged":
            ask(r.method, r.path, r.body)
        parts.append(Part(f"{r.name} {r.path.rpartition('/')[2]}", done))
    if not secured:
        return Installed([*parts, Part("roles and key", "left out: the cluster has no security")])
    if plan.make_key is False:
        return Installed(parts)
    part, secret = _key(ask, plan)
    return Installed([*parts, part], secret)


def _login(ask: Any) -> dict[str, Any] | None:
    """Return who is signed in; None on a cluster without security, which does not know this path. Raises DeniedError for a login it refuses."""
    try:
        found: dict[str, Any] | None = ask("GET", "/_security/_authenticate")
        return found
    except StoreError as error:
        if any(words in str(error) for words in _WITHOUT_SECURITY):
            return None
        raise


def _refuse_an_api_key(login: dict[str, Any], where: str) -> None:
    if login.get("authentication_type") == "api_key":
        raise SettingsError(
            f"Elasticsearch {where}: an API key cannot make a key with privileges; set MLIDS_ELASTIC_ADMIN_USER and "
            "MLIDS_ELASTIC_ADMIN_PASSWORD_FILE, or run `mlids elastic install --no-key` and make the key with a user"
        )


def _marks(wanted: Request, body: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return what tells one version of a part from another: of an answer to GET, or of the body that would be sent.

    None is for nothing there, and an empty one for a part that is not of mlids.
    """
    if not body:
        return None
    name, kind = wanted.path.rpartition("/")[2], wanted.name.replace(" ", "_")
    if wanted.name == "role":
        part = body.get(name, body)
        marks = part.get("metadata")
    elif wanted.name == "lifecycle policy":
        part = body.get(name, body)["policy"]
        marks = part.get("_meta")
    else:
        part = body[f"{kind}s"][0][kind] if f"{kind}s" in body else body
        if wanted.name == "index template" and "version" not in part and part["index_patterns"] == wanted.body["index_patterns"]:
            return {"mlids_version": 1}  # the sink's
        marks = (part.get("_meta") or {}) | {"version": part.get("version")}
    return marks if "mlids_version" in (marks or {}) else {}


def _refuse_foreign(found: dict[str, dict[str, Any] | None], where: str) -> None:
    """Raise StoreError when a part is of a newer version, or is not of mlids."""
    foreign = [path for path, marks in found.items() if marks == {}]
    if foreign:
        raise StoreError(
            f"Elasticsearch {where}: {', '.join(foreign)} is there and is not of mlids, nothing was changed; "
            "remove it, or set MLIDS_ELASTIC_PREFIX to another prefix"
        )
    newest = max(max(int(m["mlids_version"]), int(m.get("version") or 0)) for m in [{"mlids_version": 0}, *found.values()] if m is not None)
    if newest > TEMPLATE_VERSION:
        raise StoreError(
            f"Elasticsearch {where}: a newer version is installed ({newest}; this mlids has {TEMPLATE_VERSION}), nothing was changed; "
            "upgrade mlids and run `mlids elastic install` again"
        )


def _key(ask: Any, plan: Plan) -> tuple[Part, str | None]:
    """Make the writer's key, unless it has one; return what was done, and the secret of a new key."""
    wanted = templates.key(plan.prefix, plan.append_only)
    name = f"{wanted.name} {templates.writer_name(plan.prefix)}"
    answer = ask("GET", f"/_security/api_key?name={templates.writer_name(plan.prefix)}") or {}
    valid = [k for k in answer.get("api_keys", []) if not k.get("invalidated") and k.get("expiration", math.inf) > time.time() * 1_000]
    ids = ", ".join(k["id"] for k in valid)
    if valid and not plan.make_key:
        same = any(k.get("metadata") == wanted.body["metadata"] for k in valid)
        other = "" if same else ", with other privileges than now; --new-key makes one that has these"
        return Part(name, f"unchanged: {ids} is there{other}"), None
    made = ask(wanted.method, wanted.path, wanted.body)
    older = f"; still valid as well: {ids}" if valid else ""
    return Part(name, f"made, id {made['id']}{older}"), str(made["encoded"])


def template_state(client: Elasticsearch, where: str, prefix: str) -> tuple[bool, str]:
    """Return whether the templates are there in this version, as far as the key can see, and a sentence.

    A key that may not read templates sees the mapping of the newest index. Raises StoreError without an answer.
    """
    from elasticsearch import ApiError, TransportError

    try:
        answer = client.perform_request("GET", f"/_index_template/{prefix}", headers={"accept": "application/json"})
        version = int(answer.body["index_templates"][0]["index_template"].get("version", 1))
    except ApiError as error:
        if error.meta.status == 404:
            return False, f"{where} has no index template {prefix}: Elasticsearch guesses the types of fields; run `mlids elastic install`"
        if error.meta.status != 403:
            raise StoreError(f"Elasticsearch {where} does not say which templates it has: {short(error, 300)}") from error
        return _by_newest_index(client, where, prefix)
    except TransportError as error:
        raise unanswered(where, error) from error
    return _judged(version, f"{where} has the index template {prefix}")


def _by_newest_index(client: Elasticsearch, where: str, prefix: str) -> tuple[bool, str]:
    from elasticsearch import ApiError, TransportError

    path = f"/{templates.pattern(prefix)}/_mapping"
    try:
        found = client.perform_request("GET", path, headers={"accept": "application/json"}).body
    except ApiError as error:
        if error.meta.status == 403:
            return True, NOT_VISIBLE
        raise StoreError(f"Elasticsearch {where} does not say which mapping it has: {short(error, 300)}") from error
    except TransportError as error:
        raise unanswered(where, error) from error
    if not found:
        return True, f"no index {templates.pattern(prefix)} is there yet, so that this key cannot see them"
    name = max(found)
    meta = found[name].get("mappings", {}).get("_meta", {})
    well, text = _judged(int(meta.get("mlids_version", 1)), f"the newest index, {name}, was made by the template")
    return well, text if well else f"{text}, unless that was done since: then the next day's index is right"


def _judged(version: int, what: str) -> tuple[bool, str]:
    if version < TEMPLATE_VERSION:
        return False, f"{what} of an older version ({version}; this mlids has {TEMPLATE_VERSION}), or by none; run `mlids elastic install`"
    newer = f", which is newer than {TEMPLATE_VERSION}, that of this mlids" if version > TEMPLATE_VERSION else ""
    return True, f"{what}, version {version}{newer}"
