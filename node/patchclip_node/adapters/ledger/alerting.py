"""Alerts, their messages and the channels of these: the port `Alerts`."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from patchclip_node.adapters.ledger.alert_tables import alert_channels, alert_messages, alerts
from patchclip_node.adapters.ledger.database import Database
from patchclip_node.adapters.ledger.duties import WATCH, holds
from patchclip_node.domain.alerts import Alert, AlertKind, AlertMessage, Change, Condition, Level, News
from patchclip_node.ports.alerts import ChannelRecord, QueuedMessage

KEPT: Final = timedelta(days=90)
"""How long an alert that is over is kept."""


class SqlAlerts:
    """The port `Alerts`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open(self) -> list[Alert]:
        """See the port."""
        with self._database.read() as connection:
            found = select(alerts).where(alerts.c.ended_at.is_(None)).order_by(alerts.c.id)
            return [_alert(row) for row in connection.execute(found)]

    def recent(self, limit: int) -> list[Alert]:
        """See the port."""
        over = select(alerts).where(alerts.c.ended_at.is_not(None)).order_by(alerts.c.ended_at.desc()).limit(limit)
        with self._database.read() as connection:
            return [_alert(row) for row in connection.execute(over)]

    def tell(
        self, owner: str, now: datetime, made: Sequence[Change], channels: Collection[str], whose: tuple[str, str, str]
    ) -> bool:
        """See the port."""
        with self._database.write() as connection:
            if not holds(connection, WATCH, owner, now):
                return False
            for change in made:
                number, messages, since = _change(connection, change, now)
                if change.news is None:
                    continue
                message = AlertMessage(f"{number}.{messages}", change.news, change.condition, now, since, *whose)
                text = json.dumps(message.values)
                for channel in channels:
                    connection.execute(
                        insert(alert_messages).values(channel=channel, message_json=text, attempts=0, not_before=now)
                    )
            connection.execute(delete(alerts).where(alerts.c.ended_at < now - KEPT))
            return True

    def follow(self, channels: Collection[str]) -> None:
        """See the port."""
        with self._database.write() as connection:
            connection.execute(delete(alert_messages).where(alert_messages.c.channel.not_in(channels)))
            connection.execute(delete(alert_channels).where(alert_channels.c.name.not_in(channels)))
            there = set(connection.execute(select(alert_channels.c.name)).scalars())
            for name in sorted(set(channels) - there):
                connection.execute(insert(alert_channels).values(name=name, sent=0, failed=0, trouble=""))

    def take(self, channel: str, now: datetime, lease_s: float) -> QueuedMessage | None:
        """See the port. Whoever takes a message has made it due again at the end of the lease, whatever happens."""
        due = (alert_messages.c.channel == channel) & (alert_messages.c.not_before <= now)
        first = select(alert_messages).where(due).order_by(alert_messages.c.not_before, alert_messages.c.id).limit(1)
        with self._database.read() as connection:
            if connection.execute(first).first() is None:
                return None
        with self._database.write() as connection:
            row = connection.execute(first).first()
            if row is None:
                return None
            taken = {"attempts": row.attempts + 1, "not_before": now + timedelta(seconds=lease_s)}
            connection.execute(update(alert_messages).where(alert_messages.c.id == row.id).values(**taken))
            return QueuedMessage(row.id, AlertMessage.from_values(json.loads(row.message_json)), row.attempts + 1)

    def sent(self, message: QueuedMessage, channel: str, now: datetime) -> None:
        """See the port."""
        with self._database.write() as connection:
            connection.execute(delete(alert_messages).where(alert_messages.c.id == message.id))
            counted = {"sent": alert_channels.c.sent + 1, "trouble": "", "sent_at": now}
            connection.execute(update(alert_channels).where(alert_channels.c.name == channel).values(**counted))

    def postpone(
        self, message: QueuedMessage, channel: str, error: str, not_before: datetime, *, gives_up: bool = False
    ) -> None:
        """See the port."""
        this = alert_messages.c.id == message.id
        with self._database.write() as connection:
            connection.execute(
                delete(alert_messages).where(this)
                if gives_up
                else update(alert_messages).where(this).values(not_before=not_before)
            )
            counted = {"failed": alert_channels.c.failed + 1, "trouble": error}
            connection.execute(update(alert_channels).where(alert_channels.c.name == channel).values(**counted))

    def channels(self) -> list[ChannelRecord]:
        """See the port."""
        counted = select(alert_messages.c.channel, func.count().label("number")).group_by(alert_messages.c.channel)
        with self._database.read() as connection:
            waiting = {row.channel: row.number for row in connection.execute(counted)}
            found = connection.execute(select(alert_channels).order_by(alert_channels.c.name))
            return [
                ChannelRecord(row.name, row.sent, row.failed, waiting.get(row.name, 0), row.trouble, row.sent_at)
                for row in found
            ]


def _change(connection: Connection, change: Change, now: datetime) -> tuple[int, int, datetime]:
    """Write one change; returns the alert's id, how many messages it has had with this one, and its beginning."""
    condition, alert = change.condition, change.alert
    values: dict[str, Any] = {
        "level": condition.level.value,
        "detail": condition.detail,
        "advice": condition.advice,
        "number": condition.number,
    }
    if change.news is not None:
        values |= {"told_at": now, "told_number": condition.number}
    if alert is None:
        since = condition.since or now
        values |= {"kind": condition.kind.value, "subject": condition.subject, "since": since, "raised_at": now}
        inserted = connection.execute(insert(alerts).values(messages=1, **values)).inserted_primary_key
        assert inserted is not None
        return int(inserted[0]), 1, since
    messages = alert.messages + (change.news is not None)
    if change.news is News.OVER:
        values["ended_at"] = now
    connection.execute(update(alerts).where(alerts.c.id == alert.id).values(messages=messages, **values))
    return alert.id, messages, alert.since


def _alert(row: Row[Any]) -> Alert:
    condition = Condition(
        AlertKind(row.kind), row.detail, row.advice, Level(row.level), row.subject, row.since, row.number
    )
    return Alert(row.id, condition, row.raised_at, row.told_at, row.told_number, row.messages, row.ended_at)
