"""Cases, with the evidence of every day that contributed, and what an analyst made of them."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "cases",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("sensor", sa.String(64), nullable=False),
        sa.Column("host", sa.String(64), nullable=False),
        sa.Column("service", sa.String(32), nullable=False),
        sa.Column("source", sa.String(64), nullable=False),
        sa.Column("score", sa.Float, nullable=False),
        sa.Column("severity", sa.Integer, nullable=False),
        sa.Column("first", sa.String(32), nullable=False),
        sa.Column("last", sa.String(32), nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("verdict", sa.String(16)),
        sa.Column("who", sa.String(128)),
        sa.Column("note", sa.Text),
        sa.Column("state_at", sa.String(32)),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("parts", sa.Text, nullable=False),
        sa.Column("updated_at", sa.String(32), nullable=False),
    )
    op.create_index("ix_cases_subject", "cases", ["sensor", "host", "service", "source", "last"])
    op.create_index("ix_cases_listing", "cases", ["state", "severity", "score", "last", "id", "host", "source", "first"])


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("cases")
