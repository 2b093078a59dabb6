"""Models: versions side by side, and the forms that change which one is in production."""

from typing import Annotated

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, Response

from mlids_airflow.answers import back_to, message, page, refusal, sent_form, token_for

router = APIRouter()


@router.get("/models", response_class=HTMLResponse)
def models_page(request: Request, user: GetUserDep) -> HTMLResponse:
    """Return the versions, the gate's tables and the audit."""
    from mlids import pipeline

    facts = pipeline.model_list()
    tokens = {v["version"]: token_for(user, f"model {v['version']}") for v in facts["versions"]}
    return page(request, "models", {**facts, "tokens": tokens if all(tokens.values()) else {}})


@router.post("/models/{version}")
def move(request: Request, version: str, user: GetUserDep, form: Annotated[dict[str, str], Depends(sent_form)]) -> Response:
    """Roll back to a version that was in production, or let the gate decide on one; with a reason, in the user's name."""
    from mlids import pipeline

    if (refused := refusal(request, user, form, f"model {version}", "models")) is not None:
        return refused
    why, action = form.get("why", "").strip()[:400], form.get("action")
    facts = pipeline.model_list()
    chosen = next((v for v in facts["versions"] if v["version"] == version), None)
    if chosen is None or action not in ("rollback", "promote") or not chosen["served" if action == "rollback" else "snapshot"]:
        return message(request, 400, "There is no such version to go to.", "models")
    if not why:
        return message(request, 400, "Say why: the audit keeps it.", "models")
    if form.get("seen", "") != ((facts["production"] or {}).get("version") or ""):
        return message(request, 409, "Another version came into production after you opened this page. Open it again.", "models")
    if action == "rollback":
        pipeline.rollback(to=version, why=why, who=user.get_name())
        return back_to(request, "models")
    decided = pipeline.evaluate_and_promote(version, chosen["snapshot"], who=user.get_name(), reason=why)
    said = "is in production" if decided["promoted"] else "was refused"
    return message(request, 200, f"Version {version} {said}: {decided['why']}", "models")
