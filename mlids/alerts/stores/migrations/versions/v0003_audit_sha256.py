"""The audit holds the SHA-256 of the model that was put into production."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add `audit.sha256`; null in the rows of before."""
    op.add_column("audit", sa.Column("sha256", sa.String(64)))


def downgrade() -> None:
    """Drop `audit.sha256`."""
    op.drop_column("audit", "sha256")
