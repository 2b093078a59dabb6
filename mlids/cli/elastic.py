"""`mlids elastic`: prepare Elasticsearch for alerts, and send it those of the store."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from mlids.cli.options import Json, needs_home
from mlids.cli.output import Progress, safe, show

app = typer.Typer(
    help="Prepare Elasticsearch for alerts with an admin's credential, and send it alerts of the store and pipeline health.",
    no_args_is_help=True,
)
_PLACE = "MLIDS_ELASTIC_API_KEY, or the file mlids_elastic_api_key of MLIDS_SECRETS_DIR"


@app.command()
def install(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the requests (method, path, JSON), and send nothing.")] = False,
    append_only: Annotated[
        bool, typer.Option("--append-only", help="The writer may not replace what is stored; counts of alerts and cases do not grow there.")
    ] = False,
    key: Annotated[bool, typer.Option("--key/--no-key", help="Make the writer's API key when it has none.")] = True,
    new_key: Annotated[bool, typer.Option("--new-key", help="Make another API key for the writer, though it has one.")] = False,
    as_json: Json = False,
) -> None:
    """Put lifecycle policy, templates, roles and the writer's API key into Elasticsearch; running it again changes nothing.

    The admin's credential is read from MLIDS_ELASTIC_ADMIN_USER and MLIDS_ELASTIC_ADMIN_PASSWORD (or …_PASSWORD_FILE), or from
    MLIDS_ELASTIC_ADMIN_API_KEY. A new API key is printed once and stored nowhere.
    """
    from mlids import pipeline

    if new_key and not key:
        raise typer.BadParameter("give --new-key or --no-key, not both")
    make_key = True if new_key else None if key else False
    if dry_run:
        requests = pipeline.elastic_requests(append_only=append_only, make_key=make_key)
        if as_json:
            show(requests, True)
            return
        print("\n\n".join(f"{r['method']} {r['path']}\n{json.dumps(r['body'], indent=1)}" for r in requests))
        return
    found = pipeline.elastic_install(append_only=append_only, make_key=make_key)
    if as_json:
        show(found, True)
        return
    for part in found["parts"]:
        print(f"{safe(part['name'])}: {safe(part['done'])}")
    if found["key"]:
        print(f"The key is shown this once; it belongs into {_PLACE}:\n{found['key']}")


@app.command()
def backfill(
    since: Annotated[str, typer.Option(help="First day (UTC) whose alerts and cases are sent, YYYY-MM-DD.")],
    as_json: Json = False,
) -> None:
    """Send stored alerts and cases that Elasticsearch lacks; those it has stay as they are. Exit code 1 when some are refused."""
    from mlids import pipeline

    with Progress() as progress:
        found = pipeline.elastic_backfill(since, progress)
    if as_json:
        show(found, True)
    else:
        for name in ("alerts", "cases"):
            n = found[name]
            print(f"{name}: {n['created']:,} created, {n['there']:,} there already, {n['refused']:,} refused")
        for reason in found["reasons"]:
            print(f"  {safe(reason)}")
    if found["reasons"]:
        raise typer.Exit(1)


@app.command()
@needs_home
def health(as_json: Json = False) -> None:
    """Send what the pipeline says of itself: scorers, ledger days, model, drift. `mlids serve` and the DAGs do so by themselves."""
    from mlids import pipeline

    done = pipeline.send_health()
    show(done, as_json)
    if done["reason"]:
        raise typer.Exit(1)
