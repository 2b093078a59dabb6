"""The pages for signed-in users: overview, cases, one case with its state. Jinja escapes log contents."""

import time
from typing import Annotated, Any
from urllib.parse import parse_qsl

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import AccessView
from airflow.api_fastapi.auth.tokens import get_signing_key
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_view
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response

from mlids_airflow.form_token import form_token, is_valid

# An app mounted by a plugin is public unless it requires a login itself.
app = FastAPI(
    title="mlids", docs_url=None, redoc_url=None, openapi_url=None,
    dependencies=[Depends(requires_access_view(AccessView.PLUGINS))],
)  # fmt: skip

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}
_PRIVATE = {**_HEADERS, "Cache-Control": "no-store"}  # pages with forms and cases
# What the buttons of a case do: its new state, and its verdict.
_ACTIONS: dict[str, tuple[str, str | None]] = {
    "acknowledge": ("acknowledged", None),
    "true positive": ("closed", "true positive"),
    "false positive": ("closed", "false positive"),
    "open": ("open", None),
}
_LARGEST_FORM = 16_384  # bytes


def may_edit(user: BaseUser) -> bool:
    """Return whether a user may change cases: the right to edit all DAGs, which Airflow's viewers do not have."""
    return bool(get_auth_manager().is_authorized_dag(method="PUT", user=user))


async def sent_form(request: Request) -> dict[str, str]:
    """Return the fields of a form that a browser sent. Raises HTTPException for one that is too large, or of another type."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise HTTPException(415, "not a form")
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _LARGEST_FORM:
            raise HTTPException(413, "the form is too large")
    try:
        return dict(parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=10))
    except ValueError:
        raise HTTPException(400, "not a form") from None


@app.get("/", response_class=HTMLResponse)
def overview_page(request: Request) -> HTMLResponse:
    """Return the page with the open cases, the latest alerts, the model, the ledger, the scorers and the reports."""
    from mlids import pipeline

    return _page(request, "overview", pipeline.overview())


@app.get("/cases", response_class=HTMLResponse)
def cases_page(request: Request, severity: str = "low", state: str = "not closed", host: str = "", page: str = "1") -> HTMLResponse:
    """Return a page of the cases that a filter chooses, the most severe first."""
    from mlids import pipeline

    if severity not in pipeline.SEVERITIES or state not in pipeline.STATES or not (page.isascii() and page.isdigit() and len(page) < 9):
        return _message(request, 400, "The address of this page has a filter that there is not.")
    return _page(request, "cases", pipeline.case_list(severity=severity, state=state, host=host, page=int(page)))


@app.get("/cases/{case_id}", response_class=HTMLResponse)
def case_page(request: Request, case_id: str, user: GetUserDep) -> HTMLResponse:
    """Return a case with all its evidence, and the form that changes its state for users who may."""
    from mlids import pipeline

    facts = pipeline.case_facts(case_id)
    if facts is None:
        return _message(request, 404, "There is no such case; a later gathering may have removed it.")
    token = form_token(_secret(), user.get_id(), case_id, time.time()) if may_edit(user) else None
    return _page(request, "case", {**facts, "token": token})


@app.post("/cases/{case_id}")
def judge(request: Request, case_id: str, user: GetUserDep, form: Annotated[dict[str, str], Depends(sent_form)]) -> Response:
    """Set the state of a case in the user's name, and show the case again.

    Refused: users who may not edit, forms of other sites, other users, other cases or some hours ago, and a form whose case
    was changed since it was shown.
    """
    from mlids import pipeline

    if not may_edit(user):
        return _message(request, 403, "You may read cases. Changing them needs the right to edit DAGs.")
    # Browsers say which site a form came from. The token decides; this refuses a page of the same user's that leaked one.
    if request.headers.get("sec-fetch-site", "same-origin") != "same-origin" or not is_valid(
        form.get("token", ""), _secret(), user.get_id(), case_id, time.time()
    ):
        return _message(request, 403, "This form is too old or not yours. Open the case again.", case_id)
    action = _ACTIONS.get(form.get("action", ""))
    if action is None:
        return _message(request, 400, "There is no such button.", case_id)
    facts = pipeline.case_facts(case_id)
    if facts is None:
        return _message(request, 404, "There is no such case; a later gathering may have removed it.")
    if form.get("seen", "") != (facts["case"]["state_at"] or ""):
        who = pipeline.safe(facts["case"]["who"])
        return _message(request, 409, f"{who} changed this case after you opened it. Open it again, and decide then.", case_id)
    state, verdict = action
    pipeline.judge_case(case_id, state, who=user.get_name(), verdict=verdict, note=form.get("note", "").strip() or None)
    return RedirectResponse(f"{_base(request)}cases/{case_id}", 303, headers=_PRIVATE)


@app.get("/api/overview")
def overview() -> dict:
    """Return the overview's content as JSON."""
    from mlids import pipeline

    return pipeline.overview()


@app.get("/reports/{name}")
def report(name: str) -> FileResponse:
    """Return a report."""
    from mlids import pipeline

    path = pipeline.report_file(name)
    if path is None:
        raise HTTPException(404, "no such report")
    # Evidently's pages contain scripts; the sandbox keeps them from the login session.
    policy = {"Content-Security-Policy": "sandbox allow-scripts"} if name.startswith("drift") else _HEADERS
    return FileResponse(path, headers={**policy, "X-Content-Type-Options": "nosniff"})


def _base(request: Request) -> str:
    # The UI shows the page in a frame under another address, so links start at the root.
    return str(request.scope.get("root_path", "")).rstrip("/") + "/"


def _secret() -> str:
    return get_signing_key("api", "secret_key")


def _page(request: Request, name: str, facts: dict[str, Any], status: int = 200) -> HTMLResponse:
    from mlids_airflow.render import render

    return HTMLResponse(render(name, _base(request), facts), status, headers=_PRIVATE)


def _message(request: Request, status: int, text: str, case_id: str | None = None) -> HTMLResponse:
    return _page(request, "message", {"text": text, "case_id": case_id}, status)
