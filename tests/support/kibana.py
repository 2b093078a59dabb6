"""A double of Kibana's HTTP API for tests: what its documentation and source promise of import, export and rules.

No Kibana can be had where the tests run: its package is in none of the registries that tests may use. The double therefore
refuses all that Kibana is known to refuse, so that a request that passes here is at least one of the documented form.
"""

from __future__ import annotations

import base64
import json
import re
import ssl
import threading
import uuid
from collections.abc import Callable
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

KEY = "a2V5OnNlY3JldA=="
LOGINS = (f"ApiKey {KEY}", "Basic " + base64.b64encode(b"elastic:right").decode())
LIMIT_BYTES = 25 << 20
# The newest migration of each type that Kibana 8.10 knows: it refuses objects of later ones.
MIGRATIONS = {"index-pattern": (8, 0, 0), "search": (8, 0, 0), "dashboard": (10, 2, 0)}
# Kibana follows references of these types only (REF_TYPES_TO_VALIDATE).
CHECKED = ("index-pattern", "search")
_DASHBOARD = {
    "title", "description", "kibanaSavedObjectMeta", "timeRestore", "timeFrom", "timeTo", "refreshInterval", "controlGroupInput", "panelsJSON",
    "optionsJSON", "hits", "version",
}  # fmt: skip
_RULE = {"name", "consumer", "rule_type_id", "tags", "enabled", "schedule", "params", "actions", "throttle", "notify_when", "alert_delay"}
_QUERY_PARAMS = {
    "searchType", "index", "timeField", "timeWindowSize", "timeWindowUnit", "esQuery", "size", "aggType", "aggField", "groupBy", "termField",
    "termSize", "thresholdComparator", "threshold", "excludeHitsFromPreviousRun",
}  # fmt: skip
Key = tuple[str, str]


class _Refused(Exception):
    def __init__(self, status: int, message: str, attributes: object = None) -> None:
        super().__init__(message)
        self.status, self.message, self.attributes = status, message, attributes


