"""What Alembic runs the migrations in: the connection and transaction of `patchclip_node.adapters.ledger.migrate`."""

from alembic import context

from patchclip_node.adapters.ledger.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
