"""What is kept of purged studies, so that their results can be recalled."""

import sqlalchemy as sa
from alembic import op

from patchclip_node.adapters.ledger.schema import ForeignText, UtcDateTime

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.create_table(
        "purged_revisions",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("study_instance_uid", ForeignText(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("patient_id", ForeignText(), nullable=False),
        sa.Column("patient_name", ForeignText(), nullable=False),
        sa.Column("accession_number", ForeignText(), nullable=False),
        sa.Column("study_description", ForeignText(), nullable=False),
        sa.Column("weights_digest", sa.Text(), nullable=False),
        sa.Column("images_json", ForeignText(), nullable=False),
        sa.Column("results_json", sa.Text(), nullable=False),
        sa.Column("purged_at", UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_purged_revisions")),
    )
    for column in ("study_instance_uid", "weights_digest", "purged_at"):
        op.create_index(op.f(f"ix_purged_revisions_{column}"), "purged_revisions", [column])