class KibanaDouble:
    """Serves on loopback while it is entered. `objects` and `rules` are what it holds, `denied` the paths
    that the key may not use; `accepts` says whether an Authorization header signs in. With a `certificate` (and its
    key beside it, as .key) it speaks HTTPS."""

    def __init__(
        self,
        space: str = "",
        accepts: Callable[[str], bool] = lambda authorization: authorization in LOGINS,
        certificate: Path | None = None,
    ) -> None:
        self.accepts = accepts
        self.objects: dict[Key, dict[str, Any]] = {}
        self.rules: dict[str, dict[str, Any]] = {}
        self.denied: set[str] = set()
        self.encryption_key = True
        self.requests: list[str] = []
        double, prefix = self, f"/s/{space}" if space else ""

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:  # the name is http.server's
                self._serve()

            do_GET = do_PUT = do_POST

            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                double.requests.append(f"{self.command} {self.path}")
                try:
                    status, kind, content = 200, "application/json", double.answer(self, prefix, body)
                    if isinstance(content, list):
                        kind, text = "application/ndjson", "\n".join(json.dumps(o) for o in content)
                    else:
                        text = json.dumps(content)
                except _Refused as refused:
                    status, kind = refused.status, "application/json"
                    found = {"statusCode": refused.status, "error": "…", "message": refused.message}
                    text = json.dumps(found | ({"attributes": refused.attributes} if refused.attributes else {}))
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *args: object) -> None:
                """Do nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, certificate.with_suffix(".key"))
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"http{'s' if certificate else ''}://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> KibanaDouble:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)

    def answer(self, request: BaseHTTPRequestHandler, prefix: str, body: bytes) -> Any:
        """Return the content of the answer to a request."""
        if not self.accepts(request.headers.get("authorization") or ""):
            raise _Refused(401, "unable to authenticate user")
        url = urlsplit(request.path)
        path = url.path.removeprefix(prefix)
        if not url.path.startswith(prefix) or path.startswith("/s/"):
            raise _Refused(404, "Not Found")
        if request.command != "GET" and not request.headers.get("kbn-xsrf"):
            raise _Refused(400, "Request must contain a kbn-xsrf header.")
        if any(path.startswith(d) for d in self.denied):
            raise _Refused(403, f"API [{request.command} {path}] is unauthorized for user")
        kind = request.headers.get("content-type") or ""
        if path == "/api/saved_objects/_import":
            return self._import(url.query, kind, body)
        if path == "/api/saved_objects/_export":
            return self._export(json.loads(body))
        if match := re.fullmatch(r"/api/alerting/rule/([^/]+)", path):
            return self._rule(request.command, match[1], body)
        raise _Refused(404, "Not Found")

    def _import(self, query: str, kind: str, body: bytes) -> dict[str, Any]:
        options = {name: values[-1] for name, values in parse_qs(query).items()}
        if set(options) - {"overwrite", "createNewCopies", "compatibilityMode"} or set(options.values()) - {"true", "false"}:
            raise _Refused(400, f"[request query]: {options}")
        if not kind.startswith("multipart/form-data"):
            raise _Refused(415, "Unsupported Media Type")
        if len(body) > LIMIT_BYTES:
            raise _Refused(413, "Payload content length greater than maximum allowed")
        objects = _uploaded(kind, body)
        keys = [(o["type"], o["id"]) for o in objects]
        twice = sorted({f"{t}:{i}" for t, i in keys if keys.count((t, i)) > 1})
        if twice:
            raise _Refused(400, f"Non-unique import objects detected: [{','.join(twice)}]")
        overwrite = options.get("overwrite") == "true"
        errors = [_failure(o, {"type": "unsupported_type"}) for o in objects if o["type"] not in MIGRATIONS]
        known = [o for o in objects if o["type"] in MIGRATIONS]
        for o in known:
            _check_attributes(o)
            missing = [r for r in _references(o) if r["type"] in CHECKED and (r["type"], r["id"]) not in {*keys, *self.objects}]
            if missing:
                errors.append(
                    _failure(o, {"type": "missing_references", "references": [{n: r[n] for n in ("type", "id")} for r in missing]})
                )
            elif (o["type"], o["id"]) in self.objects and not overwrite:
                errors.append(_failure(o, {"type": "conflict"}))
        failed = {(e["type"], e["id"]) for e in errors}
        made = [o for o in known if (o["type"], o["id"]) not in failed]
        results = [
            {"type": o["type"], "id": o["id"], "meta": {}} | ({"overwrite": True} if (o["type"], o["id"]) in self.objects else {})
            for o in made
        ]
        if not any(e["error"]["type"] in ("conflict", "missing_references") for e in errors):  # otherwise nothing at all is created
            self.objects |= {(o["type"], o["id"]): o for o in made}
        found: dict[str, Any] = {"success": not errors, "successCount": len(results), "warnings": []}
        return found | ({"successResults": results} if results else {}) | ({"errors": errors} if errors else {})

    def _export(self, asked: dict[str, Any]) -> list[dict[str, Any]]:
        if set(asked) - {"objects", "includeReferencesDeep", "excludeExportDetails", "type", "search", "hasReference"} or not asked.get(
            "objects"
        ):
            raise _Refused(400, "[request body]: expected objects")
        keys = [(o["type"], o["id"]) for o in asked["objects"]]
        lacking = [k for k in keys if k not in self.objects]
        if lacking:
            errors = [{"type": t, "id": i, "error": {"statusCode": 404, "message": "Not Found"}} for t, i in lacking]
            raise _Refused(400, "Error fetching objects to export", {"objects": errors})
        missing = {(r["type"], r["id"]) for k in keys for r in _references(self.objects[k])} - set(self.objects)
        details = {
            "exportedCount": len(keys),
            "missingRefCount": len(missing),
            "missingReferences": [{"type": t, "id": i} for t, i in missing],
        }
        return [*(self.objects[k] for k in keys), details]

    def _rule(self, method: str, name: str, body: bytes) -> dict[str, Any]:
        if method == "GET":
            if name not in self.rules:
                raise _Refused(404, f"Saved object [alert/{name}] not found")
            return self.rules[name]
        if uuid.UUID(name).version not in (1, 4):
            raise _Refused(
                400, "Predefined IDs are not allowed for saved objects with encrypted attributes unless the ID is a UUID v1 or v4"
            )
        if not self.encryption_key:
            raise _Refused(400, "Unable to create rules because the Encrypted Saved Objects plugin is missing encryption key")
        asked = json.loads(body)
        _check_rule(asked, method)
        if method == "POST":
            if name in self.rules:
                raise _Refused(409, f"Saved object [alert/{name}] conflict")
            self.rules[name] = {"id": name, "actions": [], "enabled": True} | asked
        else:
            self.rules[name] |= asked
        return self.rules[name]


def _uploaded(kind: str, body: bytes) -> list[dict[str, Any]]:
    """Return the saved objects of an upload."""
    parts = BytesParser().parsebytes(b"content-type: " + kind.encode() + b"\r\n\r\n" + body).get_payload()
    assert isinstance(parts, list)
    files = [p for p in parts if p.get_param("name", header="content-disposition") == "file"]  # type: ignore[union-attr]
    if len(parts) != 1 or not files:
        raise _Refused(400, "[request body.file]: expected value of type [Stream]")
    if not str(files[0].get_filename()).endswith(".ndjson"):  # type: ignore[union-attr]
        raise _Refused(400, "Invalid file extension")
    content = files[0].get_payload(decode=True)  # type: ignore[union-attr]
    assert isinstance(content, bytes)
    try:
        return [json.loads(line) for line in content.decode().splitlines() if line.strip()]
    except ValueError as error:
        raise _Refused(400, str(error)) from error


def _references(saved: dict[str, Any]) -> list[dict[str, str]]:
    found: list[dict[str, str]] = saved.get("references", [])
    return found


def _failure(saved: dict[str, Any], error: dict[str, Any]) -> dict[str, Any]:
    return {"type": saved["type"], "id": saved["id"], "meta": {"title": saved["attributes"].get("title")}, "error": error}


def _check_attributes(saved: dict[str, Any]) -> None:
    """Refuse an object that Kibana's schemas or migrations refuse."""
    kind, attributes = saved["type"], saved["attributes"]
    version = tuple(int(n) for n in saved["typeMigrationVersion"].split("."))
    if version > MIGRATIONS[kind]:
        raise _Refused(422, f'Document "{saved["id"]}" belongs to a more recent version of Kibana')
    names = [r["name"] for r in _references(saved)]
    if len(names) != len(set(names)):
        raise _Refused(400, f"{kind} {saved['id']}: two references have one name")
    if kind == "index-pattern":
        texts = [attributes[n] for n in ("fields", "fieldFormatMap", "runtimeFieldMap", "sourceFilters")]
    elif kind == "search":
        texts = [attributes["kibanaSavedObjectMeta"]["searchSourceJSON"]]
    else:
        if set(attributes) - _DASHBOARD:
            raise _Refused(400, f"dashboard: [{sorted(set(attributes) - _DASHBOARD)}]: definition for this key is missing")
        texts = [attributes["panelsJSON"], attributes["optionsJSON"], attributes["kibanaSavedObjectMeta"]["searchSourceJSON"]]
    for text in texts:
        json.loads(text)


