"""The page: read-only, for signed-in users. Jinja escapes log contents."""

from airflow.api_fastapi.auth.managers.models.resource_details import AccessView
from airflow.api_fastapi.core_api.security import requires_access_view
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import FileResponse, HTMLResponse

# An app mounted by a plugin is public unless it requires a login itself.
app = FastAPI(
    title="mlids", docs_url=None, redoc_url=None, openapi_url=None,
    dependencies=[Depends(requires_access_view(AccessView.PLUGINS))],
)  # fmt: skip

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}


@app.get("/", response_class=HTMLResponse)
def page(request: Request) -> HTMLResponse:
    """Return the page with the latest alerts, the model, the ledger, the scorers and the reports."""
    from mlids import pipeline
    from mlids_airflow.render import render

    # The UI shows the page in a frame under another address, so links start at the root.
    base = request.scope.get("root_path", "").rstrip("/") + "/"
    return HTMLResponse(render(base, pipeline.overview()), headers=_HEADERS)


@app.get("/api/overview")
def overview() -> dict:
    """Return the page's content as JSON."""
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
