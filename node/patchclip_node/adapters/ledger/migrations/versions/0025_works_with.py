"""The oldest revision whose programs work on the tables, so that an earlier program can read whether it may start."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
works_with = "0024"


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.create_table(
        "works_with",
        sa.Column("revision", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("revision", name=op.f("pk_works_with")),
    )
