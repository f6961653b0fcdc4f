"""The list of studies that are pulled from an archive."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
works_with = "0022"

_STATES = "'WAITING', 'ASKED', 'HERE', 'SKIPPED', 'FAILED'"


def upgrade() -> None:
    """Bring the tables to this revision."""
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "backfill",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("study_instance_uid", sa.Text(), nullable=False),
        sa.Column("study_date", sa.Text(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("expected", sa.Integer(), nullable=False),
        sa.Column("listed_at", moment, nullable=False),
        sa.Column("not_before", moment, nullable=True),
        sa.Column("asked_at", moment, nullable=True),
        sa.Column("settled_at", moment, nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.CheckConstraint(f"state IN ({_STATES})", name=op.f("ck_backfill_state_known")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_backfill")),
        sa.UniqueConstraint("study_instance_uid", name=op.f("uq_backfill_study_instance_uid")),
    )
    for columns in (["state", "id"], ["state", "not_before"], ["settled_at", "asked_at"]):
        op.create_index(op.f(f"ix_backfill_{'_'.join(columns)}"), "backfill", columns)
