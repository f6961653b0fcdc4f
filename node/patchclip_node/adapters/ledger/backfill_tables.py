"""The ledger's table of what is pulled from an archive. It is part of `schema`."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, String, Table, UniqueConstraint

from patchclip_node.adapters.ledger.schema import ForeignText, UtcDateTime, metadata, one_of, row_id
from patchclip_node.domain.backfill import BackfillState

backfill = Table(
    "backfill",
    metadata,
    Column("id", row_id(), primary_key=True),
    Column("study_instance_uid", ForeignText, nullable=False),
    Column("study_date", ForeignText, nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("expected", Integer, nullable=False),
    Column("listed_at", UtcDateTime, nullable=False),
    Column("not_before", UtcDateTime),
    Column("asked_at", UtcDateTime),
    Column("settled_at", UtcDateTime),
    Column("reason", ForeignText, nullable=False),
    UniqueConstraint("study_instance_uid"),
    one_of("state", BackfillState, "state_known"),
    Index(None, "state", "id"),
    Index(None, "state", "not_before"),
    Index(None, "settled_at", "asked_at"),
)
"""One row for each study of the list, in the order in which they are pulled. See `domain.backfill`."""
