"""The ledger's tables of alerts, of what is watched, and of who watches. They are part of `schema`."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table, Text

from patchclip_node.adapters.ledger.schema import ForeignText, UtcDateTime, metadata, one_of, row_id
from patchclip_node.domain.alerts import AlertKind, Level

duties = Table(
    "duties",
    metadata,
    Column("name", String(16), primary_key=True),
    Column("owner", Text, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("began_at", UtcDateTime, nullable=False),
    Column("done_at", UtcDateTime),
    Column("trouble", ForeignText, nullable=False),
    Column("position", BigInteger, nullable=False),
)
"""One row for each thing that one process of all does at a time. `position`: how far it has come, in a table's ids."""

alerts = Table(
    "alerts",
    metadata,
    Column("id", row_id(), primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("subject", ForeignText, nullable=False),
    Column("level", String(16), nullable=False),
    Column("detail", ForeignText, nullable=False),
    Column("advice", ForeignText, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("since", UtcDateTime, nullable=False),
    Column("raised_at", UtcDateTime, nullable=False),
    Column("told_at", UtcDateTime, nullable=False),
    Column("told_number", BigInteger, nullable=False),
    Column("messages", Integer, nullable=False),
    Column("ended_at", UtcDateTime),
    one_of("kind", AlertKind, "kind_known"),
    one_of("level", Level, "level_known"),
    Index(None, "ended_at"),
)
"""One row for each trouble that was told. `ended_at`: when it was over; None while it lasts."""

alert_messages = Table(
    "alert_messages",
    metadata,
    Column("id", row_id(), primary_key=True),
    Column("channel", String(16), nullable=False),
    Column("message_json", ForeignText, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("not_before", UtcDateTime, nullable=False),
    Index(None, "channel", "not_before"),
)
"""One row for each message that has yet to go over a channel, written with the change that it tells of."""

alert_channels = Table(
    "alert_channels",
    metadata,
    Column("name", String(16), primary_key=True),
    Column("sent", BigInteger, nullable=False),
    Column("failed", BigInteger, nullable=False),
    Column("trouble", ForeignText, nullable=False),
    Column("sent_at", UtcDateTime),
)
"""One row for each channel: how many messages went, how often one failed, and what keeps it now."""

outages = Table(
    "outages",
    metadata,
    Column("destination", Text, primary_key=True),
    Column("since", UtcDateTime, nullable=False),
    Column("error", ForeignText, nullable=False),
)
"""One row for each destination that takes nothing, from its lane's first failure to its next success."""

senders = Table(
    "senders",
    metadata,
    Column("ae_title", ForeignText, primary_key=True),
    Column("last_at", UtcDateTime, nullable=False),
)
"""One row for each sender: when its last radiograph came. See `watching.py`."""

sender_hours = Table(
    "sender_hours",
    metadata,
    Column("ae_title", ForeignText, primary_key=True),
    Column("hour", UtcDateTime, primary_key=True),
    Column("images", BigInteger, nullable=False),
    Index(None, "hour"),
)
"""One row for each sender and hour in which radiographs came from it, for as long as its rhythm is learned from."""
