"""Alembic's environment: the connection is `database.upgrade`'s, so that migrations are one transaction."""

from __future__ import annotations

from alembic import context

from regrow.hub_service.registry.tables import Base

context.configure(
    connection=context.config.attributes["connection"], target_metadata=Base.metadata, render_as_batch=True
)
with context.begin_transaction():
    context.run_migrations()
