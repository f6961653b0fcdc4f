"""Results in variants, and two more kinds of them."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Bring the tables to this revision.

    To change a CHECK, SQLite makes the table again. It drops no table that rows refer to: the deliveries step aside.
    """
    op.execute("CREATE TEMPORARY TABLE deliveries_aside AS SELECT * FROM deliveries")
    op.execute("DELETE FROM deliveries")
    with op.batch_alter_table("results") as results:
        results.add_column(sa.Column("variant", sa.Text(), nullable=True))
        results.drop_constraint(op.f("ck_results_kind_known"), type_="check")
        results.create_check_constraint(
            op.f("ck_results_kind_known"),
            "kind IN ('sr', 'seg', 'sc', 'gsps', 'text_sr', 'ko', 'fractional_seg', 'parametric_map')",
        )
    op.execute("UPDATE results SET variant = kind")
    with op.batch_alter_table("results") as results:
        results.alter_column("variant", existing_type=sa.Text(), nullable=False)
    op.execute("INSERT INTO deliveries SELECT * FROM deliveries_aside")
    op.execute("DROP TABLE deliveries_aside")
