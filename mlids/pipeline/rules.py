"""Suppression rules as analysts make them: how much one would hide, adding and ending them, their history."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlids.errors import InputError, os_fault
from mlids.pipeline.alerts import find_alert, kinds_of
from mlids.pipeline.stores import open_stores
from mlids.settings import Settings, load_settings
from mlids.text import no_formula

if TYPE_CHECKING:
    from mlids.alerts.stores.alerts import Coverage

COVERED_DAYS = 7
_SHOWN = ("kind", "sensor", "src", "dst", "port")
EXPORTED = (*_SHOWN, "expires_at", "why", "who", "at")


def suppress(
    *, why: str, who: str, alert: str | None = None, kind: str | None = None, src: str | None = None, dst: str | None = None,
    port: int | None = None, sensor: str | None = None, days: float | None = None, force: bool = False, dry_run: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Store a suppression rule; return its number and conditions, and how much it covers; conditions not given are taken from `alert`.

    `alert` is the beginning of an id, `days` the rule's lifetime; None means until it is ended. The number (`rule`) is None
    with `dry_run`, which stores nothing; `refusal` then says why the rule would need `force`.

    Raises InputError when the rule has no condition, or one that can never match; and, without `force`, when it covers
    more than `suppress_limit_percent` of the alerts of the last COVERED_DAYS days, or an alert marked true.
    """
    from mlids.alerts.suppression import checked, like

    settings = load_settings()
    stores = open_stores(settings)
    conditions: dict[str, Any] = {"kind": kind, "src": src, "dst": dst, "port": port, "sensor": sensor}
    if alert is not None:
        conditions = like(find_alert(alert)) | {k: v for k, v in conditions.items() if v is not None}
    rule = checked(**conditions, known=kinds_of(stores))
    if days is not None:
        rule = replace(rule, expires_at=datetime.now(UTC) + timedelta(days=days))
    coverage = stores.alerts.coverage(rule, datetime.now(UTC) - timedelta(days=COVERED_DAYS))
    refusal = _refusal(coverage, settings)
    shown = {k: getattr(rule, k) for k in _SHOWN} | {"coverage": asdict(coverage), "refusal": refusal}
    if dry_run:
        return {"rule": None} | shown
    if refusal is not None and not force:
        raise InputError(f"the rule is not stored: it covers {refusal}. Narrow it, look with --dry-run, or repeat with --force")
    return {"rule": stores.rules.add(rule, why, who, alerts=coverage.covered, forced=refusal is not None)} | shown


def _refusal(coverage: Coverage, settings: Settings) -> str | None:
    """Return what of a rule's coverage asks for force, or None. A rule that covers one alert is not too wide, however few there are."""
    found = []
    limit = settings.suppress_limit_percent
    percent = 100 * coverage.covered / max(coverage.alerts, 1)
    if coverage.covered > 1 and percent > limit:
        found.append(
            f"{coverage.covered:,} of the {coverage.alerts:,} alerts of the last {COVERED_DAYS} days ({percent:.0f} %; "
            f"MLIDS_SUPPRESS_LIMIT_PERCENT is {limit:g})"
        )
    if coverage.ever_true:
        found.append(f"{coverage.ever_true:,} alert{'s' * (coverage.ever_true != 1)} marked true")
    return " and ".join(found) or None


def unsuppress(rule: int, *, who: str = "", why: str = "") -> None:
    """End a suppression rule; alerts that only it hid are shown again. Raises StoreError when it is not in force."""
    open_stores(load_settings()).rules.end(rule, who, why)


def suppression_rules(*, in_force: bool = False) -> list[dict[str, Any]]:
    """Return the suppression rules, newest first, with the number of conns that each suppressed; with `in_force`, only those neither ended nor expired."""
    rules = open_stores(load_settings()).rules
    return rules.rows_in_force() if in_force else rules.rows()


def suppression_history(limit: int = 1_000) -> list[dict[str, Any]]:
    """Return who added (`add`, `force`) and ended (`end`) suppression rules, when and why, newest first."""
    return open_stores(load_settings()).rules.history(limit)


def export_rules(path: Path) -> int:
    """Write the rules in force to a .csv or .json file, and return their number. Raises InputError for another ending or a file that is there."""
    kind = _kind_of_file(path)
    rows = [{n: r[n] for n in EXPORTED} for r in suppression_rules(in_force=True)]
    try:
        with path.open("x", encoding="utf-8", newline="") as out:
            if kind == ".json":
                json.dump(rows, out, indent=1)
            else:
                writer = csv.DictWriter(out, EXPORTED)
                writer.writeheader()
                writer.writerows({n: no_formula(str(v)) if v is not None else "" for n, v in row.items()} for row in rows)
    except FileExistsError:
        raise InputError(f"{path}: it is there already; give another name, or move it away") from None
    except OSError as error:
        raise InputError(os_fault(error, path)) from error
    return len(rows)


def import_rules(path: Path, *, who: str, force: bool = False, dry_run: bool = False) -> list[dict[str, Any]]:
    """Store the rules of a .csv or .json file as `export_rules` writes it; return what `suppress` does, rule by rule.

    A rule with the conditions of one in force is left out. All rules are checked before the first is stored. Raises InputError
    with the number of the rule that is wrong, or that covers too much without `force`.
    """
    held = {tuple(r[n] for n in _SHOWN) for r in suppression_rules(in_force=True)}
    done: list[dict[str, Any]] = []
    wanted = [(n, given) for n, given in enumerate(_rows(path), 1) if tuple(given[c] for c in _SHOWN) not in held]
    for storing in (False,) if dry_run else (False, True):
        done = []
        for number, given in wanted:
            expires = given["expires_at"]
            try:
                days = (datetime.fromisoformat(expires) - datetime.now(UTC)) / timedelta(days=1) if expires else None
                if days is not None and days <= 0:
                    continue
                found = suppress(**{n: given[n] for n in _SHOWN}, why=given["why"], who=who, days=days, force=force, dry_run=not storing)
            except (InputError, TypeError, ValueError) as error:
                raise InputError(f"{path}: rule {number}: {error}") from error
            if found["refusal"] and not force and not dry_run:
                raise InputError(
                    f"{path}: rule {number} covers {found['refusal']}; nothing was stored. Repeat with --force, or leave it out"
                )
            done.append(found)
    return done


def _kind_of_file(path: Path) -> str:
    if path.suffix.lower() not in {".csv", ".json"}:
        raise InputError(f"{path}: rules are exchanged as .csv or .json; give the file such a name")
    return path.suffix.lower()


def _rows(path: Path) -> list[dict[str, Any]]:
    """Return the rules of a file, each with all EXPORTED fields. Raises InputError."""
    kind = _kind_of_file(path)
    try:
        text = path.read_text(encoding="utf-8")
        rows = json.loads(text) if kind == ".json" else list(csv.DictReader(text.splitlines()))
        if not isinstance(rows, list) or not all(isinstance(r, dict) for r in rows):
            raise ValueError("not a list of rules")
        for row in rows:
            if wrong := sorted(str(k) for k in set(row) - set(EXPORTED)):
                raise ValueError(f"unknown fields {', '.join(wrong)}; there are {', '.join(EXPORTED)}")
            if not row.get("why"):
                raise ValueError("a rule has no `why`")
        return [{n: r.get(n) or None for n in EXPORTED} | {"port": int(r["port"]) if r.get("port") else None} for r in rows]
    except OSError as error:
        raise InputError(os_fault(error, path)) from error
    except (ValueError, csv.Error) as error:
        raise InputError(f"{path}: {error}") from error
