"""Who added and ended which suppression rule, when and why. Rows are only added: triggers refuse every change."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_CONDITIONS = ("kind", "sensor", "src", "dst", "port", "expires_at")
_REFUSAL = "rows of suppression_history are never changed"


def upgrade() -> None:
    """Add the table with what is known of older rules, then its triggers."""
    history = op.create_table(
        "suppression_history",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("at", sa.String(32), nullable=False),
        sa.Column("who", sa.String(128), nullable=False),
        sa.Column("action", sa.String(16), nullable=False),
        sa.Column("rule", sa.Integer, nullable=False),
        sa.Column("conditions", sa.Text, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("alerts", sa.Integer),
    )
    db = op.get_bind()
    known = []
    for rule in db.execute(sa.text("SELECT * FROM suppressions ORDER BY id")).mappings():
        shared = {"rule": rule["id"], "conditions": json.dumps({n: rule[n] for n in _CONDITIONS}), "alerts": None}
        known.append(shared | {"at": rule["at"], "who": rule["who"], "action": "add", "why": rule["why"]})
        if rule["ended_at"]:
            known.append(shared | {"at": rule["ended_at"], "who": "", "action": "end", "why": ""})
    if known:
        op.bulk_insert(history, sorted(known, key=lambda row: row["at"]))
    if db.dialect.name == "postgresql":
        db.exec_driver_sql(
            f"CREATE FUNCTION mlids_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '{_REFUSAL}'; END $$"
        )
        db.exec_driver_sql(
            "CREATE TRIGGER suppression_history_stays BEFORE UPDATE OR DELETE ON suppression_history "
            "FOR EACH ROW EXECUTE FUNCTION mlids_refuse_change()"
        )
    else:
        for change in ("UPDATE", "DELETE"):
            db.exec_driver_sql(
                f"CREATE TRIGGER suppression_history_no_{change.lower()} BEFORE {change} ON suppression_history "
                f"BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
            )


def downgrade() -> None:
    """Drop the table, with its triggers."""
    op.drop_table("suppression_history")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION mlids_refuse_change()")
