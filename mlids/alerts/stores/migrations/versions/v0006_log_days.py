"""How many rows of each log beside conn.log a day has in the archive, and how many were read live."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "log_days",
        sa.Column("sensor", sa.String(64), primary_key=True),
        sa.Column("day", sa.String(10), primary_key=True),
        sa.Column("log", sa.String(64), primary_key=True),
        sa.Column("archived", sa.Integer, nullable=False),
        sa.Column("live", sa.Integer),
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("log_days")
