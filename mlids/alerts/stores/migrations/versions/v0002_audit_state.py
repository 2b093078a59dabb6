"""The audit holds moves of the production alias from before they begin: `state` says how far each has come."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add `audit.state`; null in the rows of before, which were written after the move."""
    op.add_column("audit", sa.Column("state", sa.String(16)))


def downgrade() -> None:
    """Drop `audit.state`."""
    op.drop_column("audit", "state")
