"""What every page needs: answers with their headers, and the checks of a form that changes something."""

import time
from typing import Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.tokens import get_signing_key
from fastapi import HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from mlids_airflow.form_token import form_token, is_valid
from mlids_airflow.render import render, script_digest

_LARGEST_FORM = 16_384  # bytes


def headers(frames: bool = False) -> dict[str, str]:
    """Return the headers of a page: it runs one script, loads nothing but from here, and is stored nowhere. With `frames` it may show a report."""
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src '{script_digest()}'; connect-src 'self'; "
    policy += f"frame-src {chr(39)}{'self' if frames else 'none'}{chr(39)}; form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
    return {
        "Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin",
        "Cache-Control": "no-store",
    }  # fmt: skip


def base_of(request: Request) -> str:
    """Return the path of the pages. The UI shows them in a frame under another address, so links start at the root."""
    return str(request.scope.get("root_path", "")).rstrip("/") + "/"


def page(request: Request, name: str, facts: dict[str, Any], status: int = 200) -> HTMLResponse:
    """Return a page."""
    return HTMLResponse(render(name, base_of(request), facts), status, headers=headers(frames=name == "reader"))


def part(request: Request, name: str, title: str, facts: dict[str, Any]) -> HTMLResponse:
    """Return what a page loads after it is shown (`?part=1`); without that, as a page of its own."""
    if request.query_params.get("part") == "1":
        return page(request, f"{name}.part", facts)
    return page(
        request,
        "part_page",
        {**facts, "part": name, "title": title, "part_of": str(request.url.path).rsplit("/mlids/", 1)[-1].partition("/")[0]},
    )


def message(request: Request, status: int, text: str, back: str | None = None) -> HTMLResponse:
    """Return a page with one sentence, and a link to the page `back`."""
    return page(request, "message", {"text": text, "back": back}, status)


def back_to(request: Request, path: str) -> RedirectResponse:
    """Return the answer that leads a browser to a page after a form."""
    return RedirectResponse(base_of(request) + path, 303, headers=headers())


def may_edit(user: BaseUser) -> bool:
    """Return whether a user may change something: the right to edit all DAGs, which Airflow's viewers do not have."""
    return bool(get_auth_manager().is_authorized_dag(method="PUT", user=user))


def token_for(user: BaseUser, about: str) -> str | None:
    """Return the token of a user's form about something; None for users who may not edit."""
    return form_token(_secret(), user.get_id(), about, time.time()) if may_edit(user) else None


def refusal(request: Request, user: BaseUser, form: dict[str, str], about: str, back: str) -> HTMLResponse | None:
    """Return why a form must not change anything; None when it may.

    Refused: users who may not edit, forms of other sites, of other users, about other things, or of some hours ago.
    """
    if not may_edit(user):
        return message(request, 403, "You may read this page. Changing something needs the right to edit DAGs.", back)
    # Browsers say which site a form came from. The token decides; this refuses a page of the same user's that leaked one.
    if request.headers.get("sec-fetch-site", "same-origin") != "same-origin" or not is_valid(
        form.get("token", ""), _secret(), user.get_id(), about, time.time()
    ):
        return message(request, 403, "This form is too old or not yours. Open the page again.", back)
    return None


async def sent_form(request: Request) -> dict[str, str]:
    """Return the fields of a form that a browser sent. Raises HTTPException for one that is too large, or of another type."""
    from urllib.parse import parse_qsl

    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise HTTPException(415, "not a form")
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _LARGEST_FORM:
            raise HTTPException(413, "the form is too large")
    try:
        fields = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=16)
    except ValueError:
        raise HTTPException(400, "not a form") from None
    return {name: value.replace("\0", "\\x00") for name, value in fields}  # which PostgreSQL does not store


def page_number(text: str) -> int | None:
    """Return the number of a page in an address; None for a text that is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else None


def _secret() -> str:
    return get_signing_key("api", "secret_key")
