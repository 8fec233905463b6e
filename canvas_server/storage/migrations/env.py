"""What Alembic runs to migrate: always on the connection that `migrations.upgrade` hands over, in its transaction."""

from __future__ import annotations

from alembic import context

from canvas_server.storage.migrations import CONNECTION

context.configure(connection=context.config.attributes[CONNECTION])
context.run_migrations()
