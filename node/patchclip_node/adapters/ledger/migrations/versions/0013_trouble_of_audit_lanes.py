"""Why a lane of the audit trail carries nothing."""

import sqlalchemy as sa
from alembic import op

from patchclip_node.adapters.ledger.schema import ForeignText

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.add_column("audit_lanes", sa.Column("trouble", ForeignText()))
