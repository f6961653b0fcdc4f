"""Results wait for a person, and what becomes of them where no one decides in time."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

_STUDIES = (
    "'RECEIVING', 'RECEIVED', 'ANALYSING', 'ANALYSED', 'RETURNING', 'RETURNED', 'PARTLY_RETURNED', 'HELD', 'KEPT', "
    "'REJECTED', 'FAILED'"
)
_DELIVERIES = (
    "'PENDING', 'SENDING', 'SENT', 'DELIVERED', 'REPLACED', 'HELD', 'REFUSED', 'CONFLICT', 'FAILED', 'RECALLED'"
)
_EVENTS = (
    "'INSTANCE_ARRIVED', 'WENT_QUIET', 'LEASED', 'LEASE_EXPIRED', 'ANALYSIS_POSTPONED', 'ANALYSIS_FINISHED', "
    "'NOTHING_TO_ANALYSE', 'ANALYSIS_FAILED', 'DELIVERY_STARTED', 'ALL_DELIVERED', 'SOME_DELIVERED', "
    "'DELIVERY_FAILED', 'REQUEUED', 'DELIVERY_REQUEUED', 'RECALLED', 'HELD_BACK', 'RELEASED', 'RELEASE_REFUSED', "
    "'KEPT_HERE'"
)


def upgrade() -> None:
    """Bring the tables to this revision."""
    if op.get_context().dialect.name == "sqlite":
        _replace_check_of_studies_in_sqlite()
    else:
        _replace_check("studies", "state", "state_known", _STUDIES)
    _replace_check("events", "event", "event_known", _EVENTS)
    _replace_check("deliveries", "state", "state_known", _DELIVERIES)
    with op.batch_alter_table("deliveries") as deliveries:
        deliveries.add_column(sa.Column("at_time_out", sa.String(16), nullable=True))
        deliveries.create_check_constraint(
            op.f("ck_deliveries_at_time_out_known"), "at_time_out IN ('release', 'drop', 'keep')"
        )
        deliveries.create_check_constraint(
            op.f("ck_deliveries_held_has_its_end"), "(state = 'HELD') = (at_time_out IS NOT NULL)"
        )


def _replace_check_of_studies_in_sqlite() -> None:
    """SQLite makes the table again, to which other rows refer: the studies step aside, checked at the commit."""
    op.execute("PRAGMA defer_foreign_keys = ON")
    op.execute("CREATE TEMPORARY TABLE studies_aside AS SELECT * FROM studies")
    op.execute("DELETE FROM studies")
    _replace_check("studies", "state", "state_known", _STUDIES)
    op.execute("INSERT INTO studies SELECT * FROM studies_aside")
    op.execute("DROP TABLE studies_aside")


def _replace_check(table: str, column: str, check: str, values: str) -> None:
    name = op.f(f"ck_{table}_{check}")
    with op.batch_alter_table(table) as changed:
        changed.drop_constraint(name, type_="check")
        changed.create_check_constraint(name, f"{column} IN ({values})")
