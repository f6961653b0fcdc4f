"""Images that are handed on as they came. One that was corrected has several files under one SOP Instance UID."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
works_with = "0024"  # an earlier program cannot read a result of the kind 'image'

_KINDS = "'sr', 'seg', 'sc', 'gsps', 'text_sr', 'ko', 'fractional_seg', 'parametric_map', 'rejection_note', 'image'"
_EVENTS = (
    "'INSTANCE_ARRIVED', 'WENT_QUIET', 'LEASED', 'LEASE_EXPIRED', 'ANALYSIS_POSTPONED', 'ANALYSIS_FINISHED', "
    "'NOTHING_TO_ANALYSE', 'ANALYSIS_FAILED', 'FORWARDED', 'DELIVERY_STARTED', 'ALL_DELIVERED', 'SOME_DELIVERED', "
    "'DELIVERY_FAILED', 'REQUEUED', 'DELIVERY_REQUEUED', 'RECALLED', 'HELD_BACK', 'RELEASED', 'RELEASE_REFUSED', "
    "'KEPT_HERE'"
)


def upgrade() -> None:
    """Bring the tables to this revision.

    To change a CHECK, SQLite makes the table again, to which other rows refer: the results step aside, checked at the
    commit.
    """
    is_sqlite = op.get_context().dialect.name == "sqlite"
    if is_sqlite:
        op.execute("PRAGMA defer_foreign_keys = ON")
        op.execute("CREATE TEMPORARY TABLE results_aside AS SELECT * FROM results")
        op.execute("DELETE FROM results")
    with op.batch_alter_table("results") as results:
        results.drop_constraint(op.f("ck_results_kind_known"), type_="check")
        results.create_check_constraint(op.f("ck_results_kind_known"), f"kind IN ({_KINDS})")
        results.drop_constraint(op.f("uq_results_sop_instance_uid"), type_="unique")
        results.create_unique_constraint(op.f("uq_results_sop_instance_uid_sha256"), ["sop_instance_uid", "sha256"])
    if is_sqlite:
        op.execute("INSERT INTO results SELECT * FROM results_aside")
        op.execute("DROP TABLE results_aside")
    is_built = sa.text("kind <> 'image'")
    op.create_index(
        "ix_results_built_once",
        "results",
        ["sop_instance_uid"],
        unique=True,
        sqlite_where=is_built,
        postgresql_where=is_built,
    )
    with op.batch_alter_table("events") as events:
        events.drop_constraint(op.f("ck_events_event_known"), type_="check")
        events.create_check_constraint(op.f("ck_events_event_known"), f"event IN ({_EVENTS})")
