"""Runs migrations on the connection that `bot.history.schema` hands in; there is no other way to run them."""

from typing import Any, Literal

from alembic import context

from bot.history.tables import UtcDateTime, metadata


def _render(kind: str, item: Any, _context: object) -> str | Literal[False]:
    """Revisions do not depend on our own column types, which may change after them."""
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(item, UtcDateTime) else False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # All revisions in one transaction, also on SQLite: a kill in the middle leaves the old schema.
    transactional_ddl=True,
    render_as_batch=True,
    compare_type=True,
    render_item=_render,
)

with context.begin_transaction():
    context.run_migrations()
