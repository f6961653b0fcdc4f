"""Results that are withdrawn, and notes that say so."""

import sqlalchemy as sa
from alembic import op

from patchclip_node.adapters.ledger.schema import UtcDateTime

revision = "0011"
down_revision = "0010"

_KINDS = "'sr', 'seg', 'sc', 'gsps', 'text_sr', 'ko', 'fractional_seg', 'parametric_map', 'rejection_note'"
_DELIVERIES = "'PENDING', 'SENDING', 'SENT', 'DELIVERED', 'REPLACED', 'CONFLICT', 'FAILED', 'RECALLED'"
_EVENTS = (
    "'INSTANCE_ARRIVED', 'WENT_QUIET', 'LEASED', 'LEASE_EXPIRED', 'ANALYSIS_POSTPONED', 'ANALYSIS_FINISHED', "
    "'NOTHING_TO_ANALYSE', 'ANALYSIS_FAILED', 'DELIVERY_STARTED', 'ALL_DELIVERED', 'SOME_DELIVERED', "
    "'DELIVERY_FAILED', 'REQUEUED', 'DELIVERY_REQUEUED', 'RECALLED'"
)


def upgrade() -> None:
    """Bring the tables to this revision.

    To change a CHECK, SQLite makes the table again. It drops no table that rows refer to: the deliveries step aside.
    What was sent before counts as sent: an attempt was made, or a person asked for another one.
    """
    _create_recalls()
    op.execute("CREATE TEMPORARY TABLE deliveries_aside AS SELECT * FROM deliveries")
    op.execute("DELETE FROM deliveries")
    with op.batch_alter_table("results") as results:
        results.add_column(sa.Column("recall_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite")))
        results.create_foreign_key(op.f("fk_results_recall_id"), "recalls", ["recall_id"], ["id"])
        results.drop_constraint(op.f("ck_results_kind_known"), type_="check")
        results.create_check_constraint(op.f("ck_results_kind_known"), f"kind IN ({_KINDS})")
        results.create_index(op.f("ix_results_recall_id"), ["recall_id"])
    with op.batch_alter_table("deliveries") as deliveries:
        deliveries.add_column(sa.Column("was_sent", sa.Boolean(), nullable=True))
        deliveries.drop_constraint(op.f("ck_deliveries_state_known"), type_="check")
        deliveries.create_check_constraint(op.f("ck_deliveries_state_known"), f"state IN ({_DELIVERIES})")
        deliveries.drop_constraint(op.f("ck_deliveries_delivered_has_time"), type_="check")
        deliveries.create_check_constraint(
            op.f("ck_deliveries_delivered_has_time"),
            "(state = 'DELIVERED') = (delivered_at IS NOT NULL) OR state = 'RECALLED'",
        )
    was_sent = (
        "attempts > 0 OR state <> 'PENDING' OR EXISTS (SELECT 1 FROM events WHERE events.study_id = "
        "deliveries_aside.study_id AND events.event = 'DELIVERY_REQUEUED')"
    )
    op.execute(f"INSERT INTO deliveries SELECT deliveries_aside.*, {was_sent} FROM deliveries_aside")  # noqa: S608
    op.execute("DROP TABLE deliveries_aside")
    with op.batch_alter_table("deliveries") as deliveries:
        deliveries.alter_column("was_sent", existing_type=sa.Boolean(), nullable=False)
    with op.batch_alter_table("events") as events:
        events.drop_constraint(op.f("ck_events_event_known"), type_="check")
        events.create_check_constraint(op.f("ck_events_event_known"), f"event IN ({_EVENTS})")
    _create_owed_notes()


def _create_recalls() -> None:
    op.create_table(
        "recalls",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("scope", sa.String(16), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("reason", sa.String(16), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("asked_by", sa.Text(), nullable=False),
        sa.Column("at", UtcDateTime(timezone=True), nullable=False),
        sa.CheckConstraint("scope IN ('image', 'study', 'model')", name=op.f("ck_recalls_scope_known")),
        sa.CheckConstraint(
            "reason IN ('quality', 'safety', 'worklist', 'retention')", name=op.f("ck_recalls_reason_known")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recalls")),
    )
    op.create_index(op.f("ix_recalls_scope_subject"), "recalls", ["scope", "subject"])


def _create_owed_notes() -> None:
    op.create_table(
        "owed_notes",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("recall_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("study_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("carrier_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("destination", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["recall_id"], ["recalls.id"], name=op.f("fk_owed_notes_recall_id")),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name=op.f("fk_owed_notes_study_id")),
        sa.ForeignKeyConstraint(["carrier_id"], ["studies.id"], name=op.f("fk_owed_notes_carrier_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_owed_notes")),
        sa.UniqueConstraint(
            "recall_id", "study_id", "destination", name=op.f("uq_owed_notes_recall_id_study_id_destination")
        ),
    )
    op.create_index(op.f("ix_owed_notes_carrier_id"), "owed_notes", ["carrier_id"])
