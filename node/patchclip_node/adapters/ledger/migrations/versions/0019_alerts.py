"""What a person is told of the node, the ways on which that goes, and the hours in which senders send."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"

_KINDS = (
    "'studies-failed', 'results-not-delivered', 'destination-down', 'sender-quiet', 'disk', 'certificate', "
    "'audit-lags', 'worker', 'deliverer', 'work-hangs', 'canary'"
)


def _key() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Bring the tables to this revision."""
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "duties",
        sa.Column("name", sa.String(16), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("expires_at", moment, nullable=False),
        sa.Column("began_at", moment, nullable=False),
        sa.Column("done_at", moment, nullable=True),
        sa.Column("trouble", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_duties")),
    )
    op.create_table(
        "alerts",
        sa.Column("id", _key(), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("level", sa.String(16), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("advice", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("since", moment, nullable=False),
        sa.Column("raised_at", moment, nullable=False),
        sa.Column("told_at", moment, nullable=False),
        sa.Column("told_number", sa.BigInteger(), nullable=False),
        sa.Column("messages", sa.Integer(), nullable=False),
        sa.Column("ended_at", moment, nullable=True),
        sa.CheckConstraint(f"kind IN ({_KINDS})", name=op.f("ck_alerts_kind_known")),
        sa.CheckConstraint("level IN ('warning', 'critical')", name=op.f("ck_alerts_level_known")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alerts")),
    )
    op.create_index(op.f("ix_alerts_ended_at"), "alerts", ["ended_at"])
    op.create_table(
        "alert_messages",
        sa.Column("id", _key(), nullable=False),
        sa.Column("channel", sa.String(16), nullable=False),
        sa.Column("message_json", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("not_before", moment, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_messages")),
    )
    op.create_index(op.f("ix_alert_messages_channel_not_before"), "alert_messages", ["channel", "not_before"])
    op.create_table(
        "alert_channels",
        sa.Column("name", sa.String(16), nullable=False),
        sa.Column("sent", sa.BigInteger(), nullable=False),
        sa.Column("failed", sa.BigInteger(), nullable=False),
        sa.Column("trouble", sa.Text(), nullable=False),
        sa.Column("sent_at", moment, nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_alert_channels")),
    )
    op.create_table(
        "outages",
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("since", moment, nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("destination", name=op.f("pk_outages")),
    )
    op.create_table(
        "senders",
        sa.Column("ae_title", sa.Text(), nullable=False),
        sa.Column("last_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("ae_title", name=op.f("pk_senders")),
    )
    op.create_table(
        "sender_hours",
        sa.Column("ae_title", sa.Text(), nullable=False),
        sa.Column("hour", moment, nullable=False),
        sa.Column("images", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("ae_title", "hour", name=op.f("pk_sender_hours")),
    )
    op.create_index(op.f("ix_sender_hours_hour"), "sender_hours", ["hour"])
