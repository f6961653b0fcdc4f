"""Objects that readers made: which of them have yet to be read."""

import sqlalchemy as sa
from alembic import op

from patchclip_node.adapters.ledger.schema import UtcDateTime

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.create_table(
        "returned_objects",
        sa.Column("instance_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("read_at", UtcDateTime()),
        sa.ForeignKeyConstraint(
            ["instance_id"], ["instances.id"], name=op.f("fk_returned_objects_instance_id_instances")
        ),
        sa.PrimaryKeyConstraint("instance_id", name=op.f("pk_returned_objects")),
    )
    where = sa.text("read_at IS NULL")
    op.create_index(
        op.f("ix_returned_objects_read_at"),
        "returned_objects",
        ["read_at"],
        sqlite_where=where,
        postgresql_where=where,
    )
