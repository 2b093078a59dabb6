"""Which model is in production: the version of the audit's newest move, which the alias of the registry must have too.

Anybody who reaches MLflow can move an alias; the audit is written by promotions and rollbacks alone.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlids.alerts.stores.audit import AuditStore
from mlids.errors import ModelError, OtherFeaturesError
from mlids.training.registry import PRODUCTION, Registry

if TYPE_CHECKING:
    from mlids.detectors.bundle import Bundle

log = logging.getLogger(__name__)

# The alias and the audit are read one after the other: a promotion may come between. It is read again so often.
_LOOKS, _PAUSE_S = 3, 0.3


@dataclass(frozen=True)
class Production:
    """The version to score with, its SHA-256 when the audit has it, and what is wrong with the alias; None where there is none."""

    version: str | None = None
    sha256: str | None = None
    fault: str | None = None


def find_production(registry: Registry, audit: AuditStore) -> Production:
    """Return the model in production; when the alias moved without an audit row, that of the audit, and a fault.

    A move that has begun counts: its row is written before the alias moves. Raises StoreError.
    """
    for left in reversed(range(_LOOKS)):
        last, begun = audit.last_move(), [move for _, move in audit.unsettled()]
        alias = registry.version(PRODUCTION)
        number = alias.version if alias is not None else None
        for move in [*([last] if last is not None else []), *begun]:
            if move.to_version == number:
                return Production(number, move.sha256)
        if number is None and last is None:
            return Production()
        if left:
            time.sleep(_PAUSE_S)
    if last is None:
        return Production(None, None, _fault(number, None))
    return Production(last.to_version, last.sha256, _fault(number, last.to_version))


def load_production(registry: Registry, audit: AuditStore) -> Bundle | None:
    """Return the model in production, None without one; it is that of the audit, wherever the alias points.

    Raises ModelError when it cannot be loaded, or nothing but the alias names it; StoreError.
    """
    found = find_production(registry, audit)
    if found.version is None:
        if found.fault:
            raise ModelError(found.fault)
        return None
    return registry.load(found.version, found.sha256)


def usable_production(registry: Registry, audit: AuditStore) -> Bundle | None:
    """Return the model in production; None without one, or when its features are those of another version: it waits for the next training.

    Raises as `load_production` does.
    """
    try:
        return load_production(registry, audit)
    except OtherFeaturesError as error:
        log.warning("the model in production is refused: %s", error)
        return None


def _fault(alias: str | None, audited: str | None) -> str:
    where = f"points at version {alias}" if alias else "is gone"
    if audited is None:
        return (
            f"the alias production {where}, and the audit has no promotion at all: "
            f"when that version is right, `mlids rollback --to {alias} --why TEXT` writes one"
        )
    return (
        f"the alias production {where} without an audit row: version {audited} stays in use; put the alias back with "
        f"`mlids rollback --to {audited} --why TEXT`" + (f", or accept version {alias} with `--to {alias}`" if alias else "")
    )
