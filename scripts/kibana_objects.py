"""Writes deploy/kibana/mlids.ndjson: dashboards compiled by `kb-dashboard` from YAML, and the data views and saved searches of objects.yaml.

`make kibana` runs it. The compiler is a tool of its own (`uv tool run`), which needs Python 3.12 or newer; no other part of mlids needs it.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "deploy" / "kibana"
TARGET = FOLDER / "mlids.ndjson"
SOURCES_DIGEST = FOLDER / "mlids.sources.sha256"
DATES = ("ts", "event.start", "event.end")
_VERSIONS = {"coreMigrationVersion": "8.8.0", "typeMigrationVersion": "8.0.0"}
_INDEX = "kibanaSavedObjectMeta.searchSourceJSON.index"


def sources_digest() -> str:
    """Return the SHA-256 of the YAML sources, by name: a test compares it with that of the last compilation."""
    found = hashlib.sha256()
    for path in sorted([*FOLDER.glob("dashboards/*.yaml"), FOLDER / "objects.yaml"]):
        found.update(f"{path.relative_to(FOLDER)}\0".encode() + path.read_bytes())
    return found.hexdigest()


def data_view(view: Mapping[str, str]) -> dict[str, Any]:
    """Return the saved object of a data view, which may have no index yet."""
    attributes = {
        "title": view["title"], "name": view["name"], "timeFieldName": view["time_field"], "allowNoIndex": True,
        "fields": "[]", "fieldFormatMap": "{}", "runtimeFieldMap": "{}", "sourceFilters": "[]",
    }  # fmt: skip
    return {"type": "index-pattern", "id": view["id"], "attributes": attributes, "references": [], **_VERSIONS}


def search(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the saved object of a saved search; its filters are shown as such in Discover."""
    pills = [_filter(f, n) for n, f in enumerate(found["filters"])]
    source = {"query": {"query": "", "language": "kuery"}, "filter": [pill for pill, _ in pills], "indexRefName": _INDEX}
    attributes = {
        "title": found["title"], "description": found["description"], "columns": found["columns"], "sort": [["ts", "desc"]],
        "grid": {}, "hideChart": False, "isTextBasedQuery": False, "timeRestore": False, "usesAdHocDataView": False,
        "kibanaSavedObjectMeta": {"searchSourceJSON": json.dumps(source)},
    }  # fmt: skip
    references = [{"name": name, "type": "index-pattern", "id": found["data_view"]} for name in (_INDEX, *(name for _, name in pills))]
    return {"type": "search", "id": found["id"], "attributes": attributes, "references": references, **_VERSIONS}


def _filter(wanted: Mapping[str, Any], n: int) -> tuple[dict[str, Any], str]:
    """Return a filter of Discover, and the name of its reference to the data view."""
    name, field = f"kibanaSavedObjectMeta.searchSourceJSON.filter[{n}].meta.index", wanted["field"]
    kind, params, query = "phrase", {}, {}
    if "at_least" in wanted:
        kind, params = "range", {"gte": wanted["at_least"]}
        query = {"range": {field: params}}
    else:
        value = wanted["not"] if "not" in wanted else wanted["is"]
        params, query = {"query": value}, {"match_phrase": {field: value}}
    meta = {
        "alias": None,
        "disabled": False,
        "negate": "not" in wanted,
        "type": kind,
        "key": field,
        "params": params,
        "indexRefName": name,
    }
    return {"$state": {"store": "appState"}, "meta": meta, "query": query}, name


def dashboards(compiler: list[str]) -> Iterator[dict[str, Any]]:
    """Yield the dashboards as the compiler makes them, by id."""
    with tempfile.TemporaryDirectory() as out:
        done = subprocess.run(
            [*compiler, "compile", "--input-dir", str(FOLDER / "dashboards"), "--output-dir", out, "--output-file", "all.ndjson"],
            check=False, capture_output=True, text=True,
        )  # fmt: skip
        made = Path(out, "all.ndjson")
        if done.returncode != 0 or not made.exists():
            raise SystemExit(done.stdout + done.stderr)
        yield from sorted((_with_dates(json.loads(line)) for line in made.read_text().splitlines()), key=lambda o: str(o["id"]))


def _with_dates(dashboard: dict[str, Any]) -> dict[str, Any]:
    """Return a dashboard whose earliest and latest times are dates: the compiler calls every minimum and maximum a number."""
    panels = json.loads(dashboard["attributes"]["panelsJSON"])
    for panel in panels:
        state = panel["embeddableConfig"].get("attributes", {}).get("state", {})
        for layer in state.get("datasourceStates", {}).get("formBased", {}).get("layers", {}).values():
            for column in layer["columns"].values():
                if column["operationType"] in ("min", "max") and column["sourceField"] in DATES:
                    column["dataType"] = "date"
    dashboard["attributes"]["panelsJSON"] = json.dumps(panels)
    return dashboard


def main(compiler: list[str]) -> None:
    """Write the file and the digest of its sources."""
    declared = yaml.safe_load((FOLDER / "objects.yaml").read_text())
    objects = [*map(data_view, declared["data_views"]), *map(search, declared["searches"]), *dashboards(compiler)]
    TARGET.write_text("".join(json.dumps(o, sort_keys=True, separators=(",", ":"), ensure_ascii=True) + "\n" for o in objects))
    SOURCES_DIGEST.write_text(sources_digest() + "\n")


if __name__ == "__main__":
    main(sys.argv[1:] or ["kb-dashboard"])
