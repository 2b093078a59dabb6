"""Moves the production alias and keeps the audit true, also when a crash or an outage comes between the two.

The aliases are in MLflow and the audit is in the product's own tables: no transaction covers both. The move is
written to the audit as an intent first, then the aliases are moved, then the row is marked as done.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from mlids.alerts.stores.audit import DONE, FAILED, AuditStore, Move
from mlids.errors import ModelError, StoreError
from mlids.locks import locked_file
from mlids.pipeline.retention import trained_on
from mlids.training.registry import PREVIOUS, PRODUCTION, Version

if TYPE_CHECKING:
    from mlids.detectors.bundle import Bundle
    from mlids.training.registry import Registry

log = logging.getLogger(__name__)


class Aliases(Protocol):
    """What a move needs of the model registry."""

    def load(self, reference: str) -> Bundle:
        """Return the model of a version. Raises ModelError when it is missing, damaged or not sealed."""

    def version(self, alias: str) -> Version | None:
        """Return the version under an alias. Raises StoreError when the registry does not answer."""

    def set_alias(self, alias: str, version: str) -> None:
        """Move an alias. Raises StoreError."""


@contextmanager
def promotion_lock(folder: Path) -> Iterator[None]:
    """Let one process at a time work on the aliases, and wait for it; a lock ends with its process. Raises StoreError.

    Without it, a move in progress would look like an interrupted one.
    """
    path = folder / "promotion.lock"
    with ExitStack() as stack:
        try:
            stack.enter_context(locked_file(path))
        except OSError as error:
            raise StoreError(f"{path}: {error.strerror or error}") from error
        yield


def move_production(registry: Aliases, audit: AuditStore, move: Move) -> None:
    """Put `move.to_version` into production and the version before it under `previous`.

    Raises ModelError when the version cannot be loaded, StoreError when audit or registry fail. Nothing is moved
    when the audit cannot be written; a move that fails later is settled by the next `heal_promotions`.
    """
    target = _target(move)
    bundle = registry.load(target)  # a version that cannot be loaded is never put into production
    row = audit.begin(replace(move, sha256=bundle.digest))
    if move.from_version not in (None, target):
        registry.set_alias(PREVIOUS, str(move.from_version))
    registry.set_alias(PRODUCTION, target)
    audit.settle(row, DONE)


def heal_promotions(registry: Aliases, audit: AuditStore) -> list[tuple[Move, str]]:
    """Settle the moves that were begun and not finished; return them with their new state, `done` or `failed`.

    A move is done when `production` points at its target. It is completed when only `previous` was moved, as that
    alias alone has lost its old version. Otherwise it failed, and the aliases stay. Raises StoreError when the
    registry or the database does not answer.
    """
    healed = []
    for row, move in audit.unsettled():
        state, note = _outcome(registry, move)
        audit.settle(row, state, note)
        log.warning("unfinished move of the production alias settled", extra={"state": state, "to": move.to_version, "note": note})
        healed.append((move, state))
    return healed


def _outcome(registry: Aliases, move: Move) -> tuple[str, str]:
    target = _target(move)
    production, previous = _number(registry, PRODUCTION), _number(registry, PREVIOUS)
    if production == target:
        return DONE, "interrupted after the aliases had moved"
    if production is None or not production == previous == move.from_version:
        return FAILED, f"interrupted before the aliases moved; version {production or 'none'} stays in production"
    try:
        registry.load(target)
    except ModelError as error:
        return FAILED, f"interrupted, and version {target} cannot be loaded any more: {error}"
    registry.set_alias(PRODUCTION, target)
    return DONE, "interrupted between the aliases and completed later"


def _number(registry: Aliases, alias: str) -> str | None:
    found = registry.version(alias)
    return found.version if found is not None else None


def _target(move: Move) -> str:
    if move.to_version is None:
        raise ModelError(f"a move ({move.action}) of the production alias needs a version to move to")
    return move.to_version


def older_week(registry: Registry, production: str | None, version: str, snapshot_id: str) -> str:
    """Return why a version may not replace the one in production: its newest day is older; nothing when it may, or the days are unknown.

    A backfill trains weeks of the past: what the site has become since would be judged by what it was. Raises StoreError.
    """
    if production in (None, version):
        return ""
    try:
        held = registry.find(str(production))
    except ModelError:
        return ""  # what is lost is the gate's matter
    mine, theirs = trained_on(snapshot_id), trained_on((held.params or {}).get("snapshot", ""))
    if mine is None or theirs is None or mine[1] >= theirs[1]:
        return ""
    return (
        f"it was trained on days until {mine[1]}, version {production} in production on days until {theirs[1]}: an older week is kept as a "
        f"version and never promoted, also not by force; to go back on purpose: `mlids rollback --to {version} --why TEXT`"
    )
