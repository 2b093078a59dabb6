"""Alembic runs this file; the connection, in a transaction and under a lock, comes from `schema.upgrade`."""

from alembic import context

from mlids.alerts.stores.schema import VERSION_TABLE
from mlids.alerts.stores.tables import META

context.configure(connection=context.config.attributes["connection"], target_metadata=META, version_table=VERSION_TABLE)
with context.begin_transaction():
    context.run_migrations()
