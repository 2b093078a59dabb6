"""The tables as mlids made them before it had migrations. What is there already stays, with its rows.

Databases of those versions have no version number and may lack tables, columns or indexes that came later.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _tables() -> sa.MetaData:
    """Return the tables as of this revision."""
    meta = sa.MetaData()
    sa.Table(
        "alerts", meta,
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("ts", sa.String(32), index=True, nullable=False),
        sa.Column("sensor", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("src", sa.String(64), index=True, nullable=False),
        sa.Column("dst", sa.String(64), nullable=False),
        sa.Column("score", sa.Float, nullable=False),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("model_version", sa.String(32)),
        sa.Column("origin", sa.String(16), nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("parts", sa.Text),
        sa.Column("suppressed_by", sa.Integer),
        sa.Column("updated_at", sa.String(32), nullable=False),
    )  # fmt: skip
    sa.Table(
        "verdicts", meta,
        sa.Column("alert_id", sa.String(64), primary_key=True),
        sa.Column("verdict", sa.String(16), nullable=False),
        sa.Column("who", sa.String(128), nullable=False),
        sa.Column("note", sa.Text),
        sa.Column("at", sa.String(32), nullable=False),
    )  # fmt: skip
    sa.Table(
        "audit", meta,
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("at", sa.String(32), nullable=False),
        sa.Column("who", sa.String(128), nullable=False),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("from_version", sa.String(32)),
        sa.Column("to_version", sa.String(32)),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("gate", sa.Text),
    )  # fmt: skip
    sa.Table(
        "suppressions", meta,
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("kind", sa.String(64)),
        sa.Column("sensor", sa.String(64)),
        sa.Column("src", sa.String(64)),
        sa.Column("dst", sa.String(64)),
        sa.Column("port", sa.Integer),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("who", sa.String(128), nullable=False),
        sa.Column("at", sa.String(32), nullable=False),
        sa.Column("expires_at", sa.String(32)),
        sa.Column("ended_at", sa.String(32)),
        sa.Column("conns", sa.Integer, nullable=False, server_default="0"),
        sa.Column("last_at", sa.String(32)),
        sqlite_autoincrement=True,
    )  # fmt: skip
    sa.Table(
        "ledger", meta,
        sa.Column("sensor", sa.String(64), primary_key=True),
        sa.Column("day", sa.String(10), primary_key=True),
        sa.Column("archived", sa.Integer, nullable=False),
        sa.Column("rejected", sa.Integer, nullable=False),
        sa.Column("files", sa.Integer, nullable=False),
        sa.Column("problems", sa.Text, nullable=False),
        sa.Column("scored", sa.Integer),
        sa.Column("alerts", sa.Integer),
        sa.Column("at", sa.String(32), nullable=False),
    )  # fmt: skip
    sa.Table(
        "hours", meta,
        sa.Column("sensor", sa.String(64), primary_key=True),
        sa.Column("day", sa.String(10), primary_key=True),
        sa.Column("hour", sa.String(20), primary_key=True),
        sa.Column("archived", sa.Integer, nullable=False),
        sa.Column("live", sa.Integer, nullable=False),
        sa.Column("late", sa.Integer, nullable=False),
        sa.Column("rejected", sa.Integer, nullable=False),
    )  # fmt: skip
    return meta


def upgrade() -> None:
    """Create the tables, columns and indexes that are not there."""
    db = op.get_bind()
    meta = _tables()
    meta.create_all(db)
    seen = sa.inspect(db)
    for table in meta.sorted_tables:
        columns = {c["name"] for c in seen.get_columns(table.name)}
        for column in table.columns:
            if column.name not in columns:
                op.add_column(table.name, _addable(column))
        indexes = {i["name"] for i in seen.get_indexes(table.name)}
        for index in table.indexes:
            if index.name not in indexes:
                index.create(db)


def _addable(column: "sa.Column[object]") -> "sa.Column[object]":
    """Return a column for a table that may have rows: one that must be set and has no default cannot be added to those."""
    default = column.server_default.arg if isinstance(column.server_default, sa.DefaultClause) else None
    return sa.Column(
        column.name, column.type, nullable=column.nullable or default is None, server_default=str(default) if default else None
    )


def downgrade() -> None:
    """Refuse: the tables hold the site's alerts."""
    raise NotImplementedError("the first revision is not taken back: that would drop all alerts")
