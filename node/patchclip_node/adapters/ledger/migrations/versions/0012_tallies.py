"""Numbers that are kept instead of counted, and small indexes for what the sweep looks for."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Bring the tables to this revision. `migrate` makes the triggers afterwards, and counts."""
    op.create_table(
        "tallies",
        sa.Column("counted", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("counted", "state", name=op.f("pk_tallies")),
    )
    for table, column, condition in (
        ("studies", "lease_owner", "lease_owner IS NOT NULL"),
        ("deliveries", "lease_owner", "lease_owner IS NOT NULL"),
        ("instances", "received_at", "study_id IS NULL"),
    ):
        where = sa.text(condition)
        op.create_index(op.f(f"ix_{table}_{column}"), table, [column], sqlite_where=where, postgresql_where=where)
