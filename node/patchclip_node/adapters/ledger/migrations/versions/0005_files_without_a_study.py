"""Files whose study has left the ledger are listed until they are deleted."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.create_table(
        "leftovers",
        sa.Column("spool_key", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("spool_key", name=op.f("pk_leftovers")),
    )
    op.create_index(op.f("ix_studies_state_state_since"), "studies", ["state", "state_since"], unique=False)
