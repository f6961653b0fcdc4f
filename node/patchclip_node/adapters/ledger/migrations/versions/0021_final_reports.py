"""What radiologists finally wrote."""

import sqlalchemy as sa
from alembic import op

from patchclip_node.adapters.ledger.schema import ForeignText, UtcDateTime

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.create_table(
        "final_reports",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("study_instance_uid", ForeignText(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("report_id", ForeignText(), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("issued_at", UtcDateTime()),
        sa.Column("weights_digest", sa.Text(), nullable=False),
        sa.Column("answers_json", sa.Text(), nullable=False),
        sa.Column("read_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint(
            "status IN ('not final', 'final', 'corrected', 'withdrawn')", name=op.f("ck_final_reports_status_known")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_final_reports")),
        sa.UniqueConstraint("study_instance_uid", "digest", name=op.f("uq_final_reports_study_instance_uid_digest")),
    )
