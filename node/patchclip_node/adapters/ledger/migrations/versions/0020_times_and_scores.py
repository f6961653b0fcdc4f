"""How long each step took, in classes, and the last probabilities of each finding: what figures are made of."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.create_table(
        "step_times",
        sa.Column("step", sa.String(16), nullable=False),
        sa.Column("time_class", sa.Integer(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("total_s", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("step", "time_class", name=op.f("pk_step_times")),
    )
    op.create_table(
        "scores",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("weights_digest", sa.Text(), nullable=False),
        sa.Column("finding", sa.String(32), nullable=False),
        sa.Column("probability", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_scores")),
    )
