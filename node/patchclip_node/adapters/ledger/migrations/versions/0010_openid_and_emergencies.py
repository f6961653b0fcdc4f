"""Sessions of persons for whom an OpenID provider vouches; emergency access, and sealed accounts for it.

The sessions table is made again: whoever is logged in while a node is updated logs in once more.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

_ROLES = "role IN ('viewer', 'operator', 'administrator', 'sealed')"


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.drop_table("sessions")
    with op.batch_alter_table("accounts") as accounts:
        accounts.add_column(sa.Column("opened_at", sa.DateTime(timezone=True), nullable=True))
        accounts.drop_constraint(op.f("ck_accounts_role_known"), type_="check")
        accounts.create_check_constraint(op.f("ck_accounts_role_known"), _ROLES)
    op.create_table(
        "sessions",
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("account", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("role", sa.String(16), nullable=True),
        sa.Column("issuer", sa.Text(), nullable=True),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("secrets", sa.LargeBinary(), nullable=True),
        sa.Column("emergency_reason", sa.Text(), nullable=True),
        sa.Column("emergency_until", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(_ROLES, name=op.f("ck_sessions_role_known")),
        sa.CheckConstraint("(account IS NULL) = (issuer IS NOT NULL)", name=op.f("ck_sessions_account_or_issuer")),
        sa.ForeignKeyConstraint(["account"], ["accounts.name"], name=op.f("fk_sessions_account")),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_sessions")),
    )
    op.create_index(op.f("ix_sessions_account"), "sessions", ["account"])