def _check_rule(rule: dict[str, Any], method: str) -> None:
    allowed = _RULE - ({"consumer", "rule_type_id", "enabled"} if method == "PUT" else set())
    if extra := set(rule) - allowed:
        raise _Refused(400, f"[request body.{sorted(extra)[0]}]: definition for this key is missing")
    needed = {"name", "schedule", "params"} | ({"consumer", "rule_type_id"} if method == "POST" else set())
    if lacking := needed - set(rule):
        raise _Refused(400, f"[request body.{sorted(lacking)[0]}]: expected value")
    if method == "POST" and (rule["consumer"], rule["rule_type_id"]) != ("stackAlerts", ".es-query"):
        raise _Refused(400, "Rule type is not registered")
    if not re.fullmatch(r"[1-9]\d*[smhd]", rule["schedule"]["interval"]):
        raise _Refused(400, "[request body.schedule.interval]: string is not a valid duration")
    p = rule["params"]
    wrong = bool(set(p) - _QUERY_PARAMS) or p["searchType"] != "esQuery" or not p["index"] or not p["timeField"]
    wrong = wrong or "query" not in json.loads(p["esQuery"]) or not 0 <= p["size"] <= 10_000 or p["timeWindowUnit"] not in "smhd"
    wrong = wrong or (p["groupBy"] == "top" and not (p["termField"] and 1 <= p["termSize"] <= 1_000))
    wrong = wrong or p["thresholdComparator"] not in (">", ">=", "<", "<=", "between", "notBetween") or len(p["threshold"]) != 1
    if wrong:
        raise _Refused(400, "params invalid")
