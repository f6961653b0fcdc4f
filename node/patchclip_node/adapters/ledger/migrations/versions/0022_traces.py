"""The traceparent of a study revision's whole way; '' of those that came before."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    """Bring the tables to this revision."""
    with op.batch_alter_table("studies") as studies:
        studies.add_column(sa.Column("traceparent", sa.String(55), nullable=False, server_default=""))
