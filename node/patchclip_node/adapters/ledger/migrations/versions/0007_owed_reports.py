"""Storage commitment reports that the node owes to who asked it outlast its process."""

import sqlalchemy as sa
from alembic import op

from patchclip_node.adapters.ledger.schema import UtcDateTime

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.create_table(
        "owed_reports",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("ae_title", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("transaction_uid", sa.Text(), nullable=False),
        sa.Column("objects_json", sa.Text(), nullable=False),
        sa.Column("asked_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("not_before", UtcDateTime(timezone=True), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_owed_reports")),
        sa.UniqueConstraint(
            "ae_title", "address", "transaction_uid", name=op.f("uq_owed_reports_ae_title_address_transaction_uid")
        ),
    )
    op.create_index(op.f("ix_owed_reports_not_before"), "owed_reports", ["not_before"], unique=False)
