"""The database's history, shipped with the wheel."""
