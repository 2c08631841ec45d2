"""Run by Alembic: migrates over the connection that :mod:`hookgate_storage.upgrading` gives."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
