"""Studies are searched by partial words: their folded text, and an index for each order of the list."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from patchclip_node.domain.listing import SEARCHED, searched

revision = "0016"
down_revision = "0015"

_COLUMNS = ("search_text", "sort_id", "sort_accession")
_BATCH = 5000
_INDEXES = (
    ("state", "last_received_at", "search_text"),
    ("last_received_at", "state", "search_text"),
    ("search_text", "state", "last_received_at"),
    ("sort_id", "state", "last_received_at", "search_text"),
    ("sort_accession", "state", "last_received_at", "search_text"),
)


def upgrade() -> None:
    """Bring the tables to this revision."""
    for name in _COLUMNS:
        op.add_column("studies", sa.Column(name, sa.Text(), nullable=False, server_default=""))
    _fill(op.get_bind())
    for gone in ("state_last_received_at", "last_received_at"):
        op.drop_index(op.f(f"ix_studies_{gone}"), "studies")
    for columns in _INDEXES:
        op.create_index(op.f(f"ix_studies_{'_'.join(columns)}"), "studies", list(columns))


def _fill(connection: sa.Connection) -> None:
    texts = (sa.column(name, sa.Text()) for name in (*SEARCHED, *_COLUMNS))
    columns: list[sa.ColumnClause[Any]] = [sa.column("id", sa.BigInteger()), *texts]
    studies = sa.table("studies", *columns)
    last = 0
    while True:
        batch = sa.select(studies).where(studies.c.id > last).order_by(studies.c.id).limit(_BATCH)
        found = connection.execute(batch).all()
        if not found:
            return
        last = found[-1].id
        filled = [{"key": row.id, **searched(*(getattr(row, name) for name in SEARCHED))} for row in found]
        connection.execute(sa.update(studies).where(studies.c.id == sa.bindparam("key")), filled)
