"""Imports the saved objects of mlids into Kibana and makes the rule, and says what is there."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlids.alerts.elastic.templates import health_prefix, pattern
from mlids.alerts.kibana.client import KibanaClient
from mlids.errors import DeniedError, StackError, StoreError
from mlids.text import short

SavedObject = dict[str, Any]

FILE, RULE = "mlids.ndjson", "rule.json"
# Raised with every change of the saved objects, in their descriptions too: an installation of an older version is recognized by it.
VERSION_WORDS = "Version 1 of mlids' saved objects."
_ALERTS, _HEALTH = "mlids", "mlids-health"  # the ids of the data views
_MEND = "`mlids kibana install --overwrite` replaces it, with what was changed in Kibana"
# Fields of a rule that an update may not hold.
_FIXED = ("id", "consumer", "rule_type_id", "enabled")


@dataclass(frozen=True)
class Part:
    """One saved object, or the rule, and what became of it or is wrong with it."""

    name: str
    well: bool
    done: str


@dataclass(frozen=True)
class Objects:
    """What is installed: the saved objects and the rule, for the indices of one prefix."""

    saved: list[SavedObject]
    rule: dict[str, Any]

    def dangling(self) -> list[Part]:
        """Return the objects with references to what is not among them; there are none unless the file was changed."""
        held = {(o["type"], o["id"]) for o in self.saved}
        missing = [(o, [r for r in o["references"] if (r["type"], r["id"]) not in held]) for o in self.saved]
        return [Part(name_of(o), False, _missing(refs)) for o, refs in missing if refs]


def read_objects(folder: Path, prefix: str) -> Objects:
    """Return the saved objects and the rule of a folder, with the index patterns of a prefix. Raises StackError when a file is damaged."""
    try:
        saved = [json.loads(line) for line in (folder / FILE).read_text(encoding="utf-8").splitlines()]
        rule = json.loads((folder / RULE).read_text(encoding="utf-8"))
        titles = {_ALERTS: pattern(prefix), _HEALTH: pattern(health_prefix(prefix))}
        for o in saved:
            if o["type"] == "index-pattern":
                o["attributes"]["title"] = titles[o["id"]]
        rule["params"]["index"] = [pattern(prefix)]
    except (OSError, ValueError, KeyError) as error:
        raise StackError(f"{folder}: the saved objects cannot be read: {error}; install mlids again") from error
    return Objects(saved, rule)


def name_of(saved: Mapping[str, Any]) -> str:
    """Return the name of a saved object for people: its type as Kibana calls it, and its title."""
    kind = {"index-pattern": "data view", "search": "saved search"}.get(saved["type"], saved["type"])
    return f"{kind} {short(saved.get('attributes', {}).get('title') or saved['id'], 100)}"


def install(client: KibanaClient, objects: Objects, *, overwrite: bool = False, with_rule: bool = True) -> list[Part]:
    """Import the saved objects and make the rule; return what became of each.

    Without `overwrite`, what is there is a conflict, and Kibana then imports none of the saved objects. Raises DeniedError when the
    login is refused, and StoreError when Kibana refuses the import as a whole.
    """
    dangling = objects.dangling()
    if dangling:
        return dangling
    data = "".join(json.dumps(o) + "\n" for o in objects.saved).encode()
    answer = client.ask("POST", f"/api/saved_objects/_import?overwrite={str(overwrite).lower()}", file=(FILE, data)).body
    parts = _imported(objects.saved, answer)
    return [*parts, _put_rule(client, objects.rule, overwrite)] if with_rule else parts


def _imported(saved: Sequence[SavedObject], answer: Mapping[str, Any]) -> list[Part]:
    """Return a part for each saved object from the answer to an import. Raises StoreError for an answer that is none."""
    if not isinstance(answer.get("success"), bool):
        raise StoreError(f"Kibana's answer to the import says neither success nor failure: {short(answer, 300)}")
    errors = {(e.get("type"), e.get("id")): e.get("error") or {} for e in answer.get("errors") or []}
    replaced = {(r.get("type"), r.get("id")) for r in answer.get("successResults") or [] if r.get("overwrite")}
    none_made = any(e.get("type") in ("conflict", "ambiguous_conflict", "missing_references") for e in errors.values())
    parts = []
    for o in saved:
        key = (o["type"], o["id"])
        if key in errors:
            parts.append(Part(name_of(o), False, _failure(errors[key])))
        elif none_made:
            parts.append(Part(name_of(o), False, "not imported, because others were refused"))
        else:
            parts.append(Part(name_of(o), True, "overwritten" if key in replaced else "imported"))
    if not answer["success"] and not errors:
        raise StoreError(f"Kibana says that the import failed, and not why: {short(answer, 300)}")
    return parts


def _failure(error: Mapping[str, Any]) -> str:
    kind = short(error.get("type", "unknown"), 40)
    if kind in ("conflict", "ambiguous_conflict"):
        return f"{kind}: it is there already; {_MEND}"
    if kind == "missing_references":
        return _missing(error.get("references") or [])
    if kind == "unsupported_type":
        return "unsupported_type: this Kibana does not know it; is it 8.10 or newer?"
    return f"{kind}: {short(error.get('message', ''), 300)}"


def _missing(references: Sequence[Mapping[str, Any]]) -> str:
    names = ", ".join(dict.fromkeys(f"{short(r.get('type'), 40)} {short(r.get('id'), 100)}" for r in references))
    return f"missing_references: {names} is not there; `mlids kibana install --overwrite` brings all of them"


def _put_rule(client: KibanaClient, rule: Mapping[str, Any], overwrite: bool) -> Part:
    """Make the rule, or replace it; a refusal is the rule's alone, as the dashboards are of use without it."""
    name, path = f"rule {rule['name']}", f"/api/alerting/rule/{rule['id']}"
    try:
        made = client.ask("POST", path, {n: v for n, v in rule.items() if n != "id"}, passes=(409,))
        if made.status != 409:
            return Part(name, True, "made")
        if not overwrite:
            return Part(name, False, f"conflict: it is there already; {_MEND}")
        held = client.ask("GET", path).body
        update = {n: v for n, v in rule.items() if n not in _FIXED} | {"actions": held.get("actions", [])}
        client.ask("PUT", path, update)
    except DeniedError as error:
        return Part(name, False, f"refused: {error}")
    except StoreError as error:
        return Part(name, False, f"refused: {error}; rules need xpack.encryptedSavedObjects.encryptionKey in kibana.yml")
    return Part(name, True, "overwritten; its actions stay")


