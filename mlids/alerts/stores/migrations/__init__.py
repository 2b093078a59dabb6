"""Alembic's environment and revisions of the product's own tables. A revision never imports `tables.py`: that changes."""
