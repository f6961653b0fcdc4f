"""Deliveries are tried for a time, by separate processes; a study may be returned in part; patient conflicts."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_STUDY_STATES = (
    "'RECEIVING', 'RECEIVED', 'ANALYSING', 'ANALYSED', 'RETURNING', 'RETURNED', 'PARTLY_RETURNED', 'REJECTED', 'FAILED'"
)
_STUDY_EVENTS = (
    "'INSTANCE_ARRIVED', 'WENT_QUIET', 'LEASED', 'LEASE_EXPIRED', 'ANALYSIS_POSTPONED', 'ANALYSIS_FINISHED', "
    "'NOTHING_TO_ANALYSE', 'ANALYSIS_FAILED', 'DELIVERY_STARTED', 'ALL_DELIVERED', 'SOME_DELIVERED', "
    "'DELIVERY_FAILED', 'REQUEUED', 'DELIVERY_REQUEUED'"
)
_DELIVERY_STATES = "'PENDING', 'SENDING', 'DELIVERED', 'REPLACED', 'CONFLICT', 'FAILED'"


def upgrade() -> None:
    """Bring the tables to this revision."""
    if op.get_context().dialect.name == "sqlite":
        _replace_check_of_studies_in_sqlite()
    else:
        _replace_check("studies", "state", "state_known", _STUDY_STATES)
    _replace_check("events", "event", "event_known", _STUDY_EVENTS)
    with op.batch_alter_table("deliveries") as deliveries:
        deliveries.add_column(sa.Column("due_since", sa.DateTime(timezone=True), nullable=True))
    op.execute(
        "UPDATE deliveries SET due_since = (SELECT built_at FROM results WHERE results.id = deliveries.result_id)"
    )
    with op.batch_alter_table("deliveries") as deliveries:
        deliveries.alter_column("due_since", existing_type=sa.DateTime(timezone=True), nullable=False)
        deliveries.create_index(
            op.f("ix_deliveries_destination_state_not_before"), ["destination", "state", "not_before"], unique=False
        )
    _replace_check("deliveries", "state", "state_known", _DELIVERY_STATES)
    op.execute("DELETE FROM workers")  # each says again within seconds that it lives
    with op.batch_alter_table("workers") as workers:
        workers.add_column(sa.Column("role", sa.String(16), nullable=False))
        workers.create_check_constraint(op.f("ck_workers_role_known"), "role IN ('work', 'deliver')")


def _replace_check_of_studies_in_sqlite() -> None:
    """SQLite makes the table again, to which other rows refer: the studies step aside, checked at the commit."""
    op.execute("PRAGMA defer_foreign_keys = ON")
    op.execute("CREATE TEMPORARY TABLE studies_aside AS SELECT * FROM studies")
    op.execute("DELETE FROM studies")
    _replace_check("studies", "state", "state_known", _STUDY_STATES)
    op.execute("INSERT INTO studies SELECT * FROM studies_aside")
    op.execute("DROP TABLE studies_aside")


def _replace_check(table: str, column: str, check: str, values: str) -> None:
    name = op.f(f"ck_{table}_{check}")
    with op.batch_alter_table(table) as changed:
        changed.drop_constraint(name, type_="check")
        changed.create_check_constraint(name, f"{column} IN ({values})")
