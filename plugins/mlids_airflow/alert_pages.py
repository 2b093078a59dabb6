"""Alerts: the list, one alert with its rows, its verdict, and a rule that suppresses such alerts."""

import json
from typing import Annotated, Any

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, Response

from mlids_airflow.answers import back_to, message, page, page_number, part, refusal, sent_form, token_for

router = APIRouter()
_GONE = "There is no such alert; it may have been removed as too old."
_FILTER = ("search", "src", "kind", "since", "hour", "sort")
_RULE = ("kind", "sensor", "src", "dst", "port", "days", "why")


@router.get("/alerts", response_class=HTMLResponse)
def alerts_page(request: Request) -> HTMLResponse:
    """Return a page of the alerts that a filter chooses."""
    from mlids import pipeline

    asked = request.query_params
    number, wanted = page_number(asked.get("page", "1")), {name: asked[name].strip() for name in _FILTER if asked.get(name)}
    try:
        risk = float(asked.get("min_risk") or 0)
    except ValueError:
        risk = -1.0
    if number is None:
        return message(request, 400, "The address of this page has a page that there is not.", "alerts")
    try:
        return page(request, "alerts", pipeline.alert_list(**wanted, min_risk=risk, unjudged=asked.get("unjudged") == "yes", page=number))
    except pipeline.InputError as error:
        return message(request, 400, str(error), "alerts")


@router.get("/alerts/{alert_id}", response_class=HTMLResponse)
def alert_page(request: Request, alert_id: str, user: GetUserDep) -> HTMLResponse:
    """Return an alert, and the forms that change something for users who may."""
    from mlids import pipeline

    facts = pipeline.alert_facts(alert_id)
    if facts is None:
        return message(request, 404, _GONE, "alerts")
    return page(request, "alert", {**facts, "token": token_for(user, f"alert {alert_id}")})


@router.get("/alerts/{alert_id}/rows", response_class=HTMLResponse)
def rows(request: Request, alert_id: str) -> HTMLResponse:
    """Return the rows of an alert from the lake."""
    from mlids import pipeline

    facts = pipeline.alert_rows(alert_id)
    return part(request, "rows", "Rows of the alert", facts) if facts is not None else message(request, 404, _GONE, "alerts")


@router.post("/alerts/{alert_id}")
def judge(request: Request, alert_id: str, user: GetUserDep, form: Annotated[dict[str, str], Depends(sent_form)]) -> Response:
    """Store a verdict in the user's name, and show the alert again; a form whose alert got another verdict meanwhile is refused."""
    from mlids import pipeline

    back = f"alerts/{alert_id}"
    if (refused := refusal(request, user, form, f"alert {alert_id}", back)) is not None:
        return refused
    if form.get("action") not in pipeline.VERDICTS:
        return message(request, 400, "There is no such button.", back)
    facts = pipeline.alert_facts(alert_id)
    if facts is None:
        return message(request, 404, _GONE, "alerts")
    judged = facts["judged"]
    if form.get("seen", "") != (judged["at"] if judged else ""):
        return message(
            request, 409, f"{judged['who'] if judged else 'Somebody'} judged this alert after you opened it. Open it again.", back
        )
    pipeline.give_verdict(alert_id, form["action"], who=user.get_name(), note=form.get("note", "").strip()[:2_000] or None)
    return back_to(request, back)


@router.post("/alerts/{alert_id}/suppress")
def suppress(request: Request, alert_id: str, user: GetUserDep, form: Annotated[dict[str, str], Depends(sent_form)]) -> Response:
    """Show what a rule would have hidden; store it with the token that only that answer has, which is for the same conditions alone."""
    from mlids import pipeline

    back, storing = f"alerts/{alert_id}", form.get("action") == "store"
    given = {name: form.get(name, "").strip() for name in _RULE}
    seen = f"rule {alert_id} {json.dumps(given)}"
    if (refused := refusal(request, user, form, seen if storing else f"alert {alert_id}", back)) is not None:
        return refused
    try:
        rule = pipeline.suppress(**_conditions(given), who=user.get_name(), dry_run=not storing)
    except (pipeline.InputError, ValueError) as error:
        return message(request, 400, str(error), back)
    if storing:
        return message(
            request,
            200,
            f"Rule {rule['rule']} is stored in your name. It hides {rule['coverage']['covered']:,} alerts of the last days; `mlids alerts unsuppress {rule['rule']}` ends it.",
            "alerts",
        )
    facts = {"rule": rule, "form": given, "alert_id": alert_id, "token": token_for(user, seen), "covered_days": pipeline.COVERED_DAYS}
    return page(request, "suppress", facts)


def _conditions(given: dict[str, str]) -> dict[str, Any]:
    """Return what `suppress` takes. Raises ValueError with a sentence for a field that is wrong."""
    for name, words in (("port", "The port"), ("days", "The number of days")):
        if given[name] and not (given[name].isascii() and given[name].isdigit() and len(given[name]) < 6):
            raise ValueError(f"{words} is not a number.")
    if not given["why"]:
        raise ValueError("Say why: the rule's history keeps it.")
    if given["days"] == "0":
        raise ValueError("The number of days is 0; leave it empty for a rule without an end.")
    texts: dict[str, Any] = {name: given[name] or None for name in ("kind", "sensor", "src", "dst")}
    return texts | {
        "port": int(given["port"]) if given["port"] else None,
        "days": float(given["days"]) if given["days"] else None,
        "why": given["why"][:400],
    }
