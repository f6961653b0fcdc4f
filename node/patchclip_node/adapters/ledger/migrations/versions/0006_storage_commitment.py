"""What was sent may wait for the destination's storage commitment."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Bring the tables to this revision."""
    with op.batch_alter_table("deliveries") as deliveries:
        deliveries.add_column(sa.Column("transaction_uid", sa.Text(), nullable=True))
        deliveries.drop_constraint(op.f("ck_deliveries_state_known"), type_="check")
        deliveries.create_check_constraint(
            op.f("ck_deliveries_state_known"),
            "state IN ('PENDING', 'SENDING', 'SENT', 'DELIVERED', 'REPLACED', 'CONFLICT', 'FAILED')",
        )
        deliveries.create_check_constraint(
            op.f("ck_deliveries_sent_awaits_commitment"),
            "(state = 'SENT') = (transaction_uid IS NOT NULL)",
        )
        deliveries.create_index(op.f("ix_deliveries_transaction_uid"), ["transaction_uid"], unique=False)
