"""What persons say of findings."""

import sqlalchemy as sa
from alembic import op

from patchclip_node.adapters.ledger.schema import ForeignText, UtcDateTime

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.create_table(
        "verdicts",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("study_instance_uid", ForeignText(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("sop_instance_uid", ForeignText(), nullable=False),
        sa.Column("finding", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("boxes_json", sa.Text(), nullable=False),
        sa.Column("was_found", sa.Boolean(), nullable=False),
        sa.Column("weights_digest", sa.Text(), nullable=False),
        sa.Column("given_by", ForeignText(), nullable=False),
        sa.Column("source", sa.String(32), nullable=False),
        sa.Column("source_uid", ForeignText(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.CheckConstraint(
            "kind IN ('accepted', 'rejected', 'corrected', 'missed')", name=op.f("ck_verdicts_kind_known")
        ),
        sa.CheckConstraint(
            "source IN ('page', 'report', 'key objects', 'presentation state', 'segmentation')",
            name=op.f("ck_verdicts_source_known"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_verdicts")),
    )
    op.create_index(op.f("ix_verdicts_study_instance_uid"), "verdicts", ["study_instance_uid"])
    op.create_index(op.f("ix_verdicts_sop_instance_uid_finding"), "verdicts", ["sop_instance_uid", "finding"])
