"""The pages for signed-in users inside the Airflow UI. Jinja escapes log contents."""

from collections.abc import Awaitable, Callable
from typing import Any

from airflow.api_fastapi.auth.managers.models.resource_details import AccessView
from airflow.api_fastapi.core_api.security import requires_access_view
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import FileResponse, HTMLResponse, Response

from mlids_airflow import alert_pages, case_pages, model_pages
from mlids_airflow.answers import base_of, message, page, part

# An app mounted by a plugin is public unless it requires a login itself.
app = FastAPI(
    title="mlids", docs_url=None, redoc_url=None, openapi_url=None,
    dependencies=[Depends(requires_access_view(AccessView.PLUGINS))],
)  # fmt: skip
for pages in (case_pages, alert_pages, model_pages):
    app.include_router(pages.router)

# A report is one file: what it shows is inside of it.
_REPORT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"


@app.middleware("http")
async def faults(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
    """Show a fault of a store, the registry or the settings as a sentence."""
    try:
        return await answer(request)
    except Exception as error:
        from mlids import pipeline

        if not isinstance(error, pipeline.MlidsError):
            raise
        return message(request, 503, pipeline.redact(str(error)))


@app.get("/", response_class=HTMLResponse)
def overview_page(request: Request) -> HTMLResponse:
    """Return the page with the open cases, what is scored now, and the alerts with the highest risk."""
    from mlids import pipeline

    return page(request, "overview", pipeline.overview_page())


@app.get("/week", response_class=HTMLResponse)
def week(request: Request) -> HTMLResponse:
    """Return the charts of the week."""
    from mlids import pipeline

    return part(request, "week", "The week", pipeline.week_charts(base_of(request)))


@app.get("/model", response_class=HTMLResponse)
def model(request: Request) -> HTMLResponse:
    """Return what the registry says of the model in production: an alias that was moved without the audit is a fault."""
    from mlids import pipeline

    return part(request, "model", "The model in production", {"model": pipeline.model_in_production()})


@app.get("/hosts", response_class=HTMLResponse)
def hosts_page(request: Request) -> HTMLResponse:
    """Return the hosts with the highest risk, and those that moved."""
    from mlids import pipeline

    return page(request, "hosts", pipeline.host_list())


@app.get("/hosts/{address}", response_class=HTMLResponse)
def host_page(request: Request, address: str) -> HTMLResponse:
    """Return a host's cases and alerts."""
    from mlids import pipeline

    facts = pipeline.host_facts(address)
    return page(request, "host", facts) if facts is not None else message(request, 404, "This is no address of a host.", "hosts")


@app.get("/hosts/{address}/profile", response_class=HTMLResponse)
def host_profile(request: Request, address: str) -> HTMLResponse:
    """Return what a host does in an hour, from the lake."""
    from mlids import pipeline

    if pipeline.host_facts(address) is None:
        return message(request, 404, "This is no address of a host.", "hosts")
    return part(request, "profile", "Profile of the host", pipeline.host_profile(address))


@app.get("/health", response_class=HTMLResponse)
def health_page(request: Request) -> HTMLResponse:
    """Return the page about scorers, ledger, sinks and drift."""
    from mlids import pipeline

    return page(request, "health", pipeline.health_facts())


@app.get("/api/overview")
def overview() -> dict[str, Any]:
    """Return the state of alerts, model, ledger and scorers as JSON."""
    from mlids import pipeline

    return pipeline.overview()


@app.get("/reports", response_class=HTMLResponse)
def reports_page(request: Request) -> HTMLResponse:
    """Return the list of reports."""
    from mlids import pipeline

    return page(request, "reports", {"reports": pipeline.report_list()})


@app.get("/reports/{name}/read", response_class=HTMLResponse)
def reader(request: Request, name: str) -> HTMLResponse:
    """Return a report below a line that leads back."""
    from mlids import pipeline

    if pipeline.report_file(name) is None:
        return message(request, 404, "There is no such report; it may have been removed as too old.", "reports")
    return page(request, "reader", {"name": name})


@app.get("/reports/{name}")
def report(name: str) -> FileResponse:
    """Return a report's file."""
    from mlids import pipeline

    path = pipeline.report_file(name)
    if path is None:
        raise HTTPException(404, "no such report")
    # Evidently's pages contain scripts; the sandbox keeps them from the login session. A PDF is shown by the browser's own viewer.
    policy = "sandbox allow-scripts" if name.startswith("drift") else "frame-ancestors 'self'" if path.suffix == ".pdf" else _REPORT_POLICY
    sent = {"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff"}
    return FileResponse(path, headers=sent, content_disposition_type="inline", filename=name)
