"""Cases: the list, and one case with its rows and its state."""

from typing import Annotated

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, Response

from mlids_airflow.answers import back_to, message, page, page_number, part, refusal, sent_form, token_for

router = APIRouter()
# What the buttons of a case do: its new state, and its verdict.
_ACTIONS: dict[str, tuple[str, str | None]] = {
    "acknowledge": ("acknowledged", None),
    "true positive": ("closed", "true positive"),
    "false positive": ("closed", "false positive"),
    "open": ("open", None),
}
_GONE = "There is no such case; a later gathering may have removed it."


@router.get("/cases", response_class=HTMLResponse)
def cases_page(request: Request, severity: str = "low", state: str = "not closed", host: str = "") -> HTMLResponse:
    """Return a page of the cases that a filter chooses, the most severe first."""
    from mlids import pipeline

    number = page_number(request.query_params.get("page", "1"))
    if severity not in pipeline.SEVERITIES or state not in pipeline.STATES or number is None:
        return message(request, 400, "The address of this page has a filter that there is not.")
    return page(request, "cases", pipeline.case_list(severity=severity, state=state, host=host, page=number))


@router.get("/cases/{case_id}", response_class=HTMLResponse)
def case_page(request: Request, case_id: str, user: GetUserDep) -> HTMLResponse:
    """Return a case with all its evidence, and the form that changes its state for users who may."""
    from mlids import pipeline

    facts = pipeline.case_facts(case_id)
    if facts is None:
        return message(request, 404, _GONE)
    return page(request, "case", {**facts, "token": token_for(user, case_id)})


@router.get("/cases/{case_id}/rows", response_class=HTMLResponse)
def rows(request: Request, case_id: str) -> HTMLResponse:
    """Return the rows of a case from the lake."""
    from mlids import pipeline

    facts = pipeline.case_rows(case_id)
    return part(request, "rows", "Rows of the case", facts) if facts is not None else message(request, 404, _GONE)


@router.post("/cases/{case_id}")
def judge(request: Request, case_id: str, user: GetUserDep, form: Annotated[dict[str, str], Depends(sent_form)]) -> Response:
    """Set the state of a case in the user's name, and show the case again; a form whose case was changed since it was shown is refused."""
    from mlids import pipeline

    back = f"cases/{case_id}"
    if (refused := refusal(request, user, form, case_id, back)) is not None:
        return refused
    action = _ACTIONS.get(form.get("action", ""))
    if action is None:
        return message(request, 400, "There is no such button.", back)
    facts = pipeline.case_facts(case_id)
    if facts is None:
        return message(request, 404, _GONE)
    if form.get("seen", "") != (facts["case"]["state_at"] or ""):
        who = pipeline.safe(facts["case"]["who"])
        return message(request, 409, f"{who} changed this case after you opened it. Open it again, and decide then.", back)
    state, verdict = action
    pipeline.judge_case(case_id, state, who=user.get_name(), verdict=verdict, note=form.get("note", "").strip() or None)
    return back_to(request, back)