def check(client: KibanaClient, objects: Objects) -> list[Part]:
    """Return for each saved object and the rule whether it is there, of this version, and refers to nothing that is missing. Nothing is written."""
    dangling = objects.dangling()
    if dangling:
        return dangling
    wanted = [{"type": o["type"], "id": o["id"]} for o in objects.saved]
    lacking: set[tuple[str, str]] = set()
    found = client.ask("POST", "/api/saved_objects/_export", _export(wanted), passes=(400,))
    if found.status == 400:
        lacking = _not_found(found.body)
        wanted = [w for w in wanted if (w["type"], w["id"]) not in lacking]
        found = client.ask("POST", "/api/saved_objects/_export", _export(wanted)) if wanted else found
    held = {(o["type"], o["id"]): o for o in found.objects if isinstance(o, dict) and "attributes" in o and "type" in o}
    details = next((o for o in found.objects if isinstance(o, dict) and "missingReferences" in o), {})
    gone = {(r["type"], r["id"]) for r in details.get("missingReferences", [])} | lacking
    return [*(_judged(o, held.get((o["type"], o["id"])), gone) for o in objects.saved), _rule_there(client, objects.rule)]


def _export(objects: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    return {"objects": list(objects), "includeReferencesDeep": True, "excludeExportDetails": False}


def _not_found(body: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Return the objects that Kibana has not, from its refusal to export them. Raises StoreError for another refusal."""
    refused = (body.get("attributes") or {}).get("objects") or []
    missing = {(o["type"], o["id"]) for o in refused if (o.get("error") or {}).get("statusCode") == 404}
    if not missing or len(missing) < len(refused):
        raise StoreError(f"Kibana refuses to show the saved objects: {short(body.get('message', body), 300)}")
    return missing


def _judged(wanted: SavedObject, held: SavedObject | None, gone: set[tuple[str, str]]) -> Part:
    name = name_of(wanted)
    if held is None:
        return Part(name, False, "not there; run `mlids kibana install`")
    refs = [r for r in held.get("references", []) if (r["type"], r["id"]) in gone]
    if refs:
        return Part(name, False, _missing(refs))
    attributes = held["attributes"]
    if wanted["type"] == "index-pattern":
        title = attributes.get("title")
        if title != wanted["attributes"]["title"]:
            return Part(name, False, f"conflict: its pattern is {short(title, 100)}; {_MEND}")
    elif VERSION_WORDS not in str(attributes.get("description")):
        return Part(name, False, f"conflict: it is not of this version of mlids; {_MEND}")
    return Part(name, True, "there")


def _rule_there(client: KibanaClient, rule: Mapping[str, Any]) -> Part:
    name = f"rule {rule['name']}"
    try:
        found = client.ask("GET", f"/api/alerting/rule/{rule['id']}", passes=(404,))
    except StoreError as error:
        return Part(name, False, f"refused: {error}")
    if found.status == 404:
        return Part(name, False, "not there; run `mlids kibana install`")
    return Part(name, True, "there" if found.body.get("enabled") else "there, and switched off")
