"""The database's history, shipped with the wheel."""

HEAD = "0006"
"""The newest revision: lets a start see that nothing is to be done without loading Alembic."""
