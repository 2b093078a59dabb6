"""What Kibana's panels ask of Elasticsearch: the fields and the aggregations of the saved objects, for a check against a real node."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

RECORDS = "___records___"
_NUMBERS = frozenset(["double", "float", "half_float", "scaled_float", "long", "integer", "short", "byte", "unsigned_long"])
_DATES = frozenset({"date", "date_nanos"})
# By operation the types of fields that it takes; none: any that is aggregatable.
TAKES: dict[str, frozenset[str]] = {
    "terms": frozenset(), "unique_count": frozenset(), "range": _NUMBERS, "date_histogram": _DATES, "sum": _NUMBERS, "average": _NUMBERS,
    "median": _NUMBERS, "max": _NUMBERS | _DATES, "min": _NUMBERS | _DATES,
}  # fmt: skip
_METRICS = {"sum": "sum", "average": "avg", "max": "max", "min": "min", "unique_count": "cardinality"}


@dataclass(frozen=True)
class Panel:
    """One panel with a Lens chart: the index pattern that it reads, its kind and place, its query and its columns in their order."""

    dashboard: str
    title: str
    pattern: str
    kind: str
    grid: dict[str, int]
    query: dict[str, Any]
    columns: dict[str, dict[str, Any]]

    def fields(self) -> Iterator[tuple[str, str]]:
        """Yield each field with the operation that reads it."""
        for column in self.columns.values():
            if column.get("sourceField") not in (None, RECORDS):
                yield column["sourceField"], column["operationType"]

    def aggregations(self) -> dict[str, Any]:
        """Return the aggregations that Lens sends: each bucket within the one before it, the metrics within the last."""
        metrics = {i: _metric(c) for i, c in self.columns.items() if not c["isBucketed"] and c["operationType"] != "count"}
        inner: dict[str, Any] = metrics
        for i, column in reversed([(i, c) for i, c in self.columns.items() if c["isBucketed"]]):
            ordering = _ordering(column)
            inner = {i: _bucket(column) | {"aggs": inner | ({ordering: metrics[ordering]} if ordering in metrics else {})}}
        return inner


def read(path: Any) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the saved objects of a file by type and id."""
    return {(o["type"], o["id"]): o for o in map(json.loads, path.read_text().splitlines())}


def panels(objects: Mapping[tuple[str, str], Mapping[str, Any]]) -> Iterator[Panel]:
    """Yield the Lens panels of all dashboards."""
    for (kind, name), o in objects.items():
        if kind != "dashboard":
            continue
        names = {r["name"]: r for r in o["references"]}
        for p in json.loads(o["attributes"]["panelsJSON"]):
            if p["type"] != "lens":
                continue
            attributes = p["embeddableConfig"]["attributes"]
            state = attributes["state"]
            for layer, content in state["datasourceStates"]["formBased"]["layers"].items():
                ref = names[f"{p['panelIndex']}:indexpattern-datasource-layer-{layer}"]
                pattern = objects[ref["type"], ref["id"]]["attributes"]["title"]
                assert set(content["columnOrder"]) == set(content["columns"])
                columns = {i: content["columns"][i] for i in content["columnOrder"]}
                kind, grid = attributes["visualizationType"], {n: p["gridData"][n] for n in "xywh"}
                yield Panel(name, attributes["title"], pattern, kind, grid, lucene(state["query"]), columns)


def controls(objects: Mapping[tuple[str, str], Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield the index pattern and the field of each control of the dashboards."""
    for (kind, _), o in objects.items():
        if kind == "dashboard":
            for control in json.loads(o["attributes"]["controlGroupInput"]["panelsJSON"]).values():
                view = control["explicitInput"]
                yield objects["index-pattern", view["dataViewId"]]["attributes"]["title"], view["fieldName"]


def searches(objects: Mapping[tuple[str, str], Mapping[str, Any]]) -> Iterator[tuple[str, str, list[str], dict[str, Any]]]:
    """Yield name, index pattern, fields and query of each saved search."""
    for (kind, name), o in objects.items():
        if kind == "search":
            source = json.loads(o["attributes"]["kibanaSavedObjectMeta"]["searchSourceJSON"])
            must = [f["query"] for f in source["filter"] if not f["meta"]["negate"]]
            must_not = [f["query"] for f in source["filter"] if f["meta"]["negate"]]
            fields = [*o["attributes"]["columns"], *(f["meta"]["key"] for f in source["filter"]), "ts"]
            pattern = objects["index-pattern", o["references"][0]["id"]]["attributes"]["title"]
            yield name, pattern, fields, {"bool": {"filter": must, "must_not": must_not}}


def lucene(query: Mapping[str, str]) -> dict[str, Any]:
    """Return the query that Kibana makes of a text in Lucene's language; other languages are not used."""
    if not query["query"]:
        return {"match_all": {}}
    assert query["language"] == "lucene"
    return {"query_string": {"query": query["query"], "analyze_wildcard": True}}


def _ordering(column: Mapping[str, Any]) -> str:
    order = column["params"].get("orderBy", {})
    return str(order.get("columnId", ""))


def _bucket(column: Mapping[str, Any]) -> dict[str, Any]:
    kind, params, field = column["operationType"], column["params"], column.get("sourceField")
    if kind == "terms":
        return {"terms": {"field": field, "size": params["size"]}}
    if kind == "date_histogram":
        return {"date_histogram": {"field": field, "fixed_interval": "1h" if params["interval"] == "auto" else params["interval"]}}
    if kind == "filters":
        return {"filters": {"filters": {f["label"]: lucene(f["input"]) for f in params["filters"]}}}
    assert kind == "range" and params["type"] == "range", kind
    return {"range": {"field": field, "ranges": [{"key": r["label"], "from": r["from"], "to": r["to"]} for r in params["ranges"]]}}


def _metric(column: Mapping[str, Any]) -> dict[str, Any]:
    return {_METRICS[column["operationType"]]: {"field": column["sourceField"]}}
