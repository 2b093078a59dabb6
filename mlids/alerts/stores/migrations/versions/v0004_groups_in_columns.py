"""Alerts by what their conns have in common: rules and reports are answered from an index, without the documents.

`suppressed_by` goes: what rules cover is part of each query. Every row is written anew, twice, in one transaction.
"""

import ipaddress
import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_ROWS_AT_ONCE = 5_000
_NEW = (
    sa.Column("source_key", sa.String(40)), sa.Column("host_key", sa.String(40)), sa.Column("port", sa.Integer),
    sa.Column("late_parts", sa.Text),
)  # fmt: skip


def upgrade() -> None:
    """Add the columns, fill them from the documents, and replace the index on `ts`."""
    for column in _NEW:
        op.add_column("alerts", column.copy())
    _fill(op.get_bind())
    op.drop_column("alerts", "suppressed_by")
    op.drop_index("ix_alerts_ts", "alerts")
    op.create_index(
        "ix_alerts_listing", "alerts", ["ts", "id", "kind", "sensor", "source_key", "host_key", "port", "src", "score", "count"]
    )
    op.create_index("ix_alerts_late", "alerts", ["sensor", "late_parts", "id"])


def _fill(db: sa.Connection) -> None:
    alerts = sa.table("alerts", *(sa.column(n) for n in ("id", "document", "parts", "source_key", "host_key", "port", "late_parts")))
    found = sa.select(alerts.c.id, alerts.c.document, alerts.c.parts).order_by(alerts.c.id).limit(_ROWS_AT_ONCE)
    change = sa.update(alerts).where(alerts.c.id == sa.bindparam("of")).values({n: sa.bindparam(f"new_{n}") for n in _columns("{}", None)})
    last = ""
    while rows := db.execute(found.where(alerts.c.id > last)).all():
        db.execute(change, [{"of": r.id} | {f"new_{n}": v for n, v in _columns(r.document, r.parts).items()} for r in rows])
        last = rows[-1].id


def _columns(document: str, parts: str | None) -> dict[str, Any]:
    """Return the values of the new columns."""
    group = json.loads(document).get("mlids", {}).get("group")
    late = sorted(name for name in (json.loads(parts) if parts else {}) if name != "live")
    out: dict[str, Any] = {"source_key": None, "host_key": None, "port": None, "late_parts": json.dumps(late) if late else None}
    if group:
        host, port = _host_and_port(group["target"])
        out |= {"source_key": _key(group["source"]), "host_key": _key(host), "port": port}
    return out


def _host_and_port(target: str) -> tuple[str, int | None]:
    if target == "many":
        return "", None
    service, slash, _ = target.rpartition("/")
    if not slash:
        return target, None
    host, _, port = service.rpartition(":")
    return host, int(port) if port.isdigit() else None


def _key(address: str) -> str:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return ""
    return f"{found.version}{int(found):0{found.max_prefixlen // 4}x}"


def downgrade() -> None:
    """Refuse: which rule hid an alert is not stored any more."""
    raise NotImplementedError("the fourth revision is not taken back: restore the database from before its upgrade")
